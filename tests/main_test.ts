// The program as a process: its output, exit codes and signals. Everything stays on this machine.

import { assert, assertEquals, assertGreater, assertLess, assertMatch, assertStringIncludes } from "@std/assert";
import { Simulator } from "../src/simulator/server.ts";
import { ForwardProxy } from "./fakes/forward_proxy.ts";
import { Authority, opensslMissing } from "./servers/certificates.ts";
import { terminateTls } from "./servers/tls.ts";
import { until, within } from "./pipeline/peer.ts";

const permitted = (["run", "net", "read", "write", "env"] as const)
  .every((name) => Deno.permissions.querySync({ name }).state === "granted");

function test(name: string, fn: () => Promise<void>): void {
  const why = " [skipped: needs --allow-run --allow-net --allow-read --allow-write --allow-env]";
  Deno.test({ name: permitted ? name : `${name}${why}`, ignore: !permitted, fn });
}

const ROOT = new URL("..", import.meta.url);
/** Generous, because the machine may be busy. */
const PATIENCE_MS = 120_000;

/** The permissions of the task, so that a missing one is noticed here. */
function flagsOf(command: string): string[] {
  const tasks = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT))).tasks;
  const { command: line } = tasks[command] ?? tasks.dev;
  return (line as string).split(" ").filter((part) => part.startsWith("--"));
}

/** A temporary folder, so that no .env of a developer is read. */
class Folder implements Disposable {
  readonly path = Deno.makeTempDirSync();

  write(name: string, content: string | Uint8Array): string {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    Deno.writeFileSync(`${this.path}/${name}`, bytes);
    return `${this.path}/${name}`;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** A run of the program. */
class Program implements AsyncDisposable {
  stdout = "";
  stderr = "";
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #folder = new Folder();
  readonly #stdout: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;
  readonly #reading: Promise<unknown>;
  #isReading = true;
  #status: Deno.CommandStatus | undefined;

  constructor(
    args: readonly string[],
    env: Record<string, string> = {},
    files: Record<string, string | Uint8Array> = {},
  ) {
    for (const [name, text] of Object.entries(files)) this.#folder.write(name, text);
    const own = ["HOME", "PATH", "DENO_DIR", "XDG_CACHE_HOME"].flatMap((name) => {
      const value = Deno.env.get(name);
      return value === undefined ? [] : [[name, value]];
    });
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-prompt",
        ...flagsOf(args[0] ?? ""),
        "--config",
        new URL("deno.json", ROOT).pathname,
        new URL("main.ts", ROOT).pathname,
        ...args,
      ],
      cwd: this.#folder.path,
      clearEnv: true,
      env: { ...Object.fromEntries(own), DENO_NO_UPDATE_CHECK: "1", PORT: "0", STORE_FILE: "", ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#stdout = this.#child.stdout.getReader();
    this.#child.status.then((status) => this.#status = status);
    this.#reading = Promise.all([this.#read(), this.#listen()]);
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    while (this.#isReading) {
      const { value, done } = await this.#stdout.read();
      if (done) break;
      this.stdout += decoder.decode(value, { stream: true });
    }
  }

  async #listen(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stderr) this.stderr += decoder.decode(chunk, { stream: true });
  }

  /** The JSON lines of its log; other lines are left out. */
  get log(): Record<string, unknown>[] {
    return this.stderr.split("\n").filter((line) => line.startsWith("{") && line.endsWith("}")).map((line) =>
      JSON.parse(line)
    );
  }

  /** The lines on stdout. */
  get records(): string[] {
    return this.stdout.split("\n").slice(0, -1);
  }

  get isOver(): boolean {
    return this.#status !== undefined;
  }

  /** Waits for a condition; rejects with its stderr if that takes too long or the program ends. */
  async until(what: string, condition: () => boolean): Promise<void> {
    await until(`${what}; its stderr: ${this.stderr}`, () => condition() || this.isOver, PATIENCE_MS)
      .catch(() => {
        throw new Error(`Waited in vain until ${what}; its stderr: ${this.stderr}`);
      });
    assert(condition(), `it ended before ${what}; its stderr: ${this.stderr}`);
  }

  /** Waits for this text on stderr. */
  async says(text: string): Promise<void> {
    await this.until(`it says "${text}"`, () => this.stderr.includes(text));
  }

  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** Stops reading its stdout and closes it; with `hang` it stays open. */
  async stopReading({ hang }: { hang: boolean }): Promise<void> {
    this.#isReading = false;
    if (!hang) await this.#stdout.cancel();
  }

  /** Writes its whole stdin. */
  async writeStdin(text: string): Promise<void> {
    await this.#writer.write(new TextEncoder().encode(text));
    await this.#writer.close();
  }

  /** Resolves with its exit code. */
  async end(): Promise<number> {
    const { code } = await within(`it ends; its stderr: ${this.stderr}`, this.#child.status, PATIENCE_MS);
    if (this.#isReading) await within("its output ends", this.#reading);
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.isOver) this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#writer.close().catch(() => {});
    await this.#stdout.cancel().catch(() => {});
    await this.#reading.catch(() => {});
    this.#folder[Symbol.dispose]();
  }
}

/** An address without a server. */
function nowhere(): string {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return `127.0.0.1:${port}`;
}

/** The address of its web server. */
async function statusUrl(program: Program): Promise<string> {
  await program.says("/api/status");
  return String(program.log.find(({ message }) => message === "Started")?.status);
}

// ---- settings and arguments

test("main: start reports all wrong settings at once, before any connection, with exit 2", async () => {
  await using simulator = await Simulator.start();
  await using program = new Program(["start"], {
    COINBASE_WS_URL: simulator.url,
    COINBASE_PRODUCTS: "BTC-USD,what is this",
    KAFKA_BROKERS: "localhost",
    KAFKA_LINGER_MS: "-5",
    KAFKA_BROKER: "localhost:9092",
    PORT: "99999",
  });
  assertEquals([await program.end(), program.stdout], [2, ""]);
  const lines = program.stderr.trimEnd().split("\n");
  assertEquals(lines.length, 5, program.stderr);
  for (const name of ["COINBASE_PRODUCTS", "KAFKA_BROKERS", "KAFKA_LINGER_MS", "PORT"]) {
    assert(lines.some((line) => line.startsWith(`Cannot use ${name}: expected `)), program.stderr);
  }
  assertStringIncludes(program.stderr, "KAFKA_BROKER is not a setting: did you mean KAFKA_BROKERS?");
  assertEquals(simulator.connections(), []);
});

test("main: start without Kafka names the command that needs none, with exit 2", async () => {
  await using program = new Program(["start"]);
  assertEquals(await program.end(), 2);
  assertStringIncludes(program.stderr, "KAFKA_BROKERS");
  assertStringIncludes(program.stderr, "deno task dev");
});

test("main: settings are also read from .env, and the environment overrides them", async () => {
  await using program = new Program(["start"], { KAFKA_LINGER_MS: "no" }, {
    ".env": "KAFKA_LINGER_MS=1\nQUEUE_CAPACITY=few\nKAFKA_BROKERS=127.0.0.1:9\n",
  });
  assertEquals(await program.end(), 2);
  assertStringIncludes(program.stderr, 'QUEUE_CAPACITY: expected 1000 to 10000000, got "few"');
  assertStringIncludes(program.stderr, 'got "no"');
  assertEquals(program.stderr.trimEnd().split("\n").length, 2, program.stderr);
});

const utf16 = (text: string) => new Uint8Array(Uint16Array.from(`\uFEFF${text}`, (char) => char.charCodeAt(0)).buffer);
for (
  const [what, files, env, words] of [
    [
      "a password in .env that would be changed",
      { ".env": "KAFKA_BROKERS=127.0.0.1:9\nKAFKA_USERNAME=u\nKAFKA_PASSWORD=pa$word\n" },
      {},
      'Cannot use KAFKA_PASSWORD in .env, because without quotes "$" stands for the value of another name: put the whole ' +
      "value in single quotes, or set KAFKA_PASSWORD_FILE to the path of a file with the value\n",
    ],
    [
      ".env in UTF-16",
      { ".env": utf16("KAFKA_BROKERS=127.0.0.1:9\n") },
      {},
      "Cannot read .env: it is not text in UTF-8",
    ],
    [
      "a secret in UTF-16",
      { "secret": utf16("pass") },
      { KAFKA_BROKERS: "127.0.0.1:9", KAFKA_USERNAME: "u", KAFKA_PASSWORD_FILE: "secret" },
      'Cannot read KAFKA_PASSWORD_FILE: expected a readable file, got "secret" (it is not text in UTF-8',
    ],
  ] as [string, Record<string, string | Uint8Array>, Record<string, string>, string][]
) {
  test(`main: ${what} ends the program with exit 2 and one sentence`, async () => {
    for (const command of ["start", "dev"]) {
      await using program = new Program([command], env, files);
      assertEquals([await program.end(), program.stdout], [2, ""]);
      assertStringIncludes(program.stderr, words);
      assertEquals(program.stderr.trimEnd().split("\n").length, 1, program.stderr);
    }
  });
}

for (
  const [args, words] of [
    [
      ["fly"],
      'Cannot run "fly": expected dev, demo, start, export, backup, restore, doctor, audit, replay or simulate',
    ],
    [[], 'Cannot run "": expected dev, demo, start, export, backup, restore, doctor, audit, replay or simulate'],
    [["dev", "BTC-USD"], 'Cannot use "BTC-USD": dev takes no arguments'],
    [["replay"], "Cannot replay: expected one file (or - for stdin)"],
    [["replay", "a", "b"], "Cannot replay: expected one file (or - for stdin)"],
    [["replay", "no-such-file.jsonl"], "Cannot replay no-such-file.jsonl"],
    [["replay", "."], "Cannot replay ."],
    [["replay", "~/x"], 'Cannot use FILE: expected a path that does not begin with "~"'],
    [["replay", "--channel", "trades", "x"], "Cannot use --channel: expected ticker_batch or ticker"],
    [["simulate", "--port", "x"], "Cannot use --port"],
  ] as const
) {
  test(`main: ${JSON.stringify(args)} ends with exit 2 and one sentence`, async () => {
    await using program = new Program(args);
    assertEquals([await program.end(), program.stdout], [2, ""]);
    assertStringIncludes(program.stderr, words);
    assertEquals(program.stderr.trimEnd().split("\n").length, 1, program.stderr);
  });
}

for (const args of [["--help"], ["dev", "--help"], ["start", "-h"]]) {
  test(`main: ${args.join(" ")} prints usage and all settings`, async () => {
    await using program = new Program(args);
    assertEquals([await program.end(), program.stderr], [0, ""]);
    for (const text of ["Usage:", "KAFKA_BROKERS", "DRAIN_TIMEOUT_MS", "default 8000"]) {
      assertStringIncludes(program.stdout, text);
    }
  });
}

test("main: start ends with exit 2 if its port is taken, before any connection; dev uses the next one", async () => {
  await using simulator = await Simulator.start({ ticksPerSecond: 50 });
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  try {
    const env = { COINBASE_WS_URL: simulator.url, PORT: String(port) };
    await using start = new Program(["start"], { ...env, KAFKA_BROKERS: nowhere() });
    assertEquals([await start.end(), simulator.connections()], [2, []]);
    assertStringIncludes(start.stderr, `Cannot listen on 127.0.0.1:${port}: expected PORT to be a free port`);

    await using dev = new Program(["dev"], env);
    await dev.says(`Port ${port} is taken, the next free one is used`);
    const response = await fetch((await statusUrl(dev)).replace("/api/status", "/healthz"));
    assertEquals(await response.json(), { alive: true });
    dev.kill("SIGTERM");
    assertEquals(await dev.end(), 0);
  } finally {
    listener.close();
  }
});

// ---- replay

const TICKER = (sequence: number, price: string, time: string) =>
  JSON.stringify({ type: "ticker", sequence, product_id: "BTC-USD", price, time, trade_id: sequence });
const RECORDING = [
  TICKER(1, "37000.12", "2026-10-03T20:58:31.127510Z"),
  JSON.stringify({ at: 1_791_061_112, data: TICKER(2, "37000.13", "2026-10-03T20:58:32.500000Z") }),
  TICKER(2, "37000.13", "2026-10-03T20:58:32.500000Z"),
  "this is no frame",
  `{"type":"heartbeat","last_trade_id":2,"product_id":"BTC-USD","sequence":2,"time":"2026-10-03T20:58:33.000000Z"}`,
  `{"type":"status"}`,
].join("\n");
const RECORDS = [
  '{"product":"BTC-USD","w_time":1791061111,"price":37000.12}',
  '{"product":"BTC-USD","w_time":1791061112,"price":37000.13}',
];

test("main: replay prints the records of a file and nothing else, and a summary on stderr", async () => {
  await using program = new Program(["replay", "frames.jsonl"], {}, { "frames.jsonl": RECORDING });
  assertEquals(await program.end(), 0);
  assertEquals(program.stdout, `${RECORDS.join("\n")}\n`);
  assertEquals(
    program.stderr,
    "2 ticks, 1 repeats, rejected: 1 bad-json, 1 ignored, 0 tickers without a trade, 1 heartbeats and replies, of 6 lines\n",
  );
});

test("main: replay reads stdin, and keeps microseconds on ticker", async () => {
  await using program = new Program(["replay", "-", "--channel", "ticker"]);
  await program.writeStdin(RECORDING);
  assertEquals(await program.end(), 0);
  assertEquals(program.records.map((record) => JSON.parse(record).w_time), [1791061111.12751, 1791061112.5]);
});

test("main: replay ends quietly when its reader closes the pipe", async () => {
  const frames = Array.from({ length: 50_000 }, (_, i) => TICKER(i, "1.5", "2026-10-03T20:58:31.127510Z")).join("\n");
  await using program = new Program(["replay", "frames.jsonl"], {}, { "frames.jsonl": frames });
  await program.until("there are records", () => program.stdout !== "");
  await program.stopReading({ hang: false });
  assertEquals([await program.end(), program.stderr], [0, ""]);
});

test("main: replay of an empty file reports that, with exit 0", async () => {
  await using program = new Program(["replay", "empty.jsonl"], {}, { "empty.jsonl": "" });
  assertEquals([await program.end(), program.stdout], [0, ""]);
  assertStringIncludes(program.stderr, "of 0 lines\nNothing was read: empty.jsonl is empty\n");
});

test("main: replay ends with exit 2 if no line is a frame", async () => {
  await using program = new Program(["replay", "notes.txt"], {}, { "notes.txt": 'these\nare\n"notes"\n' });
  assertEquals([await program.end(), program.stdout, program.stderr], [
    2,
    "",
    "Cannot replay notes.txt: expected a readable file of recorded frames (none of its 3 lines is a frame: " +
    "2 bad-json, 1 bad-message)\n",
  ]);
});

// ---- the live feed

test("main: dev without a store prints records, serves its status, and ends with 0 at SIGTERM", async () => {
  await using simulator = new Program(["simulate", "--port", "0", "--rate", "20"]);
  await simulator.says("listens on ws://");
  const [url = ""] = /ws:\/\/[\d.:]+/.exec(simulator.stderr) ?? [];
  await using program = new Program(["dev"], { COINBASE_WS_URL: url, COINBASE_CHANNEL: "ticker" });
  await program.until("there are 100 records", () => program.records.length >= 100);
  const status = await statusUrl(program);
  for (const [path, code] of [["healthz", 200], ["readyz", 200], ["metrics", 200], ["api/status", 200], ["", 404]]) {
    const response = await fetch(status.replace("api/status", String(path)));
    await response.body?.cancel();
    assertEquals(response.status, code, String(path));
  }
  program.kill("SIGTERM");
  assertEquals(await program.end(), 0);
  for (const record of program.records) {
    assertMatch(record, /^\{"product":"[A-Z]+-USD","w_time":\d+(?:\.\d{1,6})?,"price":[\d.]+\}$/);
  }
  const stopped = program.log.at(-1);
  assertEquals([stopped?.message, stopped?.sent, stopped?.received], [
    "Stopped",
    { stdout: program.records.length },
    program.records.length,
  ]);
  assertEquals(program.log.filter(({ level }) => level !== "info"), []);
  assertStringIncludes(program.stderr, "KAFKA_BROKERS=localhost:9092 deno task dev");
  simulator.kill("SIGTERM");
  assertEquals(await simulator.end(), 0);
});

test("main: dev reports that Coinbase cannot be reached, names the demo, and keeps trying", async () => {
  const address = nowhere();
  await using program = new Program(["dev"], { COINBASE_WS_URL: `ws://${address}`, KAFKA_BROKER: "x" });
  await program.says("Cannot reach Coinbase, trying again");
  await program.says("deno task demo");
  assertStringIncludes(program.stderr, "did you mean KAFKA_BROKERS?");
  const response = await fetch((await statusUrl(program)).replace("/api/status", "/readyz"));
  assertEquals(response.status, 503);
  assertStringIncludes(await response.text(), "no data from Coinbase");
  assertStringIncludes((await ask<{ hint: string }>(program, "/api/status")).hint, "`deno task demo`");
  // now Coinbase can be reached
  await using _simulator = await Simulator.start({ port: Number(address.split(":")[1]), ticksPerSecond: 50 });
  await program.until("there are records", () => program.records.length > 0);
  program.kill("SIGINT");
  assertEquals(await program.end(), 0);
});

// ---- behind a proxy

/** A host name that only a proxy can resolve. */
const FAR = "coinbase.test";

test("main: dev uses the proxy in HTTP_PROXY, except for hosts in NO_PROXY", async () => {
  await using simulator = await Simulator.start({ ticksPerSecond: 50 });
  await using proxy = new ForwardProxy(simulator.port);
  const env = { COINBASE_CHANNEL: "ticker", HTTP_PROXY: `http://127.0.0.1:${proxy.port}` };
  {
    await using program = new Program(["dev"], { ...env, COINBASE_WS_URL: `ws://${FAR}/feed` });
    await program.until("there are records", () => program.records.length > 0);
    assertEquals(proxy.requests, [{ line: `GET http://${FAR}/feed HTTP/1.1`, login: undefined }]);
  }
  // loopback addresses never use the proxy
  for (const more of [{ COINBASE_WS_URL: `ws://localhost:${simulator.port}` }, { NO_PROXY: "127.0.0.0/8" }]) {
    await using program = new Program(["dev"], {
      ...env,
      COINBASE_WS_URL: `ws://127.0.0.1:${simulator.port}`,
      ...more,
    });
    await program.until("there are records", () => program.records.length > 0);
  }
  await using program = new Program(["dev"], { ...env, COINBASE_WS_URL: `ws://${FAR}`, no_proxy: FAR });
  await program.says("Cannot reach Coinbase, trying again");
  assertStringIncludes(program.stderr, "dns error");
  assertEquals(proxy.requests.length, 1);
});

test("main: dev continues with a gap when the proxy is killed and started again", async () => {
  await using simulator = await Simulator.start({ ticksPerSecond: 50 });
  await using proxy = new ForwardProxy(simulator.port);
  await using program = new Program(["dev"], {
    COINBASE_WS_URL: `ws://${FAR}`,
    COINBASE_CHANNEL: "ticker",
    HTTP_PROXY: `http://127.0.0.1:${proxy.port}`,
  });
  await program.until("there are records", () => program.records.length > 0);
  proxy.refuse = 503;
  proxy.cut();
  await program.says("the upgrade was refused: 503 Service Unavailable");
  proxy.refuse = undefined;
  await program.says("Ticks may be missing");
  const before = program.records.length;
  await program.until("there are more records", () => program.records.length > before);
  const [lost] = program.log.filter(({ message }) => message === "Connection to Coinbase ended");
  assertMatch(String(lost?.why), /^closed with code 1006 /);
});

for (
  const [scheme, answer, words] of [
    ["ws", 407, "the upgrade was refused: 407 Proxy Authentication Required"],
    ["ws", 403, "the upgrade was refused: 403 Forbidden"],
    ["wss", 407, "the proxy in HTTPS_PROXY wants another login: "],
    ["wss", 403, "the proxy in HTTPS_PROXY refused to connect us: "],
  ] as const
) {
  test(`main: dev says that the proxy answers ${answer} to ${scheme}, and no secret`, async () => {
    await using simulator = await Simulator.start();
    await using proxy = new ForwardProxy(simulator.port, "somebody:else");
    if (answer !== 407) proxy.refuse = answer;
    const url = `http://me:not-my-password@127.0.0.1:${proxy.port}`;
    await using program = new Program(["dev"], {
      COINBASE_WS_URL: `${scheme}://${FAR}`,
      HTTP_PROXY: url,
      HTTPS_PROXY: url,
    });
    await program.says(words);
    assertEquals(proxy.requests[0]?.login, "me:not-my-password");
    assert(!program.stderr.includes("not-my-password"), program.stderr);
  });
}

Deno.test({
  name: `main: dev reaches the exchange by TLS through the proxy in HTTPS_PROXY, with a login${
    opensslMissing() === undefined ? "" : ` [skipped: ${opensslMissing()}]`
  }`,
  ignore: !permitted || opensslMissing() !== undefined,
  async fn() {
    await using simulator = await Simulator.start({ ticksPerSecond: 50 });
    await using authority = await Authority.make();
    const { key, cert } = await authority.issue({ names: [`DNS:${FAR}`] });
    await using exchange = terminateTls(cert + authority.cert, key, simulator.port);
    await using proxy = new ForwardProxy(exchange.port, "me:my-password");
    const env = {
      COINBASE_WS_URL: `wss://${FAR}/feed`,
      COINBASE_CHANNEL: "ticker",
      HTTPS_PROXY: `http://me:my-password@127.0.0.1:${proxy.port}`,
    };
    {
      await using program = new Program(["dev"], env);
      await program.says("DENO_CERT names a file with one more authority, DENO_TLS_CA_STORE=system takes those");
    }
    await using program = new Program(["dev"], { ...env, DENO_CERT: authority.path });
    await program.until("there are records", () => program.records.length > 0);
    for (const { line, login } of proxy.requests) {
      assertEquals([line, login], [`CONNECT ${FAR}:443 HTTP/1.1`, "me:my-password"]);
    }
    assert(!program.stderr.includes("my-password"), program.stderr);
    const asked = proxy.requests.length;
    proxy.cut();
    await program.until("it has connected to the proxy again", () => proxy.requests.length > asked);
    const before = program.records.length;
    await program.until("there are more records", () => program.records.length > before);
  },
});

test("main: dev ends quietly when its reader closes the pipe (| head)", async () => {
  await using simulator = await Simulator.start({ ticksPerSecond: 50 });
  await using program = new Program(["dev"], { COINBASE_WS_URL: simulator.url, COINBASE_CHANNEL: "ticker" });
  await program.until("there are records", () => program.records.length > 0);
  await program.stopReading({ hang: false });
  assertEquals(await program.end(), 0);
  assertEquals(program.log.filter(({ level }) => level !== "info"), []);
});

test("main: dev ends within its drain time although its output is not read (| less)", async () => {
  await using simulator = await Simulator.start({ ticksPerSecond: 500 });
  await using program = new Program(["dev"], {
    COINBASE_WS_URL: simulator.url,
    COINBASE_CHANNEL: "ticker",
    DRAIN_TIMEOUT_MS: "500",
  });
  await program.until("there are records", () => program.records.length > 0);
  await program.stopReading({ hang: true });
  const status = await statusUrl(program);
  const waiting = async () => (await (await fetch(status)).json()).sinks[0].queueDepth as number;
  const end = performance.now() + PATIENCE_MS;
  while (await waiting() < 2000) assert(performance.now() < end, "the pipe never fills");
  program.kill("SIGTERM");
  const before = performance.now();
  assertEquals(await program.end(), 5);
  assertLess(performance.now() - before, 7500);
  assertStringIncludes(program.stderr, "ticks could not be stored within 500 ms");
});

test("main: a client that does not read its responses cannot delay the end", async () => {
  await using simulator = await Simulator.start();
  await using program = new Program(["dev"], { COINBASE_WS_URL: simulator.url });
  const { hostname, port } = new URL(await statusUrl(program));
  using conn = await Deno.connect({ hostname, port: Number(port) });
  const request = new TextEncoder().encode("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2000));
  let last = performance.now();
  const asking = (async () => {
    while (true) {
      await conn.write(request);
      last = performance.now();
    }
  })().catch(() => {});
  await program.until("it no longer accepts requests", () => performance.now() - last > 1000);
  program.kill("SIGTERM");
  assertEquals(await program.end(), 0);
  await asking;
});

// ---- the store and the page

/** The JSON of a path of its API. */
async function ask<T>(program: Program, path: string): Promise<T> {
  return await (await fetch((await statusUrl(program)).replace("/api/status", path))).json();
}

test("main: dev keeps its ticks after kill -9, declares what it missed, and refuses a second program at its store", async () => {
  await using simulator = await Simulator.start({ ticksPerSecond: 20 });
  using folder = new Folder();
  const env = {
    COINBASE_WS_URL: simulator.url,
    COINBASE_CHANNEL: "ticker",
    COINBASE_PRODUCTS: "BTC-USD",
    STORE_FILE: `${folder.path}/new folder/prices.sqlite`,
  };
  const path = "/api/ticks?product=BTC-USD&limit=10000";
  type Ticks = { w_time: number; sequence: number }[];
  let before: Ticks = [];
  {
    await using first = new Program(["dev"], env);
    const enough = async () => (before = await ask<Ticks>(first, path)).length >= 20;
    await first.says("The page is at http://127.0.0.1:");
    const end = performance.now() + PATIENCE_MS;
    while (!await enough()) assert(performance.now() < end, first.stderr);
    assertEquals(first.stdout, "");

    await using second = new Program(["dev"], env);
    assertEquals(await second.end(), 4);
    assertStringIncludes(second.stderr, "prices.sqlite");
    assertMatch(String(second.log.at(-1)?.message), /another program/);
    first.kill("SIGKILL");
    await first.end();
  }
  await using third = new Program(["dev"], env);
  await third.says("Connected to Coinbase");
  const closed = async () =>
    (await ask<{ reason: string; from: number | null; to: number | null }[]>(third, "/api/gaps"))
      .filter(({ reason, to }) => reason === "restart" && to !== null);
  const end = performance.now() + PATIENCE_MS;
  while ((await closed()).length < 2) assert(performance.now() < end, third.stderr);
  const [, restart] = await closed();
  const after = await ask<Ticks>(third, path);
  assertEquals(after.slice(0, before.length), before);
  // it begins with the last stored tick, which may be later than the last one that the test has read
  const last = after.findLast(({ w_time }) => w_time < (restart?.to ?? 0));
  assertEquals(restart?.from, last?.w_time);
  third.kill("SIGTERM");
  assertEquals(await third.end(), 0);
  const { sent, received } = third.log.at(-1) ?? {};
  assertEquals(sent, { live: received, sqlite: received });
});

test("main: demo has a day of history, a page and levers, and leaves no files behind", async () => {
  using folder = new Folder();
  await using program = new Program(["demo"], { TMPDIR: folder.path, COINBASE_WS_URL: "ws://never.invalid" });
  await program.says("The page is at http://127.0.0.1:");
  type Product = { product: string; price: number; state: string };
  const products = await ask<Product[]>(program, "/api/products");
  assertEquals(products.length, 8);
  await until("its day is complete", async () => {
    const candles = await ask<{ ticks: number }[]>(program, "/api/candles?product=BTC-USD&interval=1h");
    return candles.length >= 24;
  }, 60_000);
  assertEquals((await ask<{ demo: boolean }>(program, "/api/status")).demo, true);
  const { levers } = await ask<{ levers: { name: string }[] }>(program, "/api/demo");
  assertEquals(levers.some(({ name }) => name === "hangUp"), true);
  program.kill("SIGTERM");
  assertEquals(await program.end(), 0);
  assertEquals(program.log.filter(({ level }) => level === "error"), []);
  assertEquals(await Array.fromAsync(Deno.readDir(folder.path), ({ name }) => name), []);
});

test("main: exit 3 when Coinbase refuses every product", async () => {
  await using simulator = await Simulator.start();
  await using program = new Program(["dev"], { COINBASE_WS_URL: simulator.url, COINBASE_PRODUCTS: "XRP-GBP,YFI-USD" });
  assertEquals([await program.end(), program.stdout], [3, ""]);
  const { level, message, exitCode } = program.log.at(-1) ?? {};
  assertEquals([level, exitCode], ["error", 3]);
  assertMatch(String(message), /^Coinbase refuses every product: .* is not a valid product$/);
});

test("main: exit 4 when CURSOR_FILE is another kind of file, which is left unchanged", async () => {
  using folder = new Folder();
  const path = `${folder.path}/.env.production`;
  await Deno.writeTextFile(path, "KEY=value\n");
  await using program = new Program(["dev"], { CURSOR_FILE: path, COINBASE_WS_URL: "ws://127.0.0.1:9" });
  assertEquals(await program.end(), 4);
  assertStringIncludes(program.stderr, `Cannot use the cursor ${path} (CURSOR_FILE)`);
  assertEquals(await Deno.readTextFile(path), "KEY=value\n");
  assertEquals(await Array.fromAsync(Deno.readDir(folder.path), ({ name }) => name), [".env.production"]);
});

test("main: exit 2 when CURSOR_FILE and STORE_FILE name one file", async () => {
  using folder = new Folder();
  const path = `${folder.path}/prices`;
  await using program = new Program(["dev"], { CURSOR_FILE: path, STORE_FILE: `${folder.path}/./prices` });
  assertEquals(await program.end(), 2);
  assertStringIncludes(program.stderr, `uses, got ${path}`);
  assertEquals(await Array.fromAsync(Deno.readDir(folder.path)), []);
});

test("main: exit 4 when Kafka is down for KAFKA_START_TIMEOUT_MS", async () => {
  await using simulator = await Simulator.start();
  const broker = nowhere();
  await using program = new Program(["start"], {
    COINBASE_WS_URL: simulator.url,
    KAFKA_BROKERS: broker,
    KAFKA_START_TIMEOUT_MS: "1000",
    DRAIN_TIMEOUT_MS: "500",
  });
  assertEquals([await program.end(), program.stdout], [4, ""]);
  const { level, message, exitCode } = program.log.at(-1) ?? {};
  assertEquals([level, exitCode], ["error", 4]);
  assertStringIncludes(String(message), broker);
});

/** A port that accepts connections and never answers. */
function mute(): { address: string } & Disposable {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const conns: Deno.Conn[] = [];
  (async () => {
    for await (const conn of listener) conns.push(conn);
  })().catch(() => {});
  return {
    address: `127.0.0.1:${listener.addr.port}`,
    [Symbol.dispose]() {
      listener.close();
      for (const conn of conns) conn.close();
    },
  };
}

test("main: exit 4 when Kafka hangs for KAFKA_START_TIMEOUT_MS, or another server listens there", async () => {
  await using simulator = await Simulator.start();
  using kafka = mute();
  const before = performance.now();
  await using program = new Program(["start"], {
    COINBASE_WS_URL: simulator.url,
    KAFKA_BROKERS: kafka.address,
    KAFKA_START_TIMEOUT_MS: "2000",
    DRAIN_TIMEOUT_MS: "500",
  });
  assertEquals(await program.end(), 4, program.stderr);
  assertLess(performance.now() - before, 60_000);
  assertEquals(
    program.log.at(-1)?.message,
    "No answer from kafka in time: is it frozen, or does something else listen at its address?",
  );
});

test("main: an empty file instead of a login ends start with exit 2, before any connection", async () => {
  await using simulator = await Simulator.start();
  await using program = new Program(["start"], {
    COINBASE_WS_URL: simulator.url,
    KAFKA_BROKERS: nowhere(),
    KAFKA_USERNAME_FILE: "user",
    KAFKA_PASSWORD_FILE: "password",
  }, { user: "", password: "\n" });
  assertEquals([await program.end(), simulator.connections()], [2, []]);
  assertEquals(
    program.stderr.match(/^Cannot use KAFKA_\w+_FILE: .* got the empty file ".+"$/gm)?.length,
    2,
    program.stderr,
  );
});

// ---- signals

/** Starts a program whose ticks wait for a Kafka that is down. */
async function waitingForKafka(simulator: Simulator, drainMs: number): Promise<Program> {
  const program = new Program(["start"], {
    COINBASE_WS_URL: simulator.url,
    COINBASE_CHANNEL: "ticker",
    KAFKA_BROKERS: nowhere(),
    DRAIN_TIMEOUT_MS: String(drainMs),
  });
  await program.says("Connected to Coinbase");
  await program.says("Waiting for kafka");
  const url = await statusUrl(program);
  const end = performance.now() + PATIENCE_MS;
  while ((await (await fetch(url)).json()).counters.received < 8) assert(performance.now() < end, "no ticks come");
  return program;
}

test("main: two SIGINT within a millisecond, as deno task sends them, count as one: it still drains", async () => {
  await using simulator = await Simulator.start();
  await using program = await waitingForKafka(simulator, 2000);
  const before = performance.now();
  program.kill("SIGINT");
  program.kill("SIGINT");
  assertEquals(await program.end(), 5);
  assertGreater(performance.now() - before, 1900);
  const { message, exitCode } = program.log.at(-1) ?? {};
  assertEquals(exitCode, 5);
  assertMatch(String(message), /^\d+ ticks could not be stored within 2000 ms$/);
});

test("main: a second signal one second after the first ends it at once", async () => {
  await using simulator = await Simulator.start();
  await using program = await waitingForKafka(simulator, 60_000);
  program.kill("SIGINT");
  await program.until(
    "it has closed its connections",
    () => simulator.connections().every(({ closed }) => closed !== undefined),
  );
  const before = performance.now();
  await program.until("more than a second has passed", () => performance.now() - before > 1100);
  program.kill("SIGTERM");
  assertEquals(await program.end(), 130);
  const { level, message, left, exitCode } = program.log.at(-1) ?? {};
  assertEquals([level, message, exitCode], ["error", "Ended at once, before all ticks were stored", 130]);
  assertGreater((left as { kafka: number }).kafka, 7);
});

test("main: SIGHUP of a closing terminal acts like SIGTERM: it drains and logs that", async () => {
  await using simulator = await Simulator.start({ ticksPerSecond: 50 });
  await using program = new Program(["dev"], { COINBASE_WS_URL: simulator.url, COINBASE_CHANNEL: "ticker" });
  await program.until("there are records", () => program.records.length > 0);
  program.kill("SIGHUP");
  assertEquals(await program.end(), 0);
  const { message, sent } = program.log.at(-1) ?? {};
  assertEquals([message, sent], ["Stopped", { stdout: program.records.length }]);
});

test("main: the first signal drains although the reader of stdout is gone already", async () => {
  await using simulator = await Simulator.start({ ticksPerSecond: 50 });
  await using program = new Program(["dev"], {
    COINBASE_WS_URL: simulator.url,
    COINBASE_CHANNEL: "ticker",
    KAFKA_BROKERS: nowhere(),
    DRAIN_TIMEOUT_MS: "3000",
  });
  const before = performance.now();
  await program.until(
    "it runs for more than a second",
    () => program.stdout !== "" && performance.now() - before > 1500,
  );
  await program.stopReading({ hang: false });
  await program.until(
    "it has closed its connections",
    () => simulator.connections().every(({ closed }) => closed !== undefined),
  );
  program.kill("SIGINT");
  assertEquals(await program.end(), 5);
});
