import { assertEquals } from "@std/assert";
import { type Container, failuresNamedIn, isAtLeast, stateOf } from "../../src/stack/compose.ts";

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

const STATES: [restart: string, Partial<Container> | undefined, string][] = [
  ["always", undefined, "waiting not created"],
  ["always", { State: "created" }, "waiting created"],
  ["always", { State: "running", Health: "starting" }, "waiting starting"],
  ["always", { State: "running", Health: "healthy" }, "ready healthy"],
  ["always", { State: "running", Health: "unhealthy" }, "failed unhealthy"],
  ["always", { State: "restarting", ExitCode: 1 }, "failed restarting (exit code 1)"],
  ["always", { State: "exited", ExitCode: 0 }, "failed ended with exit code 0"],
  ["always", { State: "paused" }, "waiting paused"],
  ["always", { State: "running" }, "ready running"],
  ["no", { State: "running" }, "waiting running"],
  ["no", { State: "exited", ExitCode: 0 }, "ready done"],
  ["no", { State: "exited", ExitCode: 3 }, "failed ended with exit code 3"],
];
for (const [restart, container, expected] of STATES) {
  Deno.test(`stateOf() with restart: ${restart} and ${JSON.stringify(container)} is ${expected}`, () => {
    const { is, as } = stateOf(
      { image: "", restart },
      container && { Service: "a", State: "", Health: "", ExitCode: 0, Status: "", ...container },
    );
    assertEquals(`${is} ${as}`, expected);
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
  Deno.test(`failuresNamedIn() of ${JSON.stringify(stderr)}`, () => {
    const service = { image: "", restart: "no" };
    const project = { name: "x", services: { "kafka": service, "init-kafka": service } };
    assertEquals(Object.fromEntries(failuresNamedIn(stderr, project)), named);
  });
}
