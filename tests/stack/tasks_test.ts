// The tasks against a fake `docker` program: every refusal, the progress, services that fail.

import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { ConfigError } from "../../src/core/errors.ts";
import { Docker } from "../../src/stack/docker.ts";
import { valueIn } from "../../src/stack/secrets.ts";
import { down, logs, reset, status } from "../../src/stack/tasks.ts";
import { type Context, up } from "../../src/stack/up.ts";
import { type Answers, containerJson, FakeStack, prints, serviceJson, untilLooks } from "./fake_docker.ts";
import { programsMissing, testUnless } from "./needs.ts";

const missing = programsMissing("docker");
const PLAIN = { zookeeper: false, cluster: false, demo: false };

function stackTest(
  name: string,
  answers: Answers,
  fn: (stack: FakeStack) => Promise<void>,
  changes: Partial<Context> = {},
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

stackTest("stack: creates secrets, builds, starts, reports each service, and prints addresses", {
  "compose up": untilLooks(3),
  "compose ps": [
    "",
    prints(containerJson("broker", "running", "starting")),
    prints(
      `${containerJson("broker", "running", "healthy")}\n${containerJson("init-kafka", "running")}\n` +
        containerJson("grafana", "created"),
    ),
    prints(
      `${containerJson("broker", "running", "healthy")}\n${containerJson("init-kafka", "exited")}\n` +
        containerJson("grafana", "running", "healthy"),
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
  assertEquals(await up(PLAIN, stack.context), 0);
  assertEquals(stack.printed.slice(0, 5), [
    "Created influxv2.env with random passwords",
    "Created grafana.env with random passwords",
    "Building the producer's image",
    "Downloading missing images",
    "Starting the services",
  ]);
  const progress = stack.printed.slice(5, stack.printed.indexOf("Everything works.") - 1);
  // on a busy machine the fake `up` may last for minutes of the fake time
  const services = progress.filter((line) => !line.startsWith("  still waiting "));
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
    "compose --file docker-compose.yml up --detach --wait --no-build --remove-orphans",
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

stackTest("stack: everything works once the producer's /readyz says so", {
  ...PRODUCER,
  "compose exec": [CONNECTING, CONNECTING, readyz()],
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.context), 0);
  assert(stack.printed.includes("Everything works."));
  const asked = (await stack.calls()).filter((call) => call.includes(" exec "));
  assertEquals(asked.length, 3);
  assertMatch(asked[0] ?? "", /exec --no-TTY coinbase-producer deno eval .*127\.0\.0\.1:8000\/readyz/);
});

stackTest("stack: says why no prices arrive and what to do when the producer is not ready", {
  ...PRODUCER,
  "compose exec": [CONNECTING, UNREACHABLE],
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.context), 1);
  assertMatch(stack.text, /no prices arrive: coinbase-producer reports "no data from Coinbase: getaddrinfo ENOTFOUND/);
  assertStringIncludes(stack.text, "`deno task stack --demo` uses simulated prices");
  assertStringIncludes(stack.text, "http://localhost:3000 ");
  assert(!/Everything works|within seconds/.test(stack.text), stack.text);
});

stackTest("stack: a producer that does not answer delivers no prices", {
  ...PRODUCER,
  "compose exec": "echo 'error: Uncaught (in promise) TypeError: error sending request' >&2; exit 1",
}, async (stack) => {
  assertEquals(await up({ ...PLAIN, demo: true }, stack.context), 1);
  assertMatch(stack.text, /"\/readyz does not answer: error: Uncaught .*TypeError: error sending request"/);
  assert(!/Everything works|--demo/.test(stack.text), stack.text);
});

stackTest("stack:status says why no prices arrive although every container is healthy", {
  ...PRODUCER,
  "compose ps": PRODUCER["compose ps"].slice(1),
  "compose exec": [UNREACHABLE, readyz()],
}, async (stack) => {
  assertEquals(await status(stack.context), 1);
  assertMatch(
    stack.text,
    /^ {2}coinbase-producer +healthy .*\n +but no prices arrive: no data from Coinbase: getaddrinfo/m,
  );
  assertEquals(await status(stack.context), 0);
});

stackTest("stack: keeps existing secrets, and prints the login on a terminal", {}, async (stack) => {
  await Deno.writeTextFile(`${stack.dir}/influxv2.env`, "DOCKER_INFLUXDB_INIT_USERNAME='me'\n");
  await Deno.writeTextFile(`${stack.dir}/grafana.env`, "GF_SECURITY_ADMIN_PASSWORD=mine\n");
  assertEquals(await up(PLAIN, stack.context), 0);
  assertEquals(await Deno.readTextFile(`${stack.dir}/grafana.env`), "GF_SECURITY_ADMIN_PASSWORD=mine\n");
  assertStringIncludes(stack.text, "user admin, password mine");
  assertStringIncludes(stack.text, "user me, password in influxv2.env");
  assert(!stack.text.includes("Created"));
}, { prompt: () => null });

stackTest("stack: says that new passwords do not match older data", { "volume": "exit 0" }, async (stack) => {
  assertEquals(await up(PLAIN, stack.context), 0);
  const calls = (await stack.calls()).filter((call) => call.startsWith("volume"));
  assertEquals(calls, [
    "volume inspect crypto-data-streaming_influxdb-data",
    "volume inspect crypto-data-streaming_grafana-data",
  ]);
  assertStringIncludes(stack.text, "InfluxDB has data from an earlier start, and keeps the password of that time");
});

stackTest("stack: --zookeeper and --demo add a file each", {}, async (stack) => {
  assertEquals(await up({ ...PLAIN, zookeeper: true, demo: true }, stack.context), 0);
  const calls = await stack.calls();
  const files = "--file docker-compose.yml --file docker-compose.zookeeper.yml --file docker-compose.demo.yml";
  assert(calls.includes(`compose ${files} up --detach --wait --no-build --remove-orphans`));
  assertMatch(stack.text, /simulator +http/);
});

stackTest("stack: --cluster adds a file, and all three brokers are printed", {
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
  assertEquals(await up({ ...PLAIN, cluster: true }, stack.context), 0);
  const files = "--file docker-compose.yml --file docker-compose.cluster.yml";
  assert((await stack.calls()).includes(`compose ${files} up --detach --wait --no-build --remove-orphans`));
  assertMatch(stack.text, /Kafka +localhost:9092,localhost:9093,localhost:9094 /);
});

stackTest("stack: --cluster needs more memory, and says how much", {
  "info": prints("2500000000 /var/lib/docker"),
  "compose config": prints(JSON.stringify({
    name: "crypto-data-streaming",
    services: { "broker": serviceJson(), "broker-2": serviceJson(), "broker-3": serviceJson() },
  })),
}, async (stack) => {
  const { problems } = await assertRejects(() => up({ ...PLAIN, cluster: true }, stack.context), ConfigError);
  assertMatch(problems.join(), /Docker needs 2\.9 GB of memory and has 2\.5 GB/);
});

testUnless(missing, "stack: without docker it says where to get it", async () => {
  await using stack = await FakeStack.make();
  const docker = new Docker(stack.dir, { PATH: "/nowhere" });
  const problems = await refusal(stack, up(PLAIN, { ...stack.context, docker }));
  assertMatch(problems.join("\n"), /^Cannot find docker: it must be installed.*docs\.docker\.com/);
});

const DOWN = "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is it running?' >&2; exit 1";
const DENIED = "echo 'permission denied while trying to connect to the Docker daemon socket' >&2; exit 1";
const REFUSALS: [string, Answers, RegExp][] = [
  [
    "no engine runs",
    { "version": DOWN },
    /^Cannot use Docker: its engine does not answer \(Cannot connect.*Start Docker Desktop/,
  ],
  ["the user may not use it", { "version": DENIED }, /^Cannot use Docker: your user has no permission\. .*usermod/],
  ["there is no Compose v2", { "compose version": "exit 1" }, /^Cannot use `docker compose`: .* got none/],
  [
    "Compose is too old",
    { "compose version": prints("v2.24.3") },
    /expected version 2\.24\.4 or newer, got v2\.24\.3/,
  ],
  ["memory is short", { "info": prints("1000000000 /x") }, /^Cannot start: Docker needs 1\.9 GB .*has 1\.0 GB/],
  [
    "the files are invalid",
    { "compose config": "echo 'bad port' >&2; exit 15" },
    /^Cannot read the Compose files: bad port/,
  ],
  ["the build fails", { "compose build": "exit 17" }, /^Cannot build the producer's image/],
  ["an image cannot be downloaded", { "compose pull": "exit 18" }, /^Cannot download the images/],
];
for (const [when, answers, sentence] of REFUSALS) {
  stackTest(`stack: starts nothing when ${when}`, answers, async (stack) => {
    const problems = await refusal(stack, up(PLAIN, stack.context));
    assertEquals(problems.length, 1);
    assertMatch(problems.join("\n"), sentence);
  });
}

stackTest("stack: starts nothing when the disk is full or a port is taken, and reports all problems at once", {
  "image": "exit 1",
  "compose config": prints(JSON.stringify({
    name: "x",
    services: { "broker": serviceJson([9092]), "grafana": serviceJson([3000]), "other": serviceJson([5, 6]) },
  })),
  // a running service uses its own port
  "compose ps": prints(containerJson("broker", "running", "healthy")),
}, async (stack) => {
  const problems = await refusal(stack, up(PLAIN, stack.context));
  assertEquals(problems.map((problem) => problem.slice(0, 50)), [
    "Cannot start: the disk of /var/lib/docker needs 4.",
    "Cannot use port 3000 for grafana: another program ",
    "Cannot use port 6 for other: another program uses ",
  ]);
  assertStringIncludes(problems[1] ?? "", "or set GRAFANA_PORT to another port");
}, { computer: { isPortFree: (port) => port === 5, freeSpace: () => Promise.resolve(3.9e9) } });

stackTest("stack: less disk is enough once the images are downloaded", {
  "compose config": prints(JSON.stringify({
    name: "x",
    services: {
      "built": { ...serviceJson(), image: "ours:1", build: { context: "." } },
      "also-built": { ...serviceJson(), image: "ours:1" },
      "broker": serviceJson(),
    },
  })),
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.context), 0);
  const [call] = (await stack.calls()).filter((call) => call.startsWith("image"));
  assertEquals(call, "image inspect --format {{.Id}} some/image:1.2.3");
}, { computer: { isPortFree: () => true, freeSpace: () => Promise.resolve(1.1e9) } });

const UP_FAILS = (message: string) => `echo '${message}' >&2; exit 1`;
stackTest("stack: names the service that does not become healthy, with the end of its log", {
  "compose up": UP_FAILS("container crypto-data-streaming-grafana-1 is unhealthy"),
  "compose ps": [
    "",
    prints(`${containerJson("broker", "running", "healthy")}\n${containerJson("init-kafka", "exited")}`),
    prints(
      `${containerJson("broker", "running", "healthy")}\n${containerJson("init-kafka", "exited")}\n` +
        containerJson("grafana", "running", "unhealthy"),
    ),
  ],
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.context), 1);
  assertMatch(stack.text, /^grafana did not become healthy: unhealthy after \d+ s\. The end of its log:$/m);
  assertStringIncludes(stack.text, "  | a line\n  | another line");
  assertStringIncludes(stack.text, 'docs/stack.md, "Troubles", says what to do');
  const calls = await stack.calls();
  assert(calls.includes("compose --file docker-compose.yml logs --no-color --no-log-prefix --tail 20 grafana"));
  assert(!stack.text.includes("Everything works"));
});

stackTest("stack: names the one-shot that fails, not those that wait for it", {
  "compose up": `echo 'service "init-kafka" did not complete successfully: exit 1' >&2; exit 1`,
  "compose ps": prints(
    `${containerJson("broker", "running", "healthy")}\n${containerJson("init-kafka", "exited", "", 1)}\n` +
      containerJson("grafana", "created"),
  ),
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.context), 1);
  assertMatch(stack.text, /^init-kafka did not succeed: ended with exit code 1 after/m);
  assert(!/^grafana did not/m.test(stack.text));
});

const still = (state: string, health: string) => ({
  "compose up": "while true; do sleep 0.01; done",
  "compose ps": prints(
    `${containerJson("broker", "running", "healthy")}\n${containerJson("init-kafka", "exited")}\n` +
      containerJson("grafana", state, health),
  ),
});
stackTest("stack: gives up on a service that is not ready in time", still("running", "starting"), async (stack) => {
  assertEquals(await up(PLAIN, stack.context), 1);
  assertMatch(stack.text, /^Cannot start all services: they are not ready after \d+ s$/m);
  assertMatch(stack.text, /^grafana did not become healthy: starting after \d+ s/m);
}, { startTimeoutMs: 5000 });
stackTest("stack: gives up on a service that restarts repeatedly", still("restarting", ""), async (stack) => {
  assertEquals(await up(PLAIN, stack.context), 1);
  assertMatch(stack.text, /^grafana did not become healthy: restarting \(exit code 0\) after/m);
});

const REFUSED = { "compose up": UP_FAILS("Error response from daemon: something odd") };
stackTest("stack: nothing was started because Docker refuses", { ...REFUSED, "compose ps": "" }, async (stack) => {
  const { message } = await assertRejects(() => up(PLAIN, stack.context), ConfigError);
  assertMatch(message, /^Cannot start all services: .*something odd/);
});
stackTest("stack: some run, then Docker refuses", {
  ...REFUSED,
  "compose ps": prints(containerJson("broker", "running", "healthy")),
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.context), 1);
  assertStringIncludes(stack.text, "something odd");
});

for (
  const [state, health, reason] of [
    ["running", "starting", "unhealthy, now starting,"],
    ["restarting", "", "restarting (exit code 0)"],
    ["running", "healthy", "unhealthy, now healthy,"],
  ] as const
) {
  const how = `${state} ${health}`.trim();
  stackTest(`stack: names the service that Compose gave up on, even if it is ${how} at the last look`, {
    "compose up": UP_FAILS("dependency failed to start: container crypto-data-streaming-broker-1 is unhealthy"),
    "compose ps": [
      "",
      prints(
        `${containerJson("broker", state, health)}\n${containerJson("init-kafka", "created")}\n` +
          containerJson("grafana", "created"),
      ),
    ],
  }, async (stack) => {
    assertEquals(await up(PLAIN, stack.context), 1);
    assertStringIncludes(`\n${stack.text}`, `\nbroker did not become healthy: ${reason} after `);
    assertStringIncludes(stack.text, "  | a line\n  | another line");
    assert(!/^(grafana|init-kafka) did not/m.test(stack.text));
    assert((await stack.calls()).some((call) => call.endsWith("logs --no-color --no-log-prefix --tail 20 broker")));
  });
}
stackTest("stack: names first what Compose names, then what has ended, once each", {
  "compose up": UP_FAILS("dependency failed to start: container crypto-data-streaming-grafana-1 exited (1)"),
  "compose ps": prints(`${containerJson("broker", "exited", "", 143)}\n${containerJson("grafana", "restarting")}`),
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.context), 1);
  assertEquals(stack.printed.filter((line) => / did not /.test(line)).map((line) => line.replace(/,? after.*/, "")), [
    "grafana did not become healthy: restarting (exit code 0)",
    "broker did not become healthy: ended with exit code 143",
  ]);
});
stackTest("stack: names the one-shot that Compose names, even if it runs again", {
  "compose up": `echo 'service "init-kafka" didn'"'"'t complete successfully: exit 1' >&2; exit 1`,
  "compose ps": prints(containerJson("init-kafka", "running")),
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.context), 1);
  assertMatch(stack.text, /^init-kafka did not succeed: exit 1, now running, after/m);
});
stackTest("stack: names a service that restarts if Docker names none, and prints Docker's message", {
  ...REFUSED,
  "compose ps": prints(containerJson("broker", "restarting")),
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.context), 1);
  assertMatch(stack.text, /^broker did not become healthy: restarting \(exit code 0\) after/m);
  assertStringIncludes(stack.text, "something odd");
});
stackTest("stack: containers that were only created were not started", {
  ...REFUSED,
  "compose ps": prints(containerJson("broker", "created")),
}, async (stack) => {
  await assertRejects(() => up(PLAIN, stack.context), ConfigError, "something odd");
});

stackTest("stack: a one-shot that is done was started, so the exit code is not 2", {
  ...REFUSED,
  "compose ps": prints(`${containerJson("init-kafka", "exited")}\n${containerJson("broker", "created")}`),
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.context), 1);
  assertStringIncludes(stack.text, "something odd");
});

stackTest("stack: names every 30 s the services that it waits for", {
  "compose up": untilLooks(35),
  "compose ps": prints(`${containerJson("broker", "running", "healthy")}\n${containerJson("init-kafka", "running")}`),
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.context), 0);
  const reminders = stack.printed.filter((line) => line.startsWith("  still waiting "));
  assertEquals(reminders.slice(0, 2), [
    "  still waiting after 30 s for init-kafka, grafana",
    "  still waiting after 60 s for init-kafka, grafana",
  ]);
});

const BLIND = "echo 'the daemon is gone' >&2; exit 1";
const ALL_WELL = prints(
  `${containerJson("broker", "running", "healthy")}\n${containerJson("init-kafka", "exited")}\n` +
    containerJson("grafana", "running", "healthy"),
);
stackTest("stack: a look that fails is repeated, and Compose decides", {
  "compose ps": ["", BLIND, BLIND, ALL_WELL, BLIND],
  "compose up": untilLooks(5),
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.context), 0);
  assertMatch(stack.text, /^ {2}grafana +healthy after/m);
});
stackTest("stack: prints Docker's message if the services cannot be seen after a failure", {
  ...REFUSED,
  "compose ps": ["", ALL_WELL, BLIND],
}, async (stack) => {
  assertEquals(await up(PLAIN, stack.context), 1);
  assertStringIncludes(stack.text, "something odd");
});
stackTest("stack: starts nothing when the containers cannot be listed", { "compose ps": BLIND }, async (stack) => {
  const problems = await refusal(stack, up(PLAIN, stack.context));
  assertMatch(problems.join("\n"), /^Cannot list the containers: the daemon is gone/);
});
stackTest("stack:status prints Docker's message if the containers cannot be listed", {
  "compose ps": BLIND,
}, async (stack) => {
  await assertRejects(() => status(stack.context), ConfigError, "the daemon is gone");
  assertEquals(stack.printed, []);
});

stackTest("stack:down stops every variant and keeps the data", {}, async (stack) => {
  assertEquals(await down(stack.context), 0);
  assertMatch(
    (await stack.calls()).at(-1) ?? "",
    /zookeeper\.yml --file docker-compose\.cluster\.yml --file docker-compose\.demo\.yml down --remove-orphans$/,
  );
});

stackTest("stack:logs follows all services or those that are named", {}, async (stack) => {
  assertEquals(await logs(["grafana"], stack.context), 0);
  assertMatch((await stack.calls()).at(-1) ?? "", /logs --follow --tail 100 grafana$/);
  const { message } = await assertRejects(() => logs(["nothing"], stack.context), ConfigError);
  assertMatch(message, /"nothing": the services are broker, init-kafka, grafana/);
});

stackTest("stack:status prints the state of each service", {
  "compose config": [
    prints(
      JSON.stringify({ name: "x", services: { broker: serviceJson([9092]), grafana: serviceJson(), zookeeper: {} } }),
    ),
    prints(JSON.stringify({ name: "x", services: { broker: serviceJson([9092]), grafana: serviceJson() } })),
  ],
  "compose ps": prints(containerJson("broker", "running", "healthy")),
}, async (stack) => {
  assertEquals(await status(stack.context), 1);
  assertEquals(stack.printed.map((line) => line.trim().split(/\s{2,}/)), [
    ["broker", "healthy", "Up (healthy)", "localhost:9092"],
    ["grafana", "not created"],
  ]);
});
stackTest("stack:status when nothing is started", { "compose ps": "" }, async (stack) => {
  assertEquals(await status(stack.context), 1);
  assertMatch(stack.text, /^Nothing is running/);
});

stackTest("stack:reset refuses without a terminal", {}, async (stack) => {
  const problems = await refusal(stack, reset(false, stack.context));
  assertMatch(problems.join("\n"), /confirm with --yes, as there is no terminal/);
  assertEquals(await stack.calls(), [""]);
});
stackTest("stack:reset deletes without asking with --yes", {}, async (stack) => {
  assertEquals(await reset(true, stack.context), 0);
  assertMatch((await stack.calls()).at(-1) ?? "", /down --volumes --remove-orphans$/);
});
for (const [answer, deletes] of [["delete", true], ["yes", false], ["", false], [null, false]] as const) {
  stackTest(
    `stack:reset ${deletes ? "deletes" : "keeps"} the data at the answer ${JSON.stringify(answer)}`,
    {},
    async (stack) => {
      assertEquals(await reset(false, stack.context), deletes ? 0 : 1);
      const calls = await stack.calls();
      assertEquals(calls.some((call) => / down /.test(call)), deletes);
    },
    { prompt: () => answer },
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
          'Cannot use "--big": stack takes only --demo, --cluster, --zookeeper',
        ],
        [
          "stack",
          ["--cluster", "--zookeeper"],
          "Cannot use --cluster with --zookeeper: choose one of them",
        ],
        ["stack:down", ["x"], 'Cannot use "x": stack:down takes no arguments'],
        ["stack:reset", [], "Cannot delete the data: confirm with --yes"],
        ["stack:status", [], "Cannot find docker", "/no/such.pem"],
        [
          "stack",
          [],
          'Cannot use DENO_CERT: expected a file with certificates, got "/no/',
          "/no/x.pem",
        ],
        ["stack", ["--demo"], "Cannot find docker", ""],
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
