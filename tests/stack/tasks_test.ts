// The tasks against a fake `docker` program: every refusal, the progress, failing services.

import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { ConfigError } from "../../src/core/errors.ts";
import { Docker } from "../../src/stack/docker.ts";
import { valueIn } from "../../src/stack/secrets.ts";
import { down, logs, reset, status, type Surroundings, up } from "../../src/stack/tasks.ts";
import { type Answers, containerJson, FakeStack, prints, serviceJson, untilLooks } from "./fake_docker.ts";
import { programsMissing, testUnless } from "./needs.ts";

const missing = programsMissing("docker");
const PLAIN = { zookeeper: false, cluster: false, demo: false };

function stackTest(
  name: string,
  answers: Answers,
  fn: (stack: FakeStack) => Promise<void>,
  changes: Partial<Surroundings> = {},
): void {
  testUnless(missing, name, async () => {
    await using stack = await FakeStack.make(answers, changes);
    await fn(stack);
  });
}

/** The sentences with which a task refuses to start anything. */
async function refusal(stack: FakeStack, task: Promise<number>): Promise<string[]> {
  const error = await assertRejects(() => task, ConfigError);
  const calls = await stack.calls();
  assertEquals(calls.filter((call) => / up /.test(call)), [], "something was started");
  return [...error.problems];
}

stackTest("stack: makes secrets, builds, starts, tells of each service, and gives addresses", {
  "compose up": untilLooks(3),
  "compose ps": [
    "",
    prints(containerJson("broker", "running", "starting")),
    prints(
      `${containerJson("broker", "running", "healthy")}\n${containerJson("init-kafka", "running")}\n` +
        containerJson("grafana", "created"),
    ),
    prints(
      `[${containerJson("broker", "running", "healthy")},${containerJson("init-kafka", "exited")},` +
        `${containerJson("grafana", "running", "healthy")}]`,
    ),
  ],
  "compose config": prints(JSON.stringify({
    name: "crypto-data-streaming",
    services: {
      "broker": serviceJson([19]),
      "init-kafka": serviceJson([], true),
      "grafana": serviceJson([3999]),
    },
  })),
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.surroundings), 0);
  assertEquals(stack.told.slice(0, 5), [
    "Made influxv2.env with random secrets",
    "Made grafana.env with random secrets",
    "Building the producer's image",
    "Fetching the other images, where they are missing",
    "Starting",
  ]);
  const progress = stack.told.slice(5, stack.told.indexOf("All is well.") - 1);
  // on a busy machine the fake `up` may last for minutes of the faked time
  const services = progress.filter((line) => !line.startsWith("  still starting "));
  assertEquals(services.map((line) => line.replace(/ \d+ s$/, "").replace(/ +/g, " ")), [
    " broker healthy after",
    " init-kafka done after",
    " grafana healthy after",
  ]);
  assertMatch(stack.text, /http:\/\/localhost:3999 +user admin, password in grafana\.env/);
  assertStringIncludes(stack.text, "localhost:19 ");
  const password = valueIn(await Deno.readTextFile(`${stack.dir}/grafana.env`), "GF_SECURITY_ADMIN_PASSWORD") ?? "";
  assert(password.length >= 32 && !stack.text.includes(password), "a password where there is no terminal");

  const calls = (await stack.calls()).filter((call) => / (build|pull|up)\b/.test(call));
  assertEquals(calls, [
    "compose --file docker-compose.yml build",
    "compose --file docker-compose.yml pull --policy missing --ignore-buildable",
    "compose --file docker-compose.yml up --detach --no-build --remove-orphans",
  ]);
});

const PRODUCER = {
  "compose config": prints(JSON.stringify({
    name: "crypto-data-streaming",
    services: { "coinbase-producer": serviceJson([8000]), "grafana": serviceJson([3000]) },
  })),
  "compose ps": [
    "",
    prints(
      `${containerJson("coinbase-producer", "running", "healthy")}\n${containerJson("grafana", "running", "healthy")}`,
    ),
  ],
} satisfies Answers;
const readyz = (...reasons: string[]) => prints(JSON.stringify({ ready: reasons.length === 0, reasons, warnings: [] }));
const CONNECTING = readyz("no data from Coinbase: connecting");
const UNREACHABLE = readyz("no data from Coinbase: getaddrinfo ENOTFOUND ws-feed.exchange.coinbase.com");

stackTest("stack: all is well once the producer's /readyz says so", {
  ...PRODUCER,
  "compose exec": [CONNECTING, CONNECTING, readyz()],
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.surroundings), 0);
  assert(stack.told.includes("All is well."));
  const asked = (await stack.calls()).filter((call) => call.includes(" exec "));
  assertEquals(asked.length, 3);
  assertMatch(asked[0] ?? "", /exec --no-TTY coinbase-producer deno eval .*127\.0\.0\.1:8000\/readyz/);
});

stackTest("stack: says why no prices come and what to do when the producer is not ready", {
  ...PRODUCER,
  "compose exec": [CONNECTING, UNREACHABLE],
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.surroundings), 1);
  assertMatch(stack.text, /no prices come: coinbase-producer says "no data from Coinbase: getaddrinfo ENOTFOUND/);
  assertStringIncludes(stack.text, "`deno task stack --demo` takes simulated prices");
  assertStringIncludes(stack.text, "http://localhost:3000 ");
  assert(!/All is well|within seconds/.test(stack.text), stack.text);
});

stackTest("stack: a producer that does not answer brings no prices", {
  ...PRODUCER,
  "compose exec": "echo 'error: Uncaught (in promise) TypeError: error sending request' >&2; exit 1",
}, async (stack) => {
  assertEquals(await up({ ...PLAIN, demo: true }, stack.surroundings), 1);
  assertMatch(stack.text, /"\/readyz gives no answer: error: Uncaught .*TypeError: error sending request"/);
  assert(!/All is well|--demo/.test(stack.text), stack.text);
});

stackTest("stack:status says why no prices come although every container is healthy", {
  ...PRODUCER,
  "compose ps": PRODUCER["compose ps"].slice(1),
  "compose exec": [UNREACHABLE, readyz()],
}, async (stack) => {
  assertEquals(await status(stack.surroundings), 1);
  assertMatch(
    stack.text,
    /^ {2}coinbase-producer +healthy .*\n +but no prices come: no data from Coinbase: getaddrinfo/m,
  );
  assertEquals(await status(stack.surroundings), 0);
});

stackTest("stack: keeps secrets that are there, and shows the login on a terminal", {}, async (stack) => {
  await Deno.writeTextFile(`${stack.dir}/influxv2.env`, "DOCKER_INFLUXDB_INIT_USERNAME='me'\n");
  await Deno.writeTextFile(`${stack.dir}/grafana.env`, "GF_SECURITY_ADMIN_PASSWORD=mine\n");
  assertEquals(await up(PLAIN, stack.surroundings), 0);
  assertEquals(await Deno.readTextFile(`${stack.dir}/grafana.env`), "GF_SECURITY_ADMIN_PASSWORD=mine\n");
  assertStringIncludes(stack.text, "user admin, password mine");
  assertStringIncludes(stack.text, "user me, password in influxv2.env");
  assert(!stack.text.includes("Made"));
}, { ask: () => null });

stackTest("stack: says that new secrets do not fit to older data", { "volume": "exit 0" }, async (stack) => {
  assertEquals(await up(PLAIN, stack.surroundings), 0);
  const calls = (await stack.calls()).filter((call) => call.startsWith("volume"));
  assertEquals(calls, [
    "volume inspect crypto-data-streaming_influxdb-data",
    "volume inspect crypto-data-streaming_grafana-data",
  ]);
  assertStringIncludes(stack.text, "InfluxDB has older data, and with it an older password");
});

stackTest("stack: --zookeeper and --demo are files after the first", {}, async (stack) => {
  assertEquals(await up({ ...PLAIN, zookeeper: true, demo: true }, stack.surroundings), 0);
  const calls = await stack.calls();
  const files = "--file docker-compose.yml --file docker-compose.zookeeper.yml --file docker-compose.demo.yml";
  assert(calls.includes(`compose ${files} up --detach --no-build --remove-orphans`));
  assertMatch(stack.text, /simulator +http/);
});

stackTest("stack: --cluster is a file, and all three brokers are told of", {
  "compose config": prints(JSON.stringify({
    name: "crypto-data-streaming",
    services: {
      "broker": serviceJson([9092]),
      "broker-2": serviceJson([9093]),
      "broker-3": serviceJson([9094]),
      "init-kafka": serviceJson([], true),
    },
  })),
  "compose ps": [
    "",
    prints(
      ["broker", "broker-2", "broker-3"].map((name) => containerJson(name, "running", "healthy"))
        .concat(containerJson("init-kafka", "exited")).join("\n"),
    ),
  ],
}, async (stack) => {
  assertEquals(await up({ ...PLAIN, cluster: true }, stack.surroundings), 0);
  const files = "--file docker-compose.yml --file docker-compose.cluster.yml";
  assert((await stack.calls()).includes(`compose ${files} up --detach --no-build --remove-orphans`));
  assertMatch(stack.text, /Kafka +localhost:9092,localhost:9093,localhost:9094 /);
});

stackTest("stack: --cluster wants more memory, and says how much", {
  "info": prints("2500000000 /var/lib/docker"),
  "compose config": prints(JSON.stringify({
    name: "crypto-data-streaming",
    services: { "broker": serviceJson(), "broker-2": serviceJson(), "broker-3": serviceJson() },
  })),
}, async (stack) => {
  const { problems } = await assertRejects(() => up({ ...PLAIN, cluster: true }, stack.surroundings), ConfigError);
  assertMatch(problems.join(), /Docker must have 2\.9 GB of memory: it has 2\.5 GB/);
});

testUnless(missing, "stack: without docker it says where to get it", async () => {
  await using stack = await FakeStack.make();
  const docker = new Docker(stack.dir, { PATH: "/nowhere" });
  const problems = await refusal(stack, up(PLAIN, { ...stack.surroundings, docker }));
  assertMatch(problems.join("\n"), /^Cannot find the program docker as it must be installed.*docs\.docker\.com/);
});

const DOWN = "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is it running?' >&2; exit 1";
const DENIED = "echo 'permission denied while trying to connect to the Docker daemon socket' >&2; exit 1";
const REFUSALS: [string, Answers, RegExp][] = [
  ["no engine runs", { "version": DOWN }, /^Cannot use Docker as its engine must run: start .*Cannot connect/],
  ["the user may not use it", { "version": DENIED }, /^Cannot use Docker as your user must be allowed to: .*usermod/],
  ["there is no Compose v2", { "compose version": "exit 1" }, /^Cannot use `docker compose` .*current version is none/],
  [
    "Compose is too old",
    { "compose version": prints("v2.24.3") },
    /must be version 2\.24\.4 or newer: .* is v2\.24\.3/,
  ],
  ["memory is short", { "info": prints("1000000000 /x") }, /^Cannot start as Docker must have 1\.9 GB .*has 1\.0 GB/],
  ["the files do not fit", { "compose config": "echo 'bad port' >&2; exit 15" }, /^Cannot read the Compose .*bad port/],
  ["the build fails", { "compose build": "exit 17" }, /^Cannot build the producer's image/],
  ["an image cannot be fetched", { "compose pull": "exit 18" }, /^Cannot fetch the images/],
];
for (const [when, answers, sentence] of REFUSALS) {
  stackTest(`stack: starts nothing when ${when}`, answers, async (stack) => {
    const problems = await refusal(stack, up(PLAIN, stack.surroundings));
    assertEquals(problems.length, 1);
    assertMatch(problems.join("\n"), sentence);
  });
}

stackTest("stack: starts nothing when a disk is full or a port is taken, and tells all at once", {
  "image": "exit 1",
  "compose config": prints(JSON.stringify({
    name: "x",
    services: { "broker": serviceJson([9092]), "grafana": serviceJson([3000]), "other": serviceJson([5, 6]) },
  })),
  // its own services hold their ports rightly
  "compose ps": prints(containerJson("broker", "running", "healthy")),
}, async (stack) => {
  const problems = await refusal(stack, up(PLAIN, stack.surroundings));
  assertEquals(problems.map((problem) => problem.slice(0, 50)), [
    "Cannot start as /var/lib/docker must have 4.0 GB o",
    "Cannot use port 3000 for grafana as it must be fre",
    "Cannot use port 6 for other as it must be free: an",
  ]);
  assertStringIncludes(problems[1] ?? "", "choose another port by GRAFANA_PORT");
}, { computer: { isPortFree: (port) => port === 5, freeSpace: () => Promise.resolve(3.9e9) } });

stackTest("stack: less disk is enough once the images are there", {}, async (stack) => {
  assertEquals(await up(PLAIN, stack.surroundings), 0);
}, { computer: { isPortFree: () => true, freeSpace: () => Promise.resolve(1.1e9) } });

stackTest("stack: names the service that does not become healthy, with its last lines", {
  "compose ps": [
    "",
    prints(`${containerJson("broker", "running", "healthy")}\n${containerJson("init-kafka", "exited")}`),
    prints(
      `${containerJson("broker", "running", "healthy")}\n${containerJson("init-kafka", "exited")}\n` +
        containerJson("grafana", "running", "unhealthy"),
    ),
  ],
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.surroundings), 1);
  assertMatch(stack.text, /^grafana did not become healthy: unhealthy after \d+ s\. The last lines of its log:$/m);
  assertStringIncludes(stack.text, "  | a line\n  | another line");
  const calls = await stack.calls();
  assert(calls.includes("compose --file docker-compose.yml logs --no-color --no-log-prefix --tail 20 grafana"));
  assert(!stack.text.includes("All is well"));
});

stackTest("stack: names the one-shot that fails, not those that wait for it", {
  "compose up": `echo 'service "init-kafka" did not complete successfully: exit 1' >&2; exit 1`,
  "compose ps": prints(
    `${containerJson("broker", "running", "healthy")}\n${containerJson("init-kafka", "exited", "", 1)}\n` +
      containerJson("grafana", "created"),
  ),
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.surroundings), 1);
  assertMatch(stack.text, /^init-kafka did not succeed: ended with exit code 1 after/m);
  assert(!/^grafana did not/m.test(stack.text));
});

const still = (state: string, health: string) => ({
  "compose ps": prints(
    `${containerJson("broker", "running", "healthy")}\n${containerJson("init-kafka", "exited")}\n` +
      containerJson("grafana", state, health),
  ),
});
stackTest("stack: gives up on a service that stays on its way", still("running", "starting"), async (stack) => {
  assertEquals(await up(PLAIN, stack.surroundings), 1);
  assertMatch(stack.text, /^grafana did not become healthy: starting after \d+ s/m);
}, { waitMs: 5000 });
stackTest("stack: gives up on a service that ends again and again", still("restarting", ""), async (stack) => {
  assertEquals(await up(PLAIN, stack.surroundings), 1);
  assertMatch(stack.text, /^grafana did not become healthy: ends again and again/m);
});

const REFUSED = { "compose up": "echo 'Error response from daemon: something odd' >&2; exit 1" };
stackTest("stack: nothing runs since Docker refuses", { ...REFUSED, "compose ps": "" }, async (stack) => {
  const { message } = await assertRejects(() => up(PLAIN, stack.surroundings), ConfigError);
  assertMatch(message, /^Cannot start all services as Docker refuses .*something odd/);
});
stackTest("stack: some run, then Docker refuses", {
  ...REFUSED,
  "compose ps": prints(containerJson("broker", "running", "healthy")),
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.surroundings), 1);
  assertStringIncludes(stack.text, "something odd");
});

const UNHEALTHY =
  "echo 'dependency failed to start: container crypto-data-streaming-broker-1 is unhealthy' >&2; exit 1";
for (const [state, health] of [["running", "starting"], ["restarting", ""], ["running", "healthy"]] as const) {
  const how = `${state} ${health}`.trim();
  stackTest(`stack: names the service that Compose gave up on, though it is ${how} at the last look`, {
    "compose up": UNHEALTHY,
    "compose ps": [
      "",
      prints(
        `${containerJson("broker", state, health)}\n${containerJson("init-kafka", "created")}\n` +
          containerJson("grafana", "created"),
      ),
    ],
  }, async (stack) => {
    assertEquals(await up(PLAIN, stack.surroundings), 1);
    const now = health || state;
    assertMatch(stack.text, new RegExp(`^broker did not become healthy: unhealthy, now ${now}, after \\d+ s\\.`, "m"));
    assertStringIncludes(stack.text, "  | a line\n  | another line");
    assert(!/^(grafana|init-kafka) did not/m.test(stack.text));
    assert((await stack.calls()).some((call) => call.endsWith("logs --no-color --no-log-prefix --tail 20 broker")));
  });
}
stackTest("stack: names first what Compose names, then what has ended, once each", {
  "compose up": "echo 'dependency failed to start: container crypto-data-streaming-grafana-1 exited (1)' >&2; exit 1",
  "compose ps": prints(`${containerJson("broker", "exited", "", 143)}\n${containerJson("grafana", "restarting")}`),
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.surroundings), 1);
  assertEquals(stack.told.filter((line) => / did not /.test(line)).map((line) => line.replace(/,? after.*/, "")), [
    "grafana did not become healthy: exited (1), now restarting",
    "broker did not become healthy: ended with exit code 143",
  ]);
});
stackTest("stack: names the one-shot that Compose names, though it runs once more", {
  "compose up": `echo 'service "init-kafka" didn'"'"'t complete successfully: exit 1' >&2; exit 1`,
  "compose ps": prints(containerJson("init-kafka", "running")),
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.surroundings), 1);
  assertMatch(stack.text, /^init-kafka did not succeed: exit 1, now running, after/m);
});
stackTest("stack: names a service that was seen to restart where Docker names none, and tells its words", {
  ...REFUSED,
  "compose ps": prints(containerJson("broker", "restarting")),
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.surroundings), 1);
  assertMatch(stack.text, /^broker did not become healthy: it ended, now restarting, after/m);
  assertStringIncludes(stack.text, "something odd");
});
stackTest("stack: containers that were only created are nothing that was started", {
  ...REFUSED,
  "compose ps": prints(containerJson("broker", "created")),
}, async (stack) => {
  await assertRejects(() => up(PLAIN, stack.surroundings), ConfigError, "something odd");
});

stackTest("stack: a one-shot that is done was started, so Docker's refusal is no exit code 2", {
  ...REFUSED,
  "compose ps": prints(`${containerJson("init-kafka", "exited")}\n${containerJson("broker", "created")}`),
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.surroundings), 1);
  assertStringIncludes(stack.text, "something odd");
});

stackTest("stack: says once a minute that the start goes on", { "compose up": untilLooks(130) }, async (stack) => {
  assertEquals(await up(PLAIN, stack.surroundings), 0);
  const said = stack.told.filter((line) => line.startsWith("  still starting after "));
  assertEquals(said.slice(0, 2), ["  still starting after 60 s", "  still starting after 120 s"]);
});

const BLIND = "echo 'the daemon is gone' >&2; exit 1";
const ALL_WELL = prints(
  `${containerJson("broker", "running", "healthy")}\n${containerJson("init-kafka", "exited")}\n` +
    containerJson("grafana", "running", "healthy"),
);
stackTest("stack: a look that fails is made again", {
  "compose ps": ["", BLIND, BLIND, ALL_WELL],
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.surroundings), 0);
});
stackTest("stack: what cannot be seen is not well", {
  "compose ps": ["", ALL_WELL, BLIND],
  "compose up": untilLooks(3),
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.surroundings), 1);
  assertMatch(stack.text, /^Cannot tell how the services are .*the daemon is gone/m);
}, { waitMs: 5000 });
stackTest("stack: starts nothing when it cannot be told what runs", { "compose ps": BLIND }, async (stack) => {
  const problems = await refusal(stack, up(PLAIN, stack.surroundings));
  assertMatch(problems.join("\n"), /^Cannot tell how the services are .*the daemon is gone/);
});
stackTest(
  "stack:status tells docker's words when it cannot be told what runs",
  { "compose ps": BLIND },
  async (stack) => {
    await assertRejects(() => status(stack.surroundings), ConfigError, "the daemon is gone");
    assertEquals(stack.told, []);
  },
);

stackTest("stack:down ends every form and keeps the data", {}, async (stack) => {
  assertEquals(await down(stack.surroundings), 0);
  assertMatch(
    (await stack.calls()).at(-1) ?? "",
    /zookeeper\.yml --file docker-compose\.cluster\.yml --file docker-compose\.demo\.yml down --remove-orphans$/,
  );
});

stackTest("stack:logs follows all services or those that are named", {}, async (stack) => {
  assertEquals(await logs(["grafana"], stack.surroundings), 0);
  assertMatch((await stack.calls()).at(-1) ?? "", /logs --follow --tail 100 grafana$/);
  const { message } = await assertRejects(() => logs(["nothing"], stack.surroundings), ConfigError);
  assertMatch(message, /"nothing" as the names must be among broker, init-kafka, grafana/);
});

stackTest("stack:status tells how each service is", {
  "compose config": [
    prints(
      JSON.stringify({ name: "x", services: { broker: serviceJson([9092]), grafana: serviceJson(), zookeeper: {} } }),
    ),
    prints(JSON.stringify({ name: "x", services: { broker: serviceJson([9092]), grafana: serviceJson() } })),
  ],
  "compose ps": prints(containerJson("broker", "running", "healthy")),
}, async (stack) => {
  assertEquals(await status(stack.surroundings), 1);
  assertEquals(stack.told.map((line) => line.trim().split(/\s{2,}/)), [
    ["broker", "healthy", "Up (healthy)", "localhost:9092"],
    ["grafana", "not created"],
  ]);
});
stackTest("stack:status when nothing is started", { "compose ps": "" }, async (stack) => {
  assertEquals(await status(stack.surroundings), 1);
  assertMatch(stack.text, /^Nothing is started/);
});

stackTest("stack:reset refuses without a terminal", {}, async (stack) => {
  const problems = await refusal(stack, reset(false, stack.surroundings));
  assertMatch(problems.join("\n"), /no terminal to ask on, and no --yes/);
  assertEquals(await stack.calls(), [""]);
});
stackTest("stack:reset deletes without asking when told --yes", {}, async (stack) => {
  assertEquals(await reset(true, stack.surroundings), 0);
  assertMatch((await stack.calls()).at(-1) ?? "", /down --volumes --remove-orphans$/);
});
for (const [answer, deletes] of [["delete", true], ["yes", false], ["", false], [null, false]] as const) {
  stackTest(
    `stack:reset ${deletes ? "deletes" : "keeps"} the data at the answer ${JSON.stringify(answer)}`,
    {},
    async (stack) => {
      assertEquals(await reset(false, stack.surroundings), deletes ? 0 : 1);
      const calls = await stack.calls();
      assertEquals(calls.some((call) => / down /.test(call)), deletes);
    },
    { ask: () => answer },
  );
}

testUnless(
  programsMissing(Deno.execPath()),
  "the tasks' program gives exit code 2 when nothing can be started",
  async () => {
    const { tasks } = JSON.parse(await Deno.readTextFile("deno.json")) as {
      tasks: Record<string, { command: string }>;
    };
    for (
      const [task, args, sentence, certificates = ""] of [
        [
          "stack",
          ["--big"],
          'Cannot use the arguments "--big" with stack as it takes --demo and --cluster and --zookeeper',
        ],
        [
          "stack",
          ["--cluster", "--zookeeper"],
          "Cannot use --cluster with --zookeeper as they are two forms of Kafka: take one of them",
        ],
        ["stack:down", ["x"], 'Cannot use the arguments "x" with stack:down as it takes none'],
        ["stack:reset", [], "Cannot delete the data as somebody must agree"],
        ["stack:status", [], "Cannot find the program docker", "/no/such.pem"],
        [
          "stack",
          [],
          'Cannot read DENO_CERT as it must name a file with certificates: current value is "/no/',
          "/no/x.pem",
        ],
        ["stack", ["--demo"], "Cannot find the program docker", ""],
      ] as const
    ) {
      const { CA_CERTIFICATE: _, ...inherited } = Deno.env.toObject();
      const command = (tasks[task]?.command ?? "").split(" ").slice(1);
      const { code, stderr } = await new Deno.Command(Deno.execPath(), {
        args: [...command, ...args],
        clearEnv: true,
        env: { ...inherited, PATH: "/nowhere", NO_COLOR: "1", DENO_CERT: certificates },
        stdin: "null",
        stdout: "null",
        stderr: "piped",
      }).output();
      assertEquals(code, 2, task);
      assertStringIncludes(new TextDecoder().decode(stderr), sentence);
    }
  },
);
