// All settings in one table: the checked Config, `--help`, .env-example and the table in docs/settings.md are made from it.

import { ConfigError } from "../core/errors.ts";
import type { Exchange } from "../exchanges/exchange.ts";
import { DEFAULT_EXCHANGE, EXCHANGES } from "../exchanges/mod.ts";
import { certificates, isKeyOf, privateKey } from "./certificates.ts";
import {
  describe,
  type Environment,
  flag,
  int,
  isNot,
  type Kind,
  list,
  oneOf,
  orEmpty,
  path,
  secret,
  type Setting,
  setting,
  SettingsReader,
  text,
  type ValuesOf,
} from "./setting.ts";
import { productsOf, type Shard, shardNumber, shardOf } from "./shard.ts";

const TOPIC = /^(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}$/;

/** The store of `dev` if STORE_FILE is not set. */
export const STORE_FILE = "data/prices.sqlite";

const EXCHANGE = setting(
  "EXCHANGE",
  oneOf(...Object.keys(EXCHANGES)),
  DEFAULT_EXCHANGE.name,
  "The exchange to follow; for several exchanges, run the program once for each",
);

/** Each exchange has the same three settings under its own name. */
function settingsOf({ name, title, url, channels, defaultChannel, defaultProducts, productPattern }: Exchange) {
  const prefix = name.toUpperCase();
  const product = (item: string) => productPattern.test(item.toUpperCase()) ? item.toUpperCase() : undefined;
  return {
    products: setting(
      `${prefix}_PRODUCTS`,
      list(`product ids like ${defaultProducts[0]}`, product, 1),
      defaultProducts.join(","),
      "The products to follow",
    ),
    channel: setting(
      `${prefix}_CHANNEL`,
      oneOf(...Object.keys(channels)),
      defaultChannel,
      Object.entries(channels).map(([name, { meaning }]) => `${name}: ${meaning}`).join("; "),
    ),
    feedUrl: setting(
      `${prefix}_WS_URL`,
      feedAddress(),
      url,
      `Address of ${title}'s feed, or of the simulator`,
    ),
  };
}

const SHARD = setting(
  "SHARD",
  shardNumber(),
  "",
  "Share the products between m producers: this one is the nth, and follows only its part",
);

/** Where Kafka is, and what to write there. */
export const KAFKA = {
  brokers: setting(
    "KAFKA_BROKERS",
    list("host:port", brokerOf),
    "",
    "Addresses of Kafka; required by start, optional for dev",
  ),
  topic: setting("KAFKA_TOPIC", text("a Kafka topic name", TOPIC), "ticker_batch", "Topic for the records"),
  gapsTopic: setting(
    "KAFKA_GAPS_TOPIC",
    orEmpty(text("a Kafka topic name", TOPIC)),
    "feed_gaps",
    "Topic for declared gaps; if empty, gaps are not sent to Kafka",
  ),
  clientId: setting(
    "KAFKA_CLIENT_ID",
    text("a name"),
    "coinbase-producer",
    "The name of this client in the broker's logs",
  ),
  compression: setting("KAFKA_COMPRESSION", oneOf("none", "gzip"), "none", "Compression of the batches sent to Kafka"),
  encoder: setting(
    "KAFKA_ENCODER",
    oneOf("own", "kafkajs"),
    "own",
    "The code that encodes requests to Kafka: own is much faster than kafkajs, with the same result",
  ),
  lingerMs: setting(
    "KAFKA_LINGER_MS",
    int(0, 10_000),
    "0",
    "How long a batch may wait for more records, ms: fewer requests, but later records",
  ),
  startTimeoutMs: setting(
    "KAFKA_START_TIMEOUT_MS",
    int(0, 86_400_000),
    "300000",
    "How long start tries to reach Kafka before it gives up with exit code 4, ms; 0: it never gives up",
  ),
  ssl: setting("KAFKA_SSL", flag(), "false", "Encrypt the connection to Kafka"),
};

/** The program's certificate for Kafka, and its login. */
export const KAFKA_ACCESS = {
  ca: setting(
    "KAFKA_SSL_CA",
    certificates("PEM certificates"),
    "",
    "Certificate authorities to trust instead of the well-known ones, for a Kafka with a private authority",
  ),
  cert: setting(
    "KAFKA_SSL_CERT",
    certificates("a PEM certificate, followed by its intermediate certificates"),
    "",
    "The client certificate, if Kafka requires one (mutual TLS)",
  ),
  key: setting("KAFKA_SSL_KEY", privateKey(), "", "The private key of KAFKA_SSL_CERT"),
  mechanism: setting(
    "KAFKA_SASL_MECHANISM",
    oneOf("plain", "scram-sha-256", "scram-sha-512"),
    "plain",
    "How to log in to Kafka, if KAFKA_USERNAME is set",
  ),
  username: setting("KAFKA_USERNAME", secret("a name"), "", "User name or API key for Kafka"),
  password: setting("KAFKA_PASSWORD", secret("a password"), "", "Password or API secret for Kafka"),
};

/** Everything else. */
export const PROGRAM = {
  storeFile: setting(
    "STORE_FILE",
    orEmpty(path()),
    STORE_FILE,
    "The store. If empty, dev runs without store and page; start has a store only if this is set",
  ),
  ticksDays: setting("STORE_TICKS_DAYS", int(0, 36_500), "7", "How long the store keeps ticks, days; 0: forever"),
  candlesDays: setting(
    "STORE_CANDLES_DAYS",
    int(0, 36_500),
    "0",
    "How long the store keeps candles and gaps, days; 0: forever",
  ),
  cursorFile: setting(
    "CURSOR_FILE",
    path(),
    "",
    "Where the position of each product is saved, so that the next start knows what it missed, even after kill -9; " +
      "with a store and Kafka, the default is a file next to the store",
  ),
  queueCapacity: setting(
    "QUEUE_CAPACITY",
    int(1000, 10_000_000),
    "100000",
    "How many events may wait for a sink; beyond that the oldest ticks are dropped, counted and declared",
  ),
  staleAfterMs: setting(
    "STALE_AFTER_MS",
    int(2000, 600_000),
    "15000",
    "The connection, or a product, counts as dead if nothing arrives for this long, ms",
  ),
  maxFrameBytes: setting(
    "MAX_FRAME_BYTES",
    int(1024, 67_108_864),
    "1048576",
    "The longest frame, bytes. Longer ones are rejected after they have arrived; 64 MiB or more end the connection",
  ),
  drainMs: setting(
    "DRAIN_TIMEOUT_MS",
    int(0, 600_000),
    "8000",
    "How long the shutdown may take to write the rest, ms (containers are killed after 10 s)",
  ),
  host: setting(
    "HOST",
    text("an address of this machine"),
    "127.0.0.1",
    "Address of the page, its API and the status pages; 0.0.0.0 opens them to the network",
  ),
  port: setting("PORT", int(0, 65_535), "8000", "Port of the page, its API and the status pages; 0: any free one"),
  allowedHosts: setting(
    "ALLOWED_HOSTS",
    list("host names like raspberrypi.local", hostOf),
    "",
    "Host names under which the pages may be opened, besides localhost and IP addresses; ports are ignored",
  ),
  allowedOrigins: setting(
    "ALLOWED_ORIGINS",
    list("addresses like https://example.org", (item) => URL.parse(item)?.origin === item ? item : undefined),
    "",
    "Other web sites whose pages may read the API (CORS)",
  ),
  logLevel: setting("LOG_LEVEL", oneOf("debug", "info", "warn", "error"), "info", "The lowest level that is logged"),
  logFormat: setting(
    "LOG_FORMAT",
    oneOf("auto", "text", "json"),
    "auto",
    "auto: text on a terminal, JSON lines otherwise",
  ),
};

/** All settings, in the order in which people read them. */
export const SETTINGS: readonly Setting[] = [
  EXCHANGE,
  ...Object.values(EXCHANGES).flatMap((exchange) => Object.values<Setting>(settingsOf(exchange))),
  SHARD,
  ...Object.values(KAFKA),
  ...Object.values(KAFKA_ACCESS),
  ...Object.values(PROGRAM),
];

/** The checked settings: the values of KAFKA and PROGRAM, and what several settings say together. */
export interface Config extends ValuesOf<typeof KAFKA>, ValuesOf<typeof PROGRAM> {
  readonly exchange: Exchange;
  /** At least one, without duplicates; with a shard, only the shard's own. */
  readonly products: readonly string[];
  /** Undefined if this program follows all products. */
  readonly shard: Shard | undefined;
  readonly channel: string;
  readonly feedUrl: string;
  /** Valid PEM, the key belongs to the certificate. Undefined if none of them is set. */
  readonly certificates: { readonly ca?: string; readonly cert?: string; readonly key?: string } | undefined;
  /** Undefined without a login. */
  readonly sasl:
    | Pick<ValuesOf<typeof KAFKA_ACCESS>, "mechanism" | "username" | "password">
    | undefined;
}

function feedAddress(): Kind<string> {
  return {
    expected: "a ws:// or wss:// address",
    parse(text) {
      if (!/^wss?:$/.test(URL.parse(text)?.protocol ?? "")) throw isNot(text);
      return text;
    },
  };
}

function brokerOf(item: string): string | undefined {
  const port = Number(/^(?:\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9._-]+):(\d{1,5})$/.exec(item)?.[1] ?? 0);
  return port >= 1 && port <= 65_535 ? item : undefined;
}

/** A name as a Host header has it, without its port. */
function hostOf(item: string): string | undefined {
  const isHost = /^(?:\[[0-9a-f:.]+\]|[\p{L}\p{N}._-]+)(?::\d{1,5})?$/u.test(item.toLowerCase());
  return isHost ? URL.parse(`http://${item.toLowerCase()}`)?.hostname : undefined;
}

/** The certificates, which must fit together. */
function readCertificates(read: SettingsReader, ssl: boolean): Config["certificates"] {
  const { ca, cert, key } = KAFKA_ACCESS;
  const pem = { ca: read.read(ca), cert: read.read(cert), key: read.read(key) };
  if (!read.areGood(ca, cert, key)) return undefined;
  const given = [ca, cert, key].map(({ name }) => name).filter((_, at) => Object.values(pem)[at] !== "");
  if (given.length === 0) return undefined;
  if (!ssl) {
    read.problems.push(
      `Cannot use ${given.join(" and ")}: expected KAFKA_SSL to be true, got "false"`,
    );
  } else if ((pem.cert === "") !== (pem.key === "")) {
    read.problems.push(
      "Cannot use a client certificate: expected both KAFKA_SSL_CERT and KAFKA_SSL_KEY, got only one of them",
    );
  } else if (pem.cert !== "" && !isKeyOf(pem.key, pem.cert)) {
    read.problems.push("Cannot use KAFKA_SSL_KEY: expected the key of KAFKA_SSL_CERT, got the key of another one");
  }
  return {
    ...(pem.ca === "" ? {} : { ca: pem.ca }),
    ...(pem.cert === "" ? {} : { cert: pem.cert, key: pem.key }),
  };
}

/** The login to Kafka. */
function readLogin(read: SettingsReader): Config["sasl"] {
  const login = {
    mechanism: read.read(KAFKA_ACCESS.mechanism),
    username: read.read(KAFKA_ACCESS.username),
    password: read.read(KAFKA_ACCESS.password),
  };
  const areGood = read.areGood(KAFKA_ACCESS.username, KAFKA_ACCESS.password);
  if (areGood && (login.username === "") !== (login.password === "")) {
    read.problems.push(
      "Cannot log in to Kafka: expected both KAFKA_USERNAME and KAFKA_PASSWORD, got only one of them",
    );
  }
  return login.username === "" ? undefined : login;
}

/** The shard's products. */
function ownProducts(read: SettingsReader, shard: Shard | undefined, all: readonly string[]): readonly string[] {
  if (shard === undefined) return all;
  const products = productsOf(shard, all);
  if (products.length === 0) {
    // a producer without products would look healthy
    const busy = [...new Set(all.map((product) => shardOf(product, shard.of)))].sort((a, b) => a - b);
    read.problems.push(
      `Cannot use SHARD=${shard.number}/${shard.of}: none of the ${all.length} products belongs to this shard, they ` +
        `belong to ${busy.join(", ")}; use fewer shards or more products`,
    );
  }
  return products;
}

/**
 * The checked settings. Throws a ConfigError with everything that is wrong.
 *
 * @param command `start` requires Kafka, and has a store only if STORE_FILE is set
 */
export function readConfig(environment: Environment, command: "dev" | "start"): Config {
  const read = new SettingsReader(environment);
  const exchange = EXCHANGES[read.read(EXCHANGE)] ?? DEFAULT_EXCHANGE;
  const feed = read.readAll(settingsOf(exchange));
  const shard = read.read(SHARD);
  const products = ownProducts(read, shard, feed.products);

  const kafka = read.readAll(KAFKA);
  const hasKafka = kafka.brokers.length > 0;
  if (command === "start" && !hasKafka && read.areGood(KAFKA.brokers)) {
    read.problems.push(
      `Cannot start without Kafka: expected KAFKA_BROKERS to be ${KAFKA.brokers.expected}, but it is not set ` +
        "(deno task dev runs without Kafka)",
    );
  }
  if (kafka.topic === kafka.gapsTopic) {
    read.problems.push(`Cannot use KAFKA_GAPS_TOPIC: expected another topic than KAFKA_TOPIC, got "${kafka.topic}"`);
  }
  const certificates = readCertificates(read, kafka.ssl);
  const sasl = readLogin(read);

  const program = read.readAll(PROGRAM);
  const hasNoStore = command === "start" && environment.values.STORE_FILE === undefined;
  const storeFile = hasNoStore ? undefined : program.storeFile;
  const cursorFile = program.cursorFile ?? (storeFile !== undefined && hasKafka ? `${storeFile}.cursor` : undefined);
  if (read.problems.length > 0) throw new ConfigError(read.problems);
  return { ...feed, ...kafka, ...program, exchange, shard, products, certificates, sasl, storeFile, cursorFile };
}

/** The settings as `--help` prints them. */
export function describeSettings(): string {
  return `Settings, from the environment or a file .env:\n\n${describe(SETTINGS)}`;
}

/** The text of .env-example. */
export function envExample(): string {
  const lines = SETTINGS.map((setting) =>
    `\n# ${setting.meaning}\n# ${setting.expected}\n#${setting.name}=${setting.default}\n`
  );
  return "# Copy this file to .env and remove the # before the settings you want to change. The environment wins over .env.\n" +
    "# A value with $, # or quotes needs 'single quotes'; ${NAME} outside of quotes is replaced by that name's value.\n" +
    lines.join("");
}
