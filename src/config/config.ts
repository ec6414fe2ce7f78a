// Environment -> checked Config. Every name, unit, default and meaning stands in one table here; `--help` and .env-example
// are made from it.

import { createPrivateKey, X509Certificate } from "node:crypto";
import { ConfigError, reasonOf } from "../core/errors.ts";
import type { Exchange } from "../exchanges/exchange.ts";
import { DEFAULT_EXCHANGE, EXCHANGES } from "../exchanges/mod.ts";
import type { Level } from "../core/log.ts";
import { MAX_SHARDS, productsOf, type Shard, shardOf } from "./shard.ts";
import { wrongPath } from "../core/terminal.ts";

/** Where the values of settings come from. */
export interface Environment {
  /** All names with their texts; an empty text counts as not set, unless the setting may be empty. */
  readonly values: Readonly<Record<string, string>>;
  /** Reads the file that a `<NAME>_FILE` names. Throws if it cannot. */
  readonly readFile: (path: string) => string;
}

/** One setting as people read of it. */
export interface Setting {
  /** As it stands in the environment. */
  readonly name: string;
  /** As text, just as it could stand in the environment. */
  readonly default: string;
  /** What the value must be, as it stands in messages. */
  readonly wish: string;
  /** What it does, with its unit. */
  readonly meaning: string;
  /** Never shown, and also read from the file that `<NAME>_FILE` names. */
  readonly secret?: true;
  /** No secret, and also read from such a file. */
  readonly file?: true;
}

/** Where `dev` keeps its store when nobody says otherwise. */
export const STORE_FILE = "data/prices.sqlite";

const EXCHANGE_NAMES = Object.keys(EXCHANGES);

/** Each exchange has the same three settings under its own name. */
function settingsOf(exchange: Exchange): Setting[] {
  const { title, url, channels, defaultChannel, defaultProducts } = exchange;
  const prefix = exchange.name.toUpperCase();
  const about = Object.entries(channels).map(([name, { meaning }]) => `${name}: ${meaning}`).join("; ");
  return [
    {
      name: `${prefix}_PRODUCTS`,
      default: defaultProducts.join(","),
      wish: `product ids like ${defaultProducts[0]}, separated by commas`,
      meaning: "Products to follow",
    },
    {
      name: `${prefix}_CHANNEL`,
      default: defaultChannel,
      wish: Object.keys(channels).join(" or "),
      meaning: about,
    },
    {
      name: `${prefix}_WS_URL`,
      default: url,
      wish: "a ws:// or wss:// address",
      meaning: `Where ${title}'s feed is; the simulator's address for machines without the internet`,
    },
  ];
}

/** All settings, in the order in which people meet them. */
export const SETTINGS: readonly Setting[] = [
  {
    name: "EXCHANGE",
    default: DEFAULT_EXCHANGE.name,
    wish: EXCHANGE_NAMES.join(" or "),
    meaning: "Whose prices; for several exchanges run the program once for each",
  },
  ...Object.values(EXCHANGES).flatMap(settingsOf),
  {
    name: "SHARD",
    default: "",
    wish: `n/m like 1/3, n from 1 to m, m at most ${MAX_SHARDS}`,
    meaning: "Several producers share the products, and this is the nth of m: it follows those that are its own",
  },
  {
    name: "KAFKA_BROKERS",
    default: "",
    wish: "host:port, separated by commas",
    meaning: "Where Kafka is; needed by start, optional for dev",
  },
  { name: "KAFKA_TOPIC", default: "ticker_batch", wish: "a Kafka topic name", meaning: "Topic for the records" },
  {
    name: "KAFKA_GAPS_TOPIC",
    default: "feed_gaps",
    wish: "a Kafka topic name, or empty",
    meaning: "Topic for declared gaps; set it to nothing to switch it off",
  },
  { name: "KAFKA_CLIENT_ID", default: "coinbase-producer", wish: "a name", meaning: "Our name in the broker's logs" },
  {
    name: "KAFKA_COMPRESSION",
    default: "none",
    wish: "none or gzip",
    meaning: "Of the batches sent to Kafka",
  },
  {
    name: "KAFKA_ENCODER",
    default: "own",
    wish: "own or kafkajs",
    meaning: "Who writes the requests to Kafka: own is much quicker, the bytes are the same",
  },
  {
    name: "KAFKA_LINGER_MS",
    default: "0",
    wish: "0 to 10000",
    meaning: "Wait so long for a batch to fill, ms: fewer requests, later records",
  },
  {
    name: "KAFKA_START_TIMEOUT_MS",
    default: "300000",
    wish: "0 to 86400000",
    meaning: "Give up (exit 4) if Kafka is away for so long at the start, ms; 0: never",
  },
  { name: "KAFKA_SSL", default: "false", wish: "true or false", meaning: "Encrypt the connection to Kafka" },
  {
    name: "KAFKA_SSL_CA",
    default: "",
    wish: "PEM certificates",
    meaning:
      "Authorities to trust in the place of the well-known ones, where Kafka's certificates come from one of its own",
    file: true,
  },
  {
    name: "KAFKA_SSL_CERT",
    default: "",
    wish: "a PEM certificate, and those above it after it",
    meaning: "Our certificate, where Kafka asks for one (mutual TLS)",
    file: true,
  },
  {
    name: "KAFKA_SSL_KEY",
    default: "",
    wish: "a PEM private key without a passphrase",
    meaning: "The key of KAFKA_SSL_CERT",
    secret: true,
  },
  {
    name: "KAFKA_SASL_MECHANISM",
    default: "plain",
    wish: "plain, scram-sha-256 or scram-sha-512",
    meaning: "How to log in, if KAFKA_USERNAME is set",
  },
  { name: "KAFKA_USERNAME", default: "", wish: "a name", meaning: "Log in to Kafka as", secret: true },
  { name: "KAFKA_PASSWORD", default: "", wish: "a password", meaning: "Log in to Kafka with", secret: true },
  {
    name: "STORE_FILE",
    default: STORE_FILE,
    wish: "the path of a file, or empty",
    meaning:
      "Where dev keeps its store; set it to nothing to run without store and page. Start has none unless it is set",
  },
  {
    name: "STORE_TICKS_DAYS",
    default: "7",
    wish: "0 to 36500",
    meaning: "The store keeps ticks for so many days; 0: for ever",
  },
  {
    name: "STORE_CANDLES_DAYS",
    default: "0",
    wish: "0 to 36500",
    meaning: "The store keeps candles and gaps for so many days; 0: for ever",
  },
  {
    name: "CURSOR_FILE",
    default: "",
    wish: "the path of a file",
    meaning:
      "Notes how far each product has got, so that the next start knows what it missed, after kill -9 too; with store and Kafka it is kept beside the store",
  },
  {
    name: "QUEUE_CAPACITY",
    default: "100000",
    wish: "1000 to 10000000",
    meaning: "Events that wait for a sink that is away; beyond it the oldest ticks are dropped, counted and declared",
  },
  {
    name: "STALE_AFTER_MS",
    default: "15000",
    wish: "2000 to 600000",
    meaning: "The link or a product is taken for dead when nothing comes for so long, ms",
  },
  {
    name: "MAX_FRAME_BYTES",
    default: "1048576",
    wish: "1024 to 67108864",
    meaning: "Longer frames are rejected once they have arrived, bytes; one of 64 MiB or more ends the connection",
  },
  {
    name: "DRAIN_TIMEOUT_MS",
    default: "8000",
    wish: "0 to 600000",
    meaning: "At the end, write what is left for at most so long, ms (containers are killed after 10 s)",
  },
  {
    name: "HOST",
    default: "127.0.0.1",
    wish: "an address of this machine",
    meaning: "Address of the page, its API and the status pages; 0.0.0.0 opens them to the network",
  },
  { name: "PORT", default: "8000", wish: "0 to 65535", meaning: "Port of the same; 0: any free one" },
  {
    name: "ALLOWED_HOSTS",
    default: "",
    wish: "host names like raspberrypi.local, separated by commas",
    meaning: "Names under which the pages may be asked for, besides localhost and IP addresses; a port is ignored",
  },
  {
    name: "ALLOWED_ORIGINS",
    default: "",
    wish: "addresses like https://example.org, separated by commas",
    meaning: "Web pages that may read the API from another address (CORS)",
  },
  {
    name: "LOG_LEVEL",
    default: "info",
    wish: "debug, info, warn or error",
    meaning: "The lowest level that is logged",
  },
  {
    name: "LOG_FORMAT",
    default: "auto",
    wish: "auto, text or json",
    meaning: "auto: text on a terminal, JSON lines otherwise",
  },
];

/** Settings after the check. */
export interface Config {
  /** See EXCHANGE. */
  readonly exchange: Exchange;
  /** See COINBASE_PRODUCTS: at least one, none twice; with SHARD, this shard's of them. */
  readonly products: readonly string[];
  /** See SHARD; undefined: all products are ours. */
  readonly shard?: Shard;
  /** See COINBASE_CHANNEL: one of the exchange's. */
  readonly channel: string;
  /** See COINBASE_WS_URL. */
  readonly feedUrl: string;
  /** See KAFKA_BROKERS; empty: no Kafka. */
  readonly brokers: readonly string[];
  /** See KAFKA_TOPIC. */
  readonly topic: string;
  /** See KAFKA_GAPS_TOPIC. */
  readonly gapsTopic: string;
  /** See KAFKA_CLIENT_ID. */
  readonly clientId: string;
  /** See KAFKA_COMPRESSION. */
  readonly compression: "none" | "gzip";
  /** See KAFKA_ENCODER. */
  readonly encoder: "own" | "kafkajs";
  /** See KAFKA_LINGER_MS. */
  readonly lingerMs: number;
  /** See KAFKA_START_TIMEOUT_MS. */
  readonly startTimeoutMs: number;
  /** See KAFKA_SSL. */
  readonly ssl: boolean;
  /** See KAFKA_SSL_CA, KAFKA_SSL_CERT and KAFKA_SSL_KEY: PEM that can be read, key and certificate of one another. */
  readonly certificates?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** See KAFKA_SASL_MECHANISM, KAFKA_USERNAME and KAFKA_PASSWORD; undefined: no login. */
  readonly sasl?: {
    readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512";
    readonly username: string;
    readonly password: string;
  };
  /** See STORE_FILE; undefined: no store. */
  readonly storeFile?: string;
  /** See STORE_TICKS_DAYS. */
  readonly ticksDays: number;
  /** See STORE_CANDLES_DAYS. */
  readonly candlesDays: number;
  /** See CURSOR_FILE; undefined: none. */
  readonly cursorFile?: string;
  /** See QUEUE_CAPACITY. */
  readonly queueCapacity: number;
  /** See STALE_AFTER_MS. */
  readonly staleAfterMs: number;
  /** See MAX_FRAME_BYTES. */
  readonly maxFrameBytes: number;
  /** See DRAIN_TIMEOUT_MS. */
  readonly drainMs: number;
  /** See HOST. */
  readonly host: string;
  /** See PORT. */
  readonly port: number;
  /** See ALLOWED_HOSTS: lower case. */
  readonly allowedHosts: readonly string[];
  /** See ALLOWED_ORIGINS. */
  readonly allowedOrigins: readonly string[];
  /** See LOG_LEVEL. */
  readonly logLevel: Level;
  /** See LOG_FORMAT. */
  readonly logFormat: "auto" | "text" | "json";
}

const BY_NAME = new Map<string, Setting>(SETTINGS.map((setting) => [setting.name, setting]));
const TOPIC = /^[a-zA-Z0-9._-]{1,249}$/;
const HOST = /^(?:\[[0-9a-f:.]+\]|[\p{L}\p{N}._-]+)(?::\d{1,5})?$/u;
const BROKER = /^(?:\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9._-]+):(\d{1,5})$/;

/** Whether `<NAME>_FILE` can name a file with it. */
function mayBeFile(setting: Setting | undefined): boolean {
  return setting?.secret === true || setting?.file === true;
}

/** How many letters must change to make one text the other, up to 3. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return 3;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return Math.min(3, row[b.length] as number);
}

/** For each name that looks like a setting and is none: a sentence that says which one may be meant. */
export function hintsFor(names: Iterable<string>): string[] {
  const hints: string[] = [];
  for (const name of names) {
    const isFile = name.endsWith("_FILE");
    const bare = name.replace(/_FILE$/, "");
    if (BY_NAME.has(name) || (isFile && mayBeFile(BY_NAME.get(bare)))) continue;
    // a letter may differ for every six, at most two: HOME is no HOST, and KAFKA_URL no KAFKA_SSL
    const near: Setting | undefined = SETTINGS.find((setting) =>
      distance(bare, setting.name) <= Math.min(2, Math.floor(setting.name.length / 6))
    );
    if (near === undefined) continue;
    const meant = isFile && mayBeFile(near) ? `${near.name}_FILE` : near.name;
    hints.push(`${name} is not a setting: did you mean ${meant}?`);
  }
  return hints;
}

/** A name, its value in quotes if it has some, and the rest of the line. */
const DOT_ENV_LINE = /^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*=[ \t]*('[^']*'|"(?:\\[^]|[^"\\])*"|)([^\r\n]*)/gm;

/**
 * The settings of a `.env` whose values would not be what stands there: `@std/dotenv` ends a value without quotes at `#` and
 * replaces `$NAME` in it, by the word "undefined" where nobody has set it. Meant, and allowed: ` # ` before a comment, and
 * `${NAME}` where the file or the environment sets that name. Nothing of a value is told: it may be a password.
 *
 * @param environment all names that are set outside of the file
 */
export function problemsInDotEnv(text: string, environment: Readonly<Record<string, string>>): string[] {
  const lines = [...text.matchAll(DOT_ENV_LINE)];
  const isSet = (name: string) => Object.hasOwn(environment, name) || lines.some((line) => line[1] === name);
  const problems: string[] = [];
  for (const [, name = "", quoted = "", rest = ""] of lines) {
    const bare = name.replace(/_FILE$/, "");
    const setting = BY_NAME.get(name) ?? (mayBeFile(BY_NAME.get(bare)) ? BY_NAME.get(bare) : undefined);
    if (setting === undefined) continue;
    const why = quoted === ""
      ? troubleWithoutQuotes(rest.trim(), setting.secret === true, isSet)
      : /^\s*(?:#.*)?$/.test(rest)
      ? undefined
      : "something follows its closing quote";
    if (why === undefined) continue;
    const orFile = mayBeFile(BY_NAME.get(name)) ? `, or name a file that holds it in ${name}_FILE` : "";
    problems.push(`Cannot use ${name} of .env as ${why}: put the whole value in single quotes${orFile}`);
  }
  return problems;
}

/** What of a value without quotes would be read as something else, in words that follow "as". */
function troubleWithoutQuotes(
  value: string,
  isSecret: boolean,
  isSet: (name: string) => boolean,
): string | undefined {
  if (/^['"]/.test(value)) return "its quote is not closed";
  // "abc#def"; in a secret also "abc #def"
  const comment = isSecret ? /^(?:[^#]*\s)?#(?:\s|$)/ : /^(?:[^#]*\s)?#/;
  if (value.includes("#") && !comment.test(value)) {
    return 'without quotes a "#" begins a comment';
  }
  const [meant = ""] = value.split("#");
  const rest = meant.replace(/\$\{(\w+)(:-[^}]+)?\}/g, (all, name, otherwise) => otherwise || isSet(name) ? "" : all);
  if (/\$[\w{]/.test(rest)) return 'without quotes "$" stands for the value of another name';
  return undefined;
}

/** Reads values one by one and collects what is wrong with them. */
class Reader {
  readonly problems: string[] = [];
  readonly #environment: Environment;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  wrong(name: string, value: string): void {
    const setting = BY_NAME.get(name);
    // an address may hold a login
    const shown = setting?.secret === true ? "a secret" : JSON.stringify(value.replace(/[^\s,/]+@/g, "...@"));
    this.problems.push(`Cannot use ${name} as it must be ${setting?.wish}: current value is ${shown}`);
  }

  text(name: string, mayBeEmpty = false): string {
    const setting = BY_NAME.get(name) as Setting;
    const { values, readFile } = this.#environment;
    const file = mayBeFile(setting) ? values[`${name}_FILE`] : undefined;
    if (file !== undefined && file !== "") {
      const problem = wrongPath(`${name}_FILE`, file);
      if (problem !== undefined) {
        this.problems.push(problem);
        return "";
      }
      try {
        const text = readFile(file).trimEnd();
        // a secret that was not written, or a volume that was not mounted: not the same as none
        if (text === "") {
          this.problems.push(
            `Cannot use ${name}_FILE as it must name a file that holds ${setting.wish}: current value is "${file}" (empty)`,
          );
        }
        return text;
      } catch (error) {
        this.problems.push(
          `Cannot read ${name}_FILE as it must name a readable file: current value is "${file}" (${reasonOf(error)})`,
        );
        return "";
      }
    }
    const value = values[name]?.trim();
    return value === undefined || (value === "" && !mayBeEmpty) ? setting.default : value;
  }

  path(name: string, mayBeEmpty = false): string {
    const path = this.text(name, mayBeEmpty);
    const problem = wrongPath(name, path);
    if (problem !== undefined) this.problems.push(problem);
    return path;
  }

  /** The wish of the setting says the bounds. */
  count(name: string): number {
    const text = this.text(name);
    const [, low, high] = /^(\d+) to (\d+)$/.exec((BY_NAME.get(name) as Setting).wish) ?? [];
    const value = Number(text);
    if (/^\d{1,15}$/.test(text) && value >= Number(low) && value <= Number(high)) return value;
    this.wrong(name, text);
    return 0;
  }

  /** The wish of the setting says the choices. */
  choice<T extends string>(name: string): T {
    const text = this.text(name).toLowerCase();
    if ((BY_NAME.get(name) as Setting).wish.split(/, | or /).includes(text)) return text as T;
    this.wrong(name, text);
    return text as T;
  }

  /** Without empty ones, and none twice. */
  list(name: string, form = (item: string) => item): string[] {
    const items = this.text(name).split(",").map((item) => form(item.trim())).filter((item) => item !== "");
    return [...new Set(items)];
  }

  /** Checked by something that says what is wrong with it. A text that had to be one line has \n for its line ends. */
  pem(name: string, check: (pem: string) => string | undefined): string {
    const before = this.problems.length;
    const text = this.text(name).replaceAll("\\n", "\n");
    const isFile = (this.#environment.values[`${name}_FILE`] ?? "") !== "";
    if (this.problems.length > before || text === "") return "";
    const isPath = !isFile && !text.includes("\n") && /^[^\s]{1,1024}$/.test(text);
    const why = isPath ? `is one word; if it is a path, set ${name}_FILE instead` : check(text);
    if (why === undefined) return text;
    const wish = (BY_NAME.get(name) as Setting).wish;
    this.problems.push(`Cannot use ${name} as it must be ${wish}: ${isFile ? "its file" : "current value"} ${why}`);
    return "";
  }

  /** Names as a Host header has them, without a port. */
  hosts(name: string): string[] {
    const items = this.list(name, (item) => item.toLowerCase());
    const bad = items.filter((item) => !HOST.test(item) || !URL.canParse(`http://${item}`));
    if (bad.length > 0) {
      this.wrong(name, bad.join(","));
      return [];
    }
    return [...new Set(items.map((item) => new URL(`http://${item}`).hostname))];
  }

  topic(name: string, mayBeEmpty: boolean): string {
    const text = this.text(name, mayBeEmpty);
    if (!(mayBeEmpty && text === "") && !(TOPIC.test(text) && text !== "." && text !== "..")) this.wrong(name, text);
    return text;
  }
}

/** What is wrong with the certificates, in words that follow "its file". */
function wrongInCertificates(pem: string): string | undefined {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g) ?? [];
  const begun = pem.match(/-----BEGIN CERTIFICATE-----/g)?.length ?? 0;
  if (begun === 0) return 'has no "-----BEGIN CERTIFICATE-----"';
  if (begun > found.length) return 'has no "-----END CERTIFICATE-----" for each beginning';
  const bad = found.findIndex((one) => {
    try {
      new X509Certificate(one);
      return false;
    } catch {
      return true;
    }
  });
  return bad < 0 ? undefined : `is damaged: certificate ${bad + 1} of ${found.length} cannot be read`;
}

/** What is wrong with the key, in words that follow "its file". The key's text is not among them. */
function wrongInKey(pem: string): string | undefined {
  const kind = /-----BEGIN ([A-Z ]*PRIVATE KEY)-----/.exec(pem)?.[1];
  if (kind === undefined) return 'has no "-----BEGIN PRIVATE KEY-----"';
  if (kind.startsWith("ENCRYPTED") || pem.includes("ENCRYPTED")) {
    return "wants a passphrase; take it off with: openssl pkcs8 -topk8 -nocrypt -in KEY -out NEW";
  }
  try {
    createPrivateKey(pem);
    return undefined;
  } catch {
    return "is damaged: the key cannot be read";
  }
}

function isKeyOf(key: string, cert: string): boolean {
  return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
}

/** The certificates of our side, all checked. */
function readCertificates(read: Reader, ssl: boolean): Config["certificates"] {
  const before = read.problems.length;
  const ca = read.pem("KAFKA_SSL_CA", wrongInCertificates);
  const cert = read.pem("KAFKA_SSL_CERT", wrongInCertificates);
  const key = read.pem("KAFKA_SSL_KEY", wrongInKey);
  if (read.problems.length > before) return undefined;
  const given = Object.entries({ KAFKA_SSL_CA: ca, KAFKA_SSL_CERT: cert, KAFKA_SSL_KEY: key })
    .filter(([, pem]) => pem !== "").map(([name]) => name);
  if (given.length > 0 && !ssl) {
    read.problems.push(
      `Cannot use ${given.join(" and ")} as KAFKA_SSL must be true with them: current value is "false"`,
    );
  } else if ((cert === "") !== (key === "")) {
    read.problems.push(
      "Cannot show Kafka a certificate as KAFKA_SSL_CERT and KAFKA_SSL_KEY must be set together: one of them is empty",
    );
  } else if (cert !== "" && !isKeyOf(key, cert)) {
    read.problems.push("Cannot use KAFKA_SSL_KEY as it must be the key of KAFKA_SSL_CERT: it belongs to another one");
  } else if (given.length > 0) {
    return { ...(ca === "" ? {} : { ca }), ...(cert === "" ? {} : { cert, key }) };
  }
  return undefined;
}

/** The shard, and which of the products are its own. */
function readShard(read: Reader, all: readonly string[]): { shard?: Shard; products: readonly string[] } {
  const text = read.text("SHARD");
  if (text === "") return { products: all };
  const [number = 0, of = 0] = (/^(\d{1,4})\/(\d{1,4})$/.exec(text) ?? []).slice(1).map(Number);
  if (number < 1 || number > of || of > MAX_SHARDS) {
    read.wrong("SHARD", text);
    return { products: all };
  }
  const shard = { number, of };
  const products = productsOf(shard, all);
  if (products.length === 0 && all.length > 0) {
    // nothing to do looks like all is well: whoever gave it no work should know at once
    const busy = [...new Set(all.map((product) => shardOf(product, of)))].sort((a, b) => a - b);
    read.problems.push(
      `Cannot use SHARD=${text} as at least one of the ${all.length} products must be its own: shards ${
        busy.join(", ")
      } have them all; take fewer shards or more products`,
    );
  }
  return { shard, products };
}

/**
 * The checked settings. Throws a ConfigError with everything that is wrong.
 *
 * @param command `start` must have a broker, and has a store only when one is named
 */
export function readConfig(environment: Environment, command: "dev" | "start"): Config {
  const read = new Reader(environment);
  const exchange = EXCHANGES[read.choice("EXCHANGE")] ?? DEFAULT_EXCHANGE;
  const prefix = exchange.name.toUpperCase();

  const all = read.list(`${prefix}_PRODUCTS`, (product) => product.toUpperCase());
  const bad = all.filter((product) => !exchange.productPattern.test(product));
  if (bad.length > 0 || all.length === 0) read.wrong(`${prefix}_PRODUCTS`, bad.join(",") || ",");
  const { shard, products } = readShard(read, all);

  const feedUrl = read.text(`${prefix}_WS_URL`);
  if (!/^wss?:$/.test(URL.parse(feedUrl)?.protocol ?? "")) read.wrong(`${prefix}_WS_URL`, feedUrl);

  const brokers = read.list("KAFKA_BROKERS");
  for (const broker of brokers) {
    const port = Number(BROKER.exec(broker)?.[1] ?? 0);
    if (port < 1 || port > 65535) read.wrong("KAFKA_BROKERS", broker);
  }
  if (command === "start" && brokers.length === 0) {
    read.problems.push(
      `Cannot start without Kafka as KAFKA_BROKERS must be ${BY_NAME.get("KAFKA_BROKERS")?.wish}: it is not set ` +
        "(`deno task dev` runs without Kafka)",
    );
  }

  const storeFile = command === "start" && environment.values.STORE_FILE === undefined
    ? ""
    : read.path("STORE_FILE", true);
  const cursorFile = read.path("CURSOR_FILE") || (storeFile !== "" && brokers.length > 0 ? `${storeFile}.cursor` : "");

  const allowedOrigins = read.list("ALLOWED_ORIGINS");
  const badOrigins = allowedOrigins.filter((origin) => URL.parse(origin)?.origin !== origin);
  if (badOrigins.length > 0) read.wrong("ALLOWED_ORIGINS", badOrigins.join(","));

  const topic = read.topic("KAFKA_TOPIC", false);
  const gapsTopic = read.topic("KAFKA_GAPS_TOPIC", true);
  if (topic === gapsTopic) {
    read.problems.push(`Cannot use KAFKA_GAPS_TOPIC as it must differ from KAFKA_TOPIC: both are "${topic}"`);
  }

  const problemsBefore = read.problems.length;
  const username = read.text("KAFKA_USERNAME");
  const password = read.text("KAFKA_PASSWORD");
  const couldRead = read.problems.length === problemsBefore;
  if (couldRead && (username === "") !== (password === "")) {
    read.problems.push(
      "Cannot log in to Kafka as KAFKA_USERNAME and KAFKA_PASSWORD must be set together: one of them is empty",
    );
  }
  const mechanism = read.choice<"plain" | "scram-sha-256" | "scram-sha-512">("KAFKA_SASL_MECHANISM");
  const ssl = read.choice("KAFKA_SSL") === "true";
  const certificates = readCertificates(read, ssl);

  const config: Config = {
    exchange,
    products,
    ...(shard === undefined ? {} : { shard }),
    channel: read.choice(`${prefix}_CHANNEL`),
    feedUrl,
    brokers,
    topic,
    gapsTopic,
    clientId: read.text("KAFKA_CLIENT_ID"),
    compression: read.choice("KAFKA_COMPRESSION"),
    encoder: read.choice("KAFKA_ENCODER"),
    lingerMs: read.count("KAFKA_LINGER_MS"),
    startTimeoutMs: read.count("KAFKA_START_TIMEOUT_MS"),
    ssl,
    ...(certificates === undefined ? {} : { certificates }),
    ...(username === "" ? {} : { sasl: { mechanism, username, password } }),
    ...(storeFile === "" ? {} : { storeFile }),
    ticksDays: read.count("STORE_TICKS_DAYS"),
    candlesDays: read.count("STORE_CANDLES_DAYS"),
    ...(cursorFile === "" ? {} : { cursorFile }),
    queueCapacity: read.count("QUEUE_CAPACITY"),
    staleAfterMs: read.count("STALE_AFTER_MS"),
    maxFrameBytes: read.count("MAX_FRAME_BYTES"),
    drainMs: read.count("DRAIN_TIMEOUT_MS"),
    host: read.text("HOST"),
    port: read.count("PORT"),
    allowedHosts: read.hosts("ALLOWED_HOSTS"),
    allowedOrigins,
    logLevel: read.choice("LOG_LEVEL"),
    logFormat: read.choice("LOG_FORMAT"),
  };
  if (read.problems.length > 0) throw new ConfigError(read.problems);
  return config;
}

/** The table of settings for people: what `--help` prints. */
export function describeSettings(): string {
  const lines = SETTINGS.map((setting: Setting) => {
    const file = mayBeFile(setting) ? ` (or the file that ${setting.name}_FILE names)` : "";
    return `  ${setting.name}${file}\n      ${setting.meaning}\n      ${setting.wish}; default ${
      setting.default || "none"
    }`;
  });
  return `Settings, from the environment or a file .env:\n\n${lines.join("\n")}\n`;
}

/** The text of .env-example. */
export function envExample(): string {
  const lines = SETTINGS.map((setting: Setting) =>
    `# ${setting.meaning}\n# ${setting.wish}\n#${setting.name}=${setting.default}\n`
  );
  return `# Copy to .env and take the # away before the settings you want to change. The environment wins over this file.\n# A value with $, # or quotes stands in 'single quotes'; \${NAME} without quotes is replaced by that name's value.\n\n${
    lines.join("\n")
  }`;
}
