import { assert, assertEquals, assertThrows } from "@std/assert";
import { parse } from "@std/dotenv";
import { type Config, describeSettings, envExample, hintsFor, readConfig, SETTINGS } from "../src/config.ts";
import { ConfigError } from "../src/errors.ts";
import { coinbase } from "../src/exchanges/coinbase.ts";

const ALL_PRODUCTS = ["ETH-USD", "BTC-USD", "SOL-USD", "BNB-USD", "XRP-USD", "ADA-USD", "AVAX-USD", "DOT-USD"];

type Files = Readonly<Record<string, string>>;

function read(
  values: Readonly<Record<string, string>> = {},
  files: Files = {},
  command: "dev" | "start" = "dev",
): Config {
  const readFile = (path: string) => {
    const text = files[path];
    if (text === undefined) throw new Deno.errors.NotFound("No such file");
    return text;
  };
  return readConfig({ values, readFile }, command);
}

function problemsOf(...args: Parameters<typeof read>): readonly string[] {
  return assertThrows(() => read(...args), ConfigError).problems;
}

Deno.test("readConfig() of an empty environment is the defaults", () => {
  assertEquals(read(), {
    exchange: coinbase,
    products: ALL_PRODUCTS,
    channel: "ticker_batch",
    feedUrl: "wss://ws-feed.exchange.coinbase.com",
    brokers: [],
    topic: "ticker_batch",
    gapsTopic: "feed_gaps",
    clientId: "coinbase-producer",
    compression: "none",
    encoder: "own",
    lingerMs: 0,
    startTimeoutMs: 300_000,
    ssl: false,
    storeFile: "data/prices.sqlite",
    ticksDays: 7,
    candlesDays: 0,
    queueCapacity: 100_000,
    staleAfterMs: 15_000,
    maxFrameBytes: 1_048_576,
    drainMs: 8000,
    host: "127.0.0.1",
    port: 8000,
    allowedHosts: [],
    allowedOrigins: [],
    logLevel: "info",
    logFormat: "auto",
  });
});

const GOOD: { name: string; value: string; field: keyof Config; wanted: unknown }[] = [
  { name: "COINBASE_PRODUCTS", value: " BTC-USD , ETH-USD,", field: "products", wanted: ["BTC-USD", "ETH-USD"] },
  { name: "COINBASE_PRODUCTS", value: "btc-usd,Eth-Usd", field: "products", wanted: ["BTC-USD", "ETH-USD"] },
  { name: "COINBASE_PRODUCTS", value: "BTC-USD,ETH-USD,BTC-USD", field: "products", wanted: ["BTC-USD", "ETH-USD"] },
  { name: "COINBASE_PRODUCTS", value: "btc-usd,BTC-USD", field: "products", wanted: ["BTC-USD"] },
  {
    name: "COINBASE_PRODUCTS",
    value: "1INCH-USD,BTC-31JAN25-CDE",
    field: "products",
    wanted: ["1INCH-USD", "BTC-31JAN25-CDE"],
  },
  { name: "COINBASE_PRODUCTS", value: "", field: "products", wanted: ALL_PRODUCTS },
  { name: "COINBASE_PRODUCTS", value: "  ", field: "products", wanted: ALL_PRODUCTS },
  { name: "COINBASE_CHANNEL", value: "ticker", field: "channel", wanted: "ticker" },
  { name: "COINBASE_CHANNEL", value: "TICKER", field: "channel", wanted: "ticker" },
  { name: "COINBASE_WS_URL", value: "ws://127.0.0.1:8765", field: "feedUrl", wanted: "ws://127.0.0.1:8765" },
  { name: "KAFKA_BROKERS", value: "a:9092, b.c:19092,", field: "brokers", wanted: ["a:9092", "b.c:19092"] },
  { name: "KAFKA_BROKERS", value: "[::1]:9092", field: "brokers", wanted: ["[::1]:9092"] },
  { name: "KAFKA_TOPIC", value: "prices.v1_a-b", field: "topic", wanted: "prices.v1_a-b" },
  { name: "KAFKA_TOPIC", value: "", field: "topic", wanted: "ticker_batch" },
  { name: "KAFKA_GAPS_TOPIC", value: "", field: "gapsTopic", wanted: "" },
  { name: "KAFKA_COMPRESSION", value: "gzip", field: "compression", wanted: "gzip" },
  { name: "KAFKA_LINGER_MS", value: "10000", field: "lingerMs", wanted: 10_000 },
  { name: "KAFKA_START_TIMEOUT_MS", value: "0", field: "startTimeoutMs", wanted: 0 },
  { name: "KAFKA_SSL", value: "true", field: "ssl", wanted: true },
  { name: "QUEUE_CAPACITY", value: " 1000 ", field: "queueCapacity", wanted: 1000 },
  { name: "PORT", value: "0", field: "port", wanted: 0 },
  { name: "ALLOWED_HOSTS", value: "Prices.Example, b", field: "allowedHosts", wanted: ["prices.example", "b"] },
  {
    name: "ALLOWED_ORIGINS",
    value: "https://a.example, http://localhost:3000",
    field: "allowedOrigins",
    wanted: ["https://a.example", "http://localhost:3000"],
  },
  { name: "STORE_FILE", value: "/var/lib/p.sqlite", field: "storeFile", wanted: "/var/lib/p.sqlite" },
  { name: "STORE_FILE", value: "", field: "storeFile", wanted: undefined },
  { name: "STORE_TICKS_DAYS", value: "0", field: "ticksDays", wanted: 0 },
  { name: "STORE_CANDLES_DAYS", value: "365", field: "candlesDays", wanted: 365 },
  { name: "CURSOR_FILE", value: "/var/lib/cursor.json", field: "cursorFile", wanted: "/var/lib/cursor.json" },
  { name: "KAFKA_BROKERS", value: "a:9092", field: "cursorFile", wanted: "data/prices.sqlite.cursor" },
  { name: "LOG_LEVEL", value: "debug", field: "logLevel", wanted: "debug" },
  { name: "LOG_FORMAT", value: "json", field: "logFormat", wanted: "json" },
];
for (const { name, value, field, wanted } of GOOD) {
  Deno.test(`readConfig() takes ${name}=${JSON.stringify(value)}`, () => {
    assertEquals(read({ [name]: value })[field], wanted as Config[keyof Config]);
  });
}

const BAD: [name: string, value: string, shown?: string][] = [
  ["COINBASE_PRODUCTS", "BTC-USD,nonsense", "NONSENSE"],
  ["COINBASE_PRODUCTS", "BTC-USD ETH-USD"],
  ["COINBASE_PRODUCTS", "BTC/USD"],
  ["COINBASE_PRODUCTS", ","],
  ["EXCHANGE", "kraken"],
  ["COINBASE_CHANNEL", "matches"],
  ["COINBASE_WS_URL", "https://example.com"],
  ["COINBASE_WS_URL", "example.com"],
  ["KAFKA_BROKERS", "localhost"],
  ["KAFKA_BROKERS", "localhost:0"],
  ["KAFKA_BROKERS", "localhost:65536"],
  ["KAFKA_BROKERS", "kafka://localhost:9092"],
  ["KAFKA_BROKERS", "a:9092 b:9092"],
  ["KAFKA_TOPIC", "a b"],
  ["KAFKA_TOPIC", ".."],
  ["KAFKA_TOPIC", "x".repeat(250)],
  ["KAFKA_COMPRESSION", "lz4"],
  ["KAFKA_LINGER_MS", "-5"],
  ["KAFKA_LINGER_MS", "10001"],
  ["KAFKA_LINGER_MS", "0x10"],
  ["KAFKA_LINGER_MS", "1e3"],
  ["KAFKA_LINGER_MS", "1.5"],
  ["KAFKA_LINGER_MS", "5 ms"],
  ["KAFKA_SSL", "1"],
  ["QUEUE_CAPACITY", "999"],
  ["PORT", "65536"],
  ["STORE_TICKS_DAYS", "-1"],
  ["ALLOWED_ORIGINS", "example.org"],
  ["ALLOWED_ORIGINS", "https://example.org/"],
  ["ALLOWED_ORIGINS", "*"],
  ["LOG_LEVEL", "verbose"],
  ["LOG_FORMAT", "xml"],
];
for (const [name, value, shown = value] of BAD) {
  Deno.test(`readConfig() refuses ${name}=${JSON.stringify(value.slice(0, 30))}, and says what it must be and is`, () => {
    const wish = SETTINGS.find((setting) => setting.name === name)?.wish;
    assertEquals(problemsOf({ [name]: value }), [
      `Cannot use ${name} as it must be ${wish}: current value is "${shown}"`,
    ]);
  });
}

Deno.test("readConfig() tells all problems at once", () => {
  const problems = problemsOf({ PORT: "x", LOG_LEVEL: "y", KAFKA_BROKERS: "a,b", KAFKA_TOPIC: "feed_gaps" });
  assertEquals(problems.map((problem) => problem.split(" ")[2]), [
    "KAFKA_BROKERS",
    "KAFKA_BROKERS",
    "KAFKA_GAPS_TOPIC",
    "PORT",
    "LOG_LEVEL",
  ]);
});

Deno.test("readConfig() refuses to start without a broker where Kafka is needed", () => {
  const problems = problemsOf({ KAFKA_BROKERS: " " }, {}, "start");
  assertEquals(problems.length, 1);
  assert(problems[0]?.includes("KAFKA_BROKERS must be host:port, separated by commas: it is not set"));
  assertEquals(read({ KAFKA_BROKERS: "a:9092" }, {}, "start").brokers, ["a:9092"]);
});

Deno.test("readConfig() gives start a store only where one is named, and needs no cursor without Kafka and name", () => {
  const kafka = { KAFKA_BROKERS: "a:9092" };
  const files = (...args: Parameters<typeof read>) => [read(...args).storeFile, read(...args).cursorFile];
  assertEquals(files(kafka, {}, "start"), [undefined, undefined]);
  assertEquals(files({ ...kafka, CURSOR_FILE: "c" }, {}, "start"), [undefined, "c"]);
  assertEquals(files({ ...kafka, STORE_FILE: "s" }, {}, "start"), ["s", "s.cursor"]);
  assertEquals(files({ ...kafka, STORE_FILE: "" }), [undefined, undefined]);
  assertEquals(files(), ["data/prices.sqlite", undefined]);
});

Deno.test("readConfig() takes login from the environment or, without the line end, from files", () => {
  const login = { KAFKA_USERNAME: "me", KAFKA_SASL_MECHANISM: "SCRAM-SHA-512" };
  const sasl = { mechanism: "scram-sha-512", username: "me", password: "hunter2" } as const;
  assertEquals(read({ ...login, KAFKA_PASSWORD: "hunter2" }).sasl, sasl);
  assertEquals(read({ ...login, KAFKA_PASSWORD_FILE: "/run/pw" }, { "/run/pw": "hunter2\r\n" }).sasl, sasl);
  const both = { ...login, KAFKA_PASSWORD: "", KAFKA_PASSWORD_FILE: "/run/pw" };
  assertEquals(read(both, { "/run/pw": "hunter2" }).sasl, sasl, "an empty text counts as not set");
});

Deno.test("readConfig() reads no file for a setting that is no secret", () => {
  assertEquals(read({ KAFKA_TOPIC_FILE: "/x" }, { "/x": "other" }).topic, "ticker_batch");
});

const LOGIN: { name: string; values: Record<string, string>; files?: Files; said: string }[] = [
  { name: "a user without password", values: { KAFKA_USERNAME: "me" }, said: "must be set together" },
  { name: "a password without user", values: { KAFKA_PASSWORD: "hunter2" }, said: "must be set together" },
  {
    name: "an empty password file",
    values: { KAFKA_USERNAME: "me", KAFKA_PASSWORD_FILE: "/pw" },
    files: { "/pw": "\n" },
    said: "must be set together",
  },
  {
    name: "a password file that cannot be read",
    values: { KAFKA_USERNAME: "me", KAFKA_PASSWORD_FILE: "/pw" },
    said: 'Cannot read KAFKA_PASSWORD_FILE as it must name a readable file: current value is "/pw" (No such file)',
  },
];
for (const { name, values, files, said } of LOGIN) {
  Deno.test(`readConfig() refuses ${name}, with one sentence`, () => {
    const problems = problemsOf(values, files);
    assertEquals(problems.length, 1);
    assert(problems[0]?.includes(said), problems[0]);
  });
}

const SECRETS: Record<string, string>[] = [
  { KAFKA_PASSWORD: "hunter2" },
  { KAFKA_USERNAME: "hunter2", PORT: "x" },
  { KAFKA_USERNAME: "me", KAFKA_PASSWORD: "hunter2", KAFKA_SASL_MECHANISM: "none" },
  { KAFKA_BROKERS: "me:hunter2@kafka" },
  { COINBASE_WS_URL: "http://me:hunter2@proxy:80/a" },
];
for (const values of SECRETS) {
  Deno.test(`readConfig() says no secret when ${Object.keys(values).join(" and ")} cannot be used`, () => {
    const text = problemsOf(values).join("\n");
    assert(!text.includes("hunter2"), text);
  });
}

const HINTS: [name: string, meant: string][] = [
  ["KAFKA_BROKER", "KAFKA_BROKERS"],
  ["COINBASE_PRODUCT", "COINBASE_PRODUCTS"],
  ["KAFKA_TOPICS", "KAFKA_TOPIC"],
  ["KAFKA_GAP_TOPIC", "KAFKA_GAPS_TOPIC"],
  ["COINBASE_CHANEL", "COINBASE_CHANNEL"],
  ["LOGLEVEL", "LOG_LEVEL"],
  ["KAFKA_PASSWORDS", "KAFKA_PASSWORD"],
  ["KAFKA_PASWORD_FILE", "KAFKA_PASSWORD_FILE"],
  ["KAFKA_BROKERS_FILE", "KAFKA_BROKERS"],
];
for (const [name, meant] of HINTS) {
  Deno.test(`hintsFor() asks of ${name} whether ${meant} was meant`, () => {
    assertEquals(hintsFor([name]), [`${name} is not a setting: did you mean ${meant}?`]);
  });
}

const NO_HINTS = [
  ...["HOME", "PATH", "HOSTNAME", "SPORT", "POST", "HOSTS", "LOGNAME", "LANG", "PWD", "SHELL", "TERM", "USER"],
  // others speak to Kafka as well, and Kubernetes names its services
  ...["KAFKA_URL", "KAFKA_OPTS", "KAFKA_HEAP_OPTS", "KAFKA_PORT", "KAFKA_SERVICE_HOST", "KAFKA_SERVICE_PORT"],
  ...SETTINGS.map(({ name }) => name),
  ...["KAFKA_USERNAME_FILE", "KAFKA_PASSWORD_FILE"],
];
Deno.test("hintsFor() leaves alone the settings and whatever else an environment holds", () => {
  assertEquals(hintsFor(NO_HINTS), []);
});

Deno.test("describeSettings() tells each setting's name, wish, default and meaning", () => {
  const text = describeSettings();
  for (const setting of SETTINGS) {
    const { name, wish, meaning } = setting;
    for (const part of [name, wish, meaning, setting.default]) assert(text.includes(part), `${name}: ${part}`);
  }
});

Deno.test("envExample(), with the # taken away, is the defaults", () => {
  const uncommented = envExample().replace(/^#(?=[A-Z])/gm, "");
  const values = parse(uncommented);
  assertEquals(Object.keys(values), SETTINGS.map(({ name }) => name));
  assertEquals(read(values), read());
});

const readable = Deno.permissions.querySync({ name: "read", path: ".env-example" }).state === "granted";
Deno.test({
  name: `.env-example is what envExample() makes${readable ? "" : " [skipped: needs --allow-read]"}`,
  ignore: !readable,
  fn() {
    assertEquals(Deno.readTextFileSync(new URL("../.env-example", import.meta.url)), envExample());
  },
});
