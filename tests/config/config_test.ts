import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { parse } from "@std/dotenv";
import { CHECK_SETTINGS } from "../../src/checks/servers.ts";
import { type Config, describeSettings, envExample, readConfig, SETTINGS } from "../../src/config/config.ts";
import { hintsFor, problemsInDotEnv } from "../../src/config/environment.ts";
import { ConfigError } from "../../src/core/errors.ts";
import { coinbase } from "../../src/exchanges/coinbase.ts";

const ALL_PRODUCTS = ["ETH-USD", "BTC-USD", "SOL-USD", "BNB-USD", "XRP-USD", "ADA-USD", "AVAX-USD", "DOT-USD"];
const SSL = { KAFKA_SSL: "true" };

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
    shard: undefined,
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
    certificates: undefined,
    sasl: undefined,
    storeFile: "data/prices.sqlite",
    ticksDays: 7,
    candlesDays: 0,
    cursorFile: undefined,
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
  { name: "SHARD", value: " 2/3 ", field: "shard", wanted: { number: 2, of: 3 } },
  { name: "SHARD", value: "2/3", field: "products", wanted: ["ETH-USD", "XRP-USD", "AVAX-USD"] },
  { name: "SHARD", value: "1/1", field: "products", wanted: ALL_PRODUCTS },
  { name: "COINBASE_CHANNEL", value: "ticker", field: "channel", wanted: "ticker" },
  { name: "COINBASE_CHANNEL", value: "TICKER", field: "channel", wanted: "ticker" },
  { name: "COINBASE_WS_URL", value: "ws://127.0.0.1:8765", field: "feedUrl", wanted: "ws://127.0.0.1:8765" },
  {
    name: "ALLOWED_HOSTS",
    value: "RaspberryPi.local:8000, feed,feed:80,b\u00fccher.example,[::1]:8000,10.0.0.1",
    field: "allowedHosts",
    wanted: ["raspberrypi.local", "feed", "xn--bcher-kva.example", "[::1]", "10.0.0.1"],
  },
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
  ["SHARD", "1"],
  ["SHARD", "0/3"],
  ["SHARD", "4/3"],
  ["SHARD", "-1/3"],
  ["SHARD", "1/0"],
  ["SHARD", "1/1001"],
  ["SHARD", "1/3/5"],
  ["SHARD", "one/three"],
  ["SHARD", "1.5/3"],
  ["COINBASE_PRODUCTS", "BTC-USD,nonsense", "nonsense"],
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
  ["ALLOWED_HOSTS", "http://raspberrypi.local:8000"],
  ["ALLOWED_HOSTS", "*.local"],
  ["ALLOWED_HOSTS", "feed,raspberrypi.local/prices", "raspberrypi.local/prices"],
  ["ALLOWED_HOSTS", "feed:80000"],
  ["ALLOWED_HOSTS", "999.999.999.999"],
  ["ALLOWED_HOSTS", "a b"],
  ["ALLOWED_ORIGINS", "example.org"],
  ["ALLOWED_ORIGINS", "https://example.org/"],
  ["ALLOWED_ORIGINS", "*"],
  ["LOG_LEVEL", "verbose"],
  ["LOG_FORMAT", "xml"],
];
for (const [name, value, shown = value] of BAD) {
  Deno.test(`readConfig() refuses ${name}=${JSON.stringify(value.slice(0, 30))}, and says what was expected and found`, () => {
    const expected = SETTINGS.find((setting) => setting.name === name)?.expected;
    assertEquals(problemsOf({ [name]: value }), [
      `Cannot use ${name}: expected ${expected}, got "${shown}"`,
    ]);
  });
}

Deno.test("readConfig() reports all problems at once", () => {
  const problems = problemsOf({ PORT: "x", LOG_LEVEL: "y", KAFKA_BROKERS: "a,c:1,b", KAFKA_TOPIC: "feed_gaps" });
  assertEquals(problems.map((problem) => problem.split(/[ :]+/)[2]), [
    "KAFKA_BROKERS",
    "KAFKA_GAPS_TOPIC",
    "PORT",
    "LOG_LEVEL",
  ]);
  assert(problems[0]?.endsWith('got "a,b"'), "all brokers that are wrong, and no other");
});

Deno.test("readConfig() refuses to start without a broker where Kafka is needed", () => {
  const problems = problemsOf({ KAFKA_BROKERS: " " }, {}, "start");
  assertEquals(problems.length, 1);
  assert(problems[0]?.includes("KAFKA_BROKERS to be host:port, separated by commas, but it is not set"));
  assertEquals(read({ KAFKA_BROKERS: "a:9092" }, {}, "start").brokers, ["a:9092"]);
});

Deno.test("readConfig() gives start a store only if STORE_FILE is set, and a cursor only with Kafka or a name", () => {
  const kafka = { KAFKA_BROKERS: "a:9092" };
  const files = (...args: Parameters<typeof read>) => [read(...args).storeFile, read(...args).cursorFile];
  assertEquals(files(kafka, {}, "start"), [undefined, undefined]);
  assertEquals(files({ ...kafka, CURSOR_FILE: "c" }, {}, "start"), [undefined, "c"]);
  assertEquals(files({ ...kafka, STORE_FILE: "s" }, {}, "start"), ["s", "s.cursor"]);
  assertEquals(files({ ...kafka, STORE_FILE: "" }), [undefined, undefined]);
  assertEquals(files(), ["data/prices.sqlite", undefined]);
});

Deno.test("readConfig() reads the login from the environment or, without the line end, from files", () => {
  const login = { KAFKA_USERNAME: "me", KAFKA_SASL_MECHANISM: "SCRAM-SHA-512" };
  const sasl = { mechanism: "scram-sha-512", username: "me", password: "hunter2" } as const;
  assertEquals(read({ ...login, KAFKA_PASSWORD: "hunter2" }).sasl, sasl);
  assertEquals(read({ ...login, KAFKA_PASSWORD_FILE: "/run/pw" }, { "/run/pw": "hunter2\r\n" }).sasl, sasl);
  const both = { ...login, KAFKA_PASSWORD: "", KAFKA_PASSWORD_FILE: "/run/pw" };
  assertEquals(read(both, { "/run/pw": "hunter2" }).sasl, sasl, "an empty text counts as not set");
});

Deno.test("readConfig() refuses every file that is empty: a secret that was not written is not the same as no secret", () => {
  const names = SETTINGS.filter(({ secret, file }) => secret || file).map(({ name }) => `${name}_FILE`);
  assertEquals(names.length, 5);
  const values = { ...SSL, ...Object.fromEntries(names.map((name) => [name, "/empty"])) };
  const problems = problemsOf(values, { "/empty": " \r\n" });
  assertEquals(
    problems.map((problem) => /^Cannot use (\w+): .* got the empty file/.exec(problem)?.[1]).toSorted(),
    names.toSorted(),
  );
});

Deno.test("readConfig() reads no file for a setting that is not secret", () => {
  assertEquals(read({ KAFKA_TOPIC_FILE: "/x" }, { "/x": "other" }).topic, "ticker_batch");
});

const LOGIN: { name: string; values: Record<string, string>; files?: Files; said: string }[] = [
  {
    name: "a user without password",
    values: { KAFKA_USERNAME: "me" },
    said: "Cannot log in to Kafka: expected both KAFKA_USERNAME and KAFKA_PASSWORD, got only one of them",
  },
  {
    name: "a password without user",
    values: { KAFKA_PASSWORD: "hunter2" },
    said: "Cannot log in to Kafka: expected both KAFKA_USERNAME and KAFKA_PASSWORD, got only one of them",
  },
  {
    name: "an empty password file",
    values: { KAFKA_USERNAME: "me", KAFKA_PASSWORD_FILE: "/pw" },
    files: { "/pw": "\n" },
    said: 'Cannot use KAFKA_PASSWORD_FILE: expected a file with a password, got the empty file "/pw"',
  },
  {
    name: "a password file that cannot be read",
    values: { KAFKA_USERNAME: "me", KAFKA_PASSWORD_FILE: "/pw" },
    said: 'Cannot read KAFKA_PASSWORD_FILE: expected a readable file, got "/pw" (No such file)',
  },
];
for (const { name, values, files, said } of LOGIN) {
  Deno.test(`readConfig() refuses ${name}, with one sentence`, () => {
    const problems = problemsOf(values, files);
    assertEquals(problems.length, 1);
    assert(problems[0]?.includes(said), problems[0]);
  });
}

Deno.test("readConfig() refuses a path that begins with ~, which only a shell expands", () => {
  const paths = [
    "STORE_FILE",
    "CURSOR_FILE",
    ...SETTINGS.filter((each) => each.secret || each.file).map(({ name }) => `${name}_FILE`),
  ];
  for (const name of paths) {
    for (const path of ["~", "~/x", "~me/x"]) {
      // whatever else is wrong then comes after it
      assertEquals(
        problemsOf({ [name]: path }, { [path]: "x" })[0]?.split(" (")[0],
        `Cannot use ${name}: expected a path that does not begin with "~", which only a shell expands, got "${path}"`,
      );
    }
  }
  assertEquals(read({ STORE_FILE: "./~x/~" }).storeFile, "./~x/~");
});

Deno.test("readConfig() has only the products of its shard, and all shards together have each product once", () => {
  const products = [1, 2, 3].flatMap((number) => read({ SHARD: `${number}/3` }).products);
  assertEquals(products.toSorted(), ALL_PRODUCTS.toSorted());
});

Deno.test("readConfig() refuses a shard without products, and names the shards that have them", () => {
  assertEquals(problemsOf({ SHARD: "1/3", COINBASE_PRODUCTS: "BTC-USD,ETH-USD" }), [
    "Cannot use SHARD=1/3: none of the 2 products belongs to this shard, they belong to 2, 3; use fewer shards or more " +
    "products",
  ]);
});

/** Made for these tests by openssl 3; the certificates end in 2126. No door opens to these keys. */
const PEM = {
  ca: `-----BEGIN CERTIFICATE-----
MIIBijCCAS+gAwIBAgIUGpKza6LdpMET8LP2U+4jL5EmCkMwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOdGVzdCBhdXRob3JpdHkwIBcNMjYxMTI0MTg1NjQxWhgPMjEy
NjEwMzExODU2NDFaMBkxFzAVBgNVBAMMDnRlc3QgYXV0aG9yaXR5MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEEQTdvM39Pmof/mW+6MWJ+Qz3MSyPRJwhaYPmF1g2
Y6WqTUBXbO4geN/W7hNQ+Q3FAoX35J3IYARpL/Ia0gb5caNTMFEwHQYDVR0OBBYE
FAoRRjd2O0+jbi0PYBro+eW8Bg1eMB8GA1UdIwQYMBaAFAoRRjd2O0+jbi0PYBro
+eW8Bg1eMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAMyt6YUP
wryqD8ZbPYqTVEyzCNPH3sXmHdtkG3raoCvsAiEAgIYpd7gexJ4954VmEnpsmAf5
ub0lZt0Mt9W49khKx2I=
-----END CERTIFICATE-----`,
  cert: `-----BEGIN CERTIFICATE-----
MIIBJDCBywIUD4Acm/Xa3C4eWHOSGVFkz7KriGAwCgYIKoZIzj0EAwIwGTEXMBUG
A1UEAwwOdGVzdCBhdXRob3JpdHkwIBcNMjYxMTI0MTg1NjQxWhgPMjEyNjEwMzEx
ODU2NDFaMA8xDTALBgNVBAMMBHRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AATDZ/xb+TtAgESyBHiZey1Yzx/8oRAHVbBqUWn5lsXUGMAoU9g8w0W9us7i7Bo9
nSXu5paVeuJj+w8qJpM2ROPrMAoGCCqGSM49BAMCA0gAMEUCIAtbVfb8dHjPIn8r
BQplNBZiw7FOxypsrAs3XQcLOCgDAiEA/6QEPsMI6+06ng28IWl42zk/HE4mjvYG
iIfzlsBeMBc=
-----END CERTIFICATE-----`,
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgOC62sQihXJEpkFgb
XXlSyesD0jxhwUuZPcOnjud/ijShRANCAATDZ/xb+TtAgESyBHiZey1Yzx/8oRAH
VbBqUWn5lsXUGMAoU9g8w0W9us7i7Bo9nSXu5paVeuJj+w8qJpM2ROPr
-----END PRIVATE KEY-----`,
  otherKey: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgfBCiy/1qAM6pky+K
OS+YuNIQfm/0FQ5sAnF2t406N2+hRANCAAQ1KJWs0H5sEuf5+gIyC/Rzn60kXOxh
Xp2B/jrzKt1pAINdtAK6UoPHKlL/LZJ94em7GZb5uQ1M20GdnjIkKU4P
-----END PRIVATE KEY-----`,
};

Deno.test("readConfig() takes certificates from the environment, from files, and from one line", () => {
  const certificates = { ca: PEM.ca, cert: PEM.cert, key: PEM.key };
  const values = { KAFKA_SSL_CA: PEM.ca, KAFKA_SSL_CERT: PEM.cert, KAFKA_SSL_KEY: PEM.key };
  assertEquals(read({ ...SSL, ...values }).certificates, certificates);
  const oneLine = Object.fromEntries(Object.entries(values).map(([name, pem]) => [name, pem.replaceAll("\n", "\\n")]));
  assertEquals(read({ ...SSL, ...oneLine }).certificates, certificates);
  const paths = Object.fromEntries(Object.keys(values).map((name) => [`${name}_FILE`, `/${name}`]));
  const files = Object.fromEntries(Object.entries(values).map(([name, pem]) => [`/${name}`, `${pem}\n`]));
  assertEquals(read({ ...SSL, ...paths }, files).certificates, certificates);
  assertEquals(read({ ...SSL, KAFKA_SSL_CA: PEM.ca }).certificates, { ca: PEM.ca });
  // several authorities, with words between them as curl's bundle has them
  const bundle = `# one\n${PEM.ca}\n# two\n${PEM.cert}`;
  assertEquals(read({ ...SSL, KAFKA_SSL_CA: bundle }).certificates, { ca: bundle });
  assertEquals(read(SSL).certificates, undefined);
});

const encrypted = PEM.key.replaceAll("PRIVATE", "ENCRYPTED PRIVATE");
const BAD_PEM: { name: string; values: Record<string, string>; files?: Files; said: string }[] = [
  {
    name: "a path instead of an authority",
    values: { KAFKA_SSL_CA: "/etc/ssl/ca.pem" },
    said: "Cannot use KAFKA_SSL_CA: expected PEM certificates, got one word; if it is a path, set " +
      "KAFKA_SSL_CA_FILE instead",
  },
  {
    name: "a path instead of a key",
    values: { KAFKA_SSL_CERT: PEM.cert, KAFKA_SSL_KEY: "/run/secrets/hunter2" },
    said: "Cannot use KAFKA_SSL_KEY: expected a PEM private key without a passphrase, got one word; " +
      "if it is a path, set KAFKA_SSL_KEY_FILE instead",
  },
  {
    name: "an authority that is none",
    values: { KAFKA_SSL_CA_FILE: "/ca" },
    files: { "/ca": "hello, this is no certificate" },
    said:
      'Cannot use KAFKA_SSL_CA_FILE: expected a file with PEM certificates, got text without "-----BEGIN CERTIFICATE-----"',
  },
  {
    name: "an empty file",
    values: { KAFKA_SSL_CA_FILE: "/ca" },
    files: { "/ca": "\n" },
    said: 'Cannot use KAFKA_SSL_CA_FILE: expected a file with PEM certificates, got the empty file "/ca"',
  },
  {
    name: "an authority that is cut off",
    values: { KAFKA_SSL_CA: PEM.ca.slice(0, 300) },
    said: 'Cannot use KAFKA_SSL_CA: expected PEM certificates, got a "-----BEGIN CERTIFICATE-----" without its ' +
      '"-----END CERTIFICATE-----"',
  },
  {
    name: "a bundle with a damaged one",
    values: { KAFKA_SSL_CA: `${PEM.ca}\n${PEM.cert.replace(/\n.{64}\n/, "\n")}` },
    said: "Cannot use KAFKA_SSL_CA: expected PEM certificates, got damaged text: certificate 2 of 2 cannot be read",
  },
  {
    name: "a key without its certificate",
    values: { KAFKA_SSL_KEY: PEM.key },
    said: "Cannot use a client certificate: expected both KAFKA_SSL_CERT and KAFKA_SSL_KEY, got only one of them",
  },
  {
    name: "the key of another certificate",
    values: { KAFKA_SSL_CERT: PEM.cert, KAFKA_SSL_KEY: PEM.otherKey },
    said: "Cannot use KAFKA_SSL_KEY: expected the key of KAFKA_SSL_CERT, got the key of another one",
  },
  {
    name: "a certificate instead of the key",
    values: { KAFKA_SSL_CERT: PEM.cert, KAFKA_SSL_KEY: PEM.cert },
    said: "Cannot use KAFKA_SSL_KEY: expected a PEM private key without a passphrase, got text without " +
      '"-----BEGIN PRIVATE KEY-----"',
  },
  {
    name: "a key with a passphrase",
    values: { KAFKA_SSL_CERT: PEM.cert, KAFKA_SSL_KEY: encrypted },
    said:
      "Cannot use KAFKA_SSL_KEY: expected a PEM private key without a passphrase, got a key with one; remove it with: " +
      "openssl pkcs8 -topk8 -nocrypt -in KEY -out NEW",
  },
  {
    name: "a damaged key",
    values: { KAFKA_SSL_CERT: PEM.cert, KAFKA_SSL_KEY: PEM.key.replace(/\n.{30}/, "\n") },
    said:
      "Cannot use KAFKA_SSL_KEY: expected a PEM private key without a passphrase, got a damaged key, which cannot be read",
  },
  {
    name: "certificates for a connection that is not encrypted",
    values: { KAFKA_SSL: "false", KAFKA_SSL_CA: PEM.ca, KAFKA_SSL_CERT: PEM.cert, KAFKA_SSL_KEY: PEM.key },
    said: "Cannot use KAFKA_SSL_CA and KAFKA_SSL_CERT and KAFKA_SSL_KEY: expected KAFKA_SSL to be true, " +
      'got "false"',
  },
  {
    name: "a file that cannot be read",
    values: { KAFKA_SSL_CA_FILE: "/nowhere" },
    said: 'Cannot read KAFKA_SSL_CA_FILE: expected a readable file, got "/nowhere" (No such file)',
  },
];
for (const { name, values, files, said } of BAD_PEM) {
  Deno.test(`readConfig() refuses ${name}, with one sentence and no secret`, () => {
    const problems = problemsOf({ ...SSL, ...values }, files);
    assertEquals(problems, [said]);
    for (const line of [...PEM.key.split("\n"), "hunter2"].filter((line) => !line.startsWith("-----"))) {
      assert(line === "" || !said.includes(line));
    }
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
  ["KAFKA_SSL_CAS_FILE", "KAFKA_SSL_CA_FILE"],
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
  ...["KAFKA_USERNAME_FILE", "KAFKA_PASSWORD_FILE", "KAFKA_SSL_CA_FILE", "KAFKA_SSL_CERT_FILE", "KAFKA_SSL_KEY_FILE"],
];
Deno.test("hintsFor() leaves alone the settings and whatever else an environment holds", () => {
  assertEquals(hintsFor(NO_HINTS), []);
});

Deno.test("describeSettings() tells each setting's name, default, meaning and what it must be", () => {
  const text = describeSettings();
  for (const setting of SETTINGS) {
    const { name, expected, meaning } = setting;
    for (const part of [name, expected, meaning, setting.default]) assert(text.includes(part), `${name}: ${part}`);
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
    assertEquals(Deno.readTextFileSync(new URL("../../.env-example", import.meta.url)), envExample());
  },
});

// ---- .env

for (
  const [value, read] of [
    ["word", "word"],
    ["two words", "two words"],
    ["word # a comment", "word"],
    ["# a comment", ""],
    ["'pa$word'", "pa$word"],
    ["'abc#def' # a comment", "abc#def"],
    ['"abc #def"', "abc #def"],
    ["costs 5$", "costs 5$"],
    ["${OTHER}/x", "other/x"],
    ["${NOBODY:-this}", "this"],
  ] as const
) {
  // a name that the text does not set is looked up in the environment
  const refused = value.includes("NOBODY") &&
    Deno.permissions.querySync({ name: "env", variable: "NOBODY" }).state !== "granted";
  Deno.test({
    name: `problemsInDotEnv() finds nothing in ${value}, which is read as meant${
      refused ? " [skipped: needs --allow-env]" : ""
    }`,
    ignore: refused,
    fn() {
      const text = `OTHER=other\nKAFKA_PASSWORD=${value}\nKAFKA_CLIENT_ID=${value}\n`;
      assertEquals(problemsInDotEnv(text, {}), []);
      assertEquals(parse(text).KAFKA_PASSWORD, read);
    },
  });
}

Deno.test("problemsInDotEnv() refuses lines that set nothing, by their number and without their text", () => {
  assertEquals(
    problemsInDotEnv("# prices\r\n\r\nPORT: 8000\nexport HOST=::1\nNOTE='two\nlines'\nhunter2\n", {}),
    [3, 7].map((line) => `Cannot use line ${line} of .env: expected NAME=value or a comment`),
  );
});

Deno.test("problemsInDotEnv() looks at the settings of a command beside those of the program", () => {
  const text = "INFLUX_TOKEN=ab$cd#ef\n";
  assertEquals(problemsInDotEnv(text, {}), []);
  const [problem, ...others] = problemsInDotEnv(text, {}, Object.values(CHECK_SETTINGS));
  assertEquals(others, []);
  assertStringIncludes(problem ?? "", "Cannot use INFLUX_TOKEN in .env");
});

for (
  const [value, why] of [
    ["pa$word", 'without quotes "$" stands for the value of another name'],
    ["pa$OTHER", 'without quotes "$" stands for the value of another name'],
    ["pa${NOBODY}", 'without quotes "$" stands for the value of another name'],
    ["pa\\$word", 'without quotes "$" stands for the value of another name'],
    ["abc#def", 'without quotes a "#" begins a comment'],
    ["abc #def", 'without quotes a "#" begins a comment'],
    ["'it's'", "something follows its closing quote"],
    ['"abc', "its quote is not closed"],
  ] as const
) {
  Deno.test(`problemsInDotEnv() refuses ${value} for a secret, and says what to do`, () => {
    assertEquals(problemsInDotEnv(`OTHER=1\nexport KAFKA_PASSWORD = ${value}\nPORT=8000\n`, {}), [
      `Cannot use KAFKA_PASSWORD in .env, because ${why}: put the whole value in single quotes, ` +
      "or set KAFKA_PASSWORD_FILE to the path of a file with the value",
    ]);
  });
}

Deno.test("problemsInDotEnv() takes a comment right after #, names of the environment, and what is no setting", () => {
  assertEquals(problemsInDotEnv("PORT=9000 #8000\nKAFKA_CLIENT_ID=${HOME}-1\nELSE=pa$word#1\n", { HOME: "h" }), []);
  assertEquals(problemsInDotEnv("KAFKA_CLIENT_ID=a#b", {}), [
    'Cannot use KAFKA_CLIENT_ID in .env, because without quotes a "#" begins a comment: put the whole value in single quotes',
  ]);
  // lines of a value in quotes are none of their own
  assertEquals(problemsInDotEnv('KAFKA_SSL_CA="\nPORT=a#b\nKAFKA_PASSWORD=$x\n"\n', {}), []);
  assertEquals(problemsInDotEnv("KAFKA_PASSWORD_FILE=a#b", {}).length, 1);
});
