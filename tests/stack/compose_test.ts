import { assertEquals } from "@std/assert";
import {
  ALL_FORMS,
  composeArgs,
  conditionOf,
  type Container,
  fetchedImages,
  isAtLeast,
  namedBy,
  parseContainers,
  parseProject,
  type Service,
} from "../../src/stack/compose.ts";

for (
  const [version, expected] of [
    ["2.24.4", true],
    ["v2.24.4\n", true],
    ["2.24.3", false],
    ["2.9.9", false],
    ["v2.29.1-desktop.1", true],
    ["2.24.4+ds1-0ubuntu1", true],
    ["5.5.0", true],
    ["1.29.2", false],
    ["dev", false],
    ["", false],
  ] as const
) {
  Deno.test(`isAtLeast() says ${expected} of ${JSON.stringify(version)}`, () => {
    assertEquals(isAtLeast(version, "2.24.4"), expected);
  });
}

Deno.test("composeArgs() names the overrides after the first file", () => {
  assertEquals(composeArgs({ zookeeper: false, cluster: false, demo: false }), [
    "compose",
    "--file",
    "docker-compose.yml",
  ]);
  assertEquals(composeArgs(ALL_FORMS).filter((arg) => arg.endsWith(".yml")), [
    "docker-compose.yml",
    "docker-compose.zookeeper.yml",
    "docker-compose.cluster.yml",
    "docker-compose.demo.yml",
  ]);
});

Deno.test("parseProject() reads what Compose prints", () => {
  const project = parseProject(JSON.stringify({
    name: "x",
    services: {
      a: {
        image: "a:1",
        build: { context: "." },
        healthcheck: {},
        ports: [{ published: "80" }, { published: "" }, {}],
      },
      b: { image: "a:1", restart: "no", build: null },
      c: { image: "c:1", restart: "unless-stopped", healthcheck: { disable: true }, ports: [{ published: 81 }] },
    },
  }));
  const shared = { oneShot: false, hasHealthCheck: false, built: false };
  assertEquals(project.services, [
    { ...shared, name: "a", image: "a:1", built: true, hasHealthCheck: true, ports: [80] },
    { ...shared, name: "b", image: "a:1", oneShot: true, ports: [] },
    { ...shared, name: "c", image: "c:1", ports: [81] },
  ]);
  assertEquals(fetchedImages(project), ["c:1"]);
});

Deno.test("parseContainers() reads a container a line, and the array of older versions", () => {
  const line = '{"Service":"a","State":"running","Health":"healthy","ExitCode":0,"Status":"Up","Publishers":[]}';
  const a = { service: "a", state: "running", health: "healthy", exitCode: 0, status: "Up" };
  assertEquals(parseContainers(`${line}\n${line}\n`), [a, a]);
  assertEquals(parseContainers(`[${line}]`), [a]);
  assertEquals(parseContainers(`\n`), []);
  assertEquals(parseContainers('{"Service":"b","State":"exited"}'), [
    { service: "b", state: "exited", health: "", exitCode: 0, status: "exited" },
  ]);
});

const CONDITIONS: [Partial<Service>, Partial<Container> | undefined, string][] = [
  [{}, undefined, "waiting not created"],
  [{}, { state: "created" }, "waiting created"],
  [{}, { state: "running", health: "starting" }, "waiting starting"],
  [{}, { state: "running", health: "healthy" }, "ready healthy"],
  [{}, { state: "running", health: "unhealthy" }, "failed unhealthy"],
  [{}, { state: "restarting", exitCode: 1 }, "waiting restarting"],
  [{}, { state: "exited", exitCode: 0 }, "failed ended with exit code 0"],
  [{}, { state: "paused" }, "waiting paused"],
  [{ hasHealthCheck: false }, { state: "running" }, "ready running"],
  [{ oneShot: true }, { state: "running" }, "waiting running"],
  [{ oneShot: true }, { state: "exited", exitCode: 0 }, "ready done"],
  [{ oneShot: true }, { state: "exited", exitCode: 3 }, "failed ended with exit code 3"],
];
for (const [service, container, expected] of CONDITIONS) {
  Deno.test(`conditionOf(${JSON.stringify(service)}, ${JSON.stringify(container)}) is ${expected}`, () => {
    const found = conditionOf(
      { name: "a", image: "", built: false, oneShot: false, hasHealthCheck: true, ports: [], ...service },
      container && { service: "a", state: "", health: "", exitCode: 0, status: "", ...container },
    );
    assertEquals(`${found.is} ${found.as}`, expected);
  });
}

const NAMED: [string, Record<string, string>][] = [
  ["dependency failed to start: container x-kafka-1 is unhealthy", { kafka: "unhealthy" }],
  [" Container x-kafka-1  Error\ndependency failed to start: container x-init-kafka-1 exited (137)\n", {
    "init-kafka": "exited (137)",
  }],
  ["container x_kafka_1 is unhealthy", { kafka: "unhealthy" }],
  [`service "init-kafka" didn't complete successfully: exit 1`, { "init-kafka": "exit 1" }],
  [" Container x-kafka-1  Healthy\ncontainer y-kafka-1 is unhealthy", {}],
  ["Error response from daemon: driver failed programming external connectivity on endpoint x-kafka-1", {}],
  ["", {}],
];
for (const [stderr, named] of NAMED) {
  Deno.test(`namedBy() of ${JSON.stringify(stderr)}`, () => {
    const project = parseProject('{"name":"x","services":{"kafka":{},"init-kafka":{}}}');
    assertEquals(Object.fromEntries(namedBy(stderr, project)), named);
  });
}
