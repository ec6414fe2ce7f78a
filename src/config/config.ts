// All settings in one table: the checked Config, `--help`, .env-example and the README's table are made from it.

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
      `Address of ${title}'s feed; on a machine without the internet, that of the simulator`,
    ),
  };
}

const SHARD = setting(
  "SHARD",
  shardNumber(),
  "",
  "This is the nth of m producers that share the products, and follows only its own part of them",
);

/** Where Kafka is, and what to write there. */
export const KAFKA = {
  brokers: setting(
    "KAFKA_BROKERS",
    list("host:port", brokerOf),
    "",
    "Addresses of Kafka; needed by start, optional for dev",
  ),
  topic: setting("KAFKA_TOPIC", text("a Kafka topic name", TOPIC), "ticker_batch", "Topic for the records"),
  gapsTopic: setting(
    "KAFKA_GAPS_TOPIC",
    orEmpty(text("a Kafka topic name", TOPIC)),
    "feed_gaps",
    "Topic for declared gaps; set it to nothing to switch it off",
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
    "The code that encodes requests to Kafka: own is much faster, the bytes are the same",
  ),
  lingerMs: setting(
    "KAFKA_LINGER_MS",
    int(0, 10_000),
    "0",
    "Wait up to this long for a batch to fill, ms: fewer requests, later records",
  ),
  startTimeoutMs: setting(
    "KAFKA_START_TIMEOUT_MS",
    int(0, 86_400_000),
    "300000",
    "At the start, give up (exit 4) if Kafka cannot be reached for this long, ms; 0: never",
  ),
  ssl: setting("KAFKA_SSL", flag(), "false", "Encrypt the connection to Kafka"),
};

/** The program's certificate for Kafka, and its login. */
export const KAFKA_ACCESS = {
  ca: setting(
    "KAFKA_SSL_CA",
    certificates("PEM certificates"),
    "",
    "Authorities to trust instead of the well-known ones, for a Kafka with a private certificate authority",
  ),
  cert: setting(
    "KAFKA_SSL_CERT",
    certificates("a PEM certificate, followed by its intermediate certificates"),
    "",
    "The client certificate, if Kafka asks for one (mutual TLS)",
  ),
  key: setting("KAFKA_SSL_KEY", privateKey(), "", "The key of KAFKA_SSL_CERT"),
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
    "The store of dev; set it to nothing to run without store and page. Start has a store only if this is set",
  ),
  ticksDays: setting("STORE_TICKS_DAYS", int(0, 36_500), "7", "How long the store keeps ticks, days; 0: for ever"),
  candlesDays: setting(
    "STORE_CANDLES_DAYS",
    int(0, 36_500),
    "0",
    "How long the store keeps candles and gaps, days; 0: for ever",
  ),
  cursorFile: setting(
    "CURSOR_FILE",
    path(),
    "",
    "Records how far each product has got, so that the next start knows what it missed, even after kill -9; with store " +
      "and Kafka the default is a file beside the store",
  ),
  queueCapacity: setting(
    "QUEUE_CAPACITY",
    int(1000, 10_000_000),
    "100000",
    "Events that wait while a sink is away; beyond it the oldest ticks are dropped, counted and declared",
  ),
  staleAfterMs: setting(
    "STALE_AFTER_MS",
    int(2000, 600_000),
    "15000",
    "The connection or a product counts as dead if nothing arrives for this long, ms",
  ),
  maxFrameBytes: setting(
    "MAX_FRAME_BYTES",
    int(1024, 67_108_864),
    "1048576",
    "Longer frames are rejected once they have arrived, bytes; one of 64 MiB or more ends the connection",
  ),
  drainMs: setting(
    "DRAIN_TIMEOUT_MS",
    int(0, 600_000),
    "8000",
    "At shutdown, the longest time to write what is left, ms (containers are killed after 10 s)",
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
    "Names under which the pages may be opened, besides localhost and IP addresses; a port is ignored",
  ),
  allowedOrigins: setting(
    "ALLOWED_ORIGINS",
    list("addresses like https://example.org", (item) => URL.parse(item)?.origin === item ? item : undefined),
    "",
    "Web pages that may read the API from another address (CORS)",
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
  /** The exchange to follow. */
  readonly exchange: Exchange;
  /** At least one, without duplicates; with a shard, only the shard's own. */
  readonly products: readonly string[];
  /** Undefined: all products are ours. */
  readonly shard: Shard | undefined;
  /** One of the exchange's. */
  readonly channel: string;
  /** Where the exchange's feed is. */
  readonly feedUrl: string;
  /** PEM that can be read; the key belongs to the certificate. Undefined: none of them is set. */
  readonly certificates: { readonly ca?: string; readonly cert?: string; readonly key?: string } | undefined;
  /** Undefined: no login. */
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
      `Cannot use ${given.join(" and ")} as KAFKA_SSL must be true with them: current value is "false"`,
    );
  } else if ((pem.cert === "") !== (pem.key === "")) {
    read.problems.push(
      "Cannot show Kafka a certificate as KAFKA_SSL_CERT and KAFKA_SSL_KEY must be set together: one of them is empty",
    );
  } else if (pem.cert !== "" && !isKeyOf(pem.key, pem.cert)) {
    read.problems.push("Cannot use KAFKA_SSL_KEY as it must be the key of KAFKA_SSL_CERT: it belongs to another one");
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
      "Cannot log in to Kafka as KAFKA_USERNAME and KAFKA_PASSWORD must be set together: one of them is empty",
    );
  }
  return login.username === "" ? undefined : login;
}

/** The shard's products. */
function ownProducts(read: SettingsReader, shard: Shard | undefined, all: readonly string[]): readonly string[] {
  if (shard === undefined) return all;
  const products = productsOf(shard, all);
  if (products.length === 0) {
    // a producer without work looks as if all were well: say it at once
    const busy = [...new Set(all.map((product) => shardOf(product, shard.of)))].sort((a, b) => a - b);
    read.problems.push(
      `Cannot use SHARD=${shard.number}/${shard.of} as at least one of the ${all.length} products must be its own: ` +
        `shards ${busy.join(", ")} have them all; take fewer shards or more products`,
    );
  }
  return products;
}

/**
 * The checked settings. Throws a ConfigError with everything that is wrong.
 *
 * @param command `start` must have a broker, and has a store only if one is named
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
      `Cannot start without Kafka as KAFKA_BROKERS must be ${KAFKA.brokers.expected}: it is not set ` +
        "(`deno task dev` runs without Kafka)",
    );
  }
  if (kafka.topic === kafka.gapsTopic) {
    read.problems.push(`Cannot use KAFKA_GAPS_TOPIC as it must differ from KAFKA_TOPIC: both are "${kafka.topic}"`);
  }
  const certificates = readCertificates(read, kafka.ssl);
  const sasl = readLogin(read);

  const program = read.readAll(PROGRAM);
  const needsNoStore = command === "start" && environment.values.STORE_FILE === undefined;
  const storeFile = needsNoStore ? undefined : program.storeFile;
  const besideStore = storeFile !== undefined && hasKafka ? `${storeFile}.cursor` : undefined;
  const cursorFile = program.cursorFile ?? besideStore;
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
