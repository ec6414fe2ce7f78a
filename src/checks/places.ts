// Which servers the doctor and the audit look at: out of settings of their own, of the program's, and of what the stack
// has written. Nothing is asked here; what runs was found before by probe.ts.

import { type Config, type Environment, readConfig, type Setting } from "../config/config.ts";
import { ConfigError } from "../core/errors.ts";
import { valueIn } from "../stack/secrets.ts";
import { wrongPath } from "../core/terminal.ts";
import type { KafkaPlace } from "../kafka/admin.ts";

/**
 * What is looked at: the containers of `deno task stack`, the program with its store, or servers that settings name.
 */
export type Form = "stack" | "embedded" | "servers";

/** InfluxDB. */
export interface InfluxPlace {
  /** Without a slash at its end. */
  readonly url: string;
  /** By name. */
  readonly org: string;
  /** By name. */
  readonly bucket: string;
  /** May read the bucket. */
  readonly token: string;
  /** Telegraf's, where it is known: may write to it. */
  readonly writeToken?: string;
  /** Where the token comes from, as it stands in messages. */
  readonly tokenFrom: string;
}

/** Grafana. */
export interface GrafanaPlace {
  /** Without a slash at its end. */
  readonly url: string;
  /** Of the HTTP header; undefined: it asks for no login. */
  readonly authorization?: string;
  /** Where the login comes from, as it stands in messages. */
  readonly loginFrom: string;
  /** The uid of the data source. */
  readonly datasource: string;
  /** The uid of the dashboard. */
  readonly dashboard: string;
}

/** All of it. Undefined: not used. */
export interface Places {
  /** Which form. */
  readonly form: Form;
  /** The program's settings. */
  readonly config: Config;
  /** The products are the program's defaults: it could not be asked, and no setting names them. */
  readonly areDefaults: boolean;
  /** Kafka. */
  readonly kafka?: KafkaPlace;
  /** Names of Telegraf's groups, for prices and for gaps. */
  readonly groups: readonly [prices: string, gaps: string];
  /** InfluxDB. */
  readonly influx?: InfluxPlace;
  /** Grafana. */
  readonly grafana?: GrafanaPlace;
  /** Status pages of the program, without a slash at the end. */
  readonly programUrl?: string;
  /** The program is expected to have a page and a store. */
  readonly hasPage: boolean;
  /** The store; undefined: none, or not ours to look at. */
  readonly storeFile?: string;
  /** Longest look at one stage, ms. */
  readonly waitMs: number;
  /** Texts that no output may hold. */
  readonly secrets: readonly string[];
}

const PORT_WISH = "1 to 65535";

/**
 * The settings of doctor and audit, beside the program's. They stand in a table of their own, which only `--help`
 * shows.
 */
export const DOCTOR_SETTINGS: readonly Setting[] = [
  {
    name: "INFLUX_URL",
    default: "",
    wish: "an http:// or https:// address without a login in it",
    meaning: "Where InfluxDB is",
  },
  { name: "INFLUX_ORG", default: "crypto", wish: "a name", meaning: "Its organization" },
  { name: "INFLUX_BUCKET", default: "coinbase-bucket", wish: "a name", meaning: "Its bucket" },
  {
    name: "INFLUX_TOKEN",
    default: "",
    wish: "a token",
    meaning: "May read the bucket, as Grafana's does; needed with INFLUX_URL",
    secret: true,
  },
  {
    name: "INFLUX_WRITE_TOKEN",
    default: "",
    wish: "a token",
    meaning: "Telegraf's: tried with an empty write, which writes nothing",
    secret: true,
  },
  {
    name: "GRAFANA_URL",
    default: "",
    wish: "an http:// or https:// address without a login in it",
    meaning: "Where Grafana is",
  },
  {
    name: "GRAFANA_TOKEN",
    default: "",
    wish: "a token",
    meaning: "Of a service account with the role Viewer and the right to query; in the place of user and password",
    secret: true,
  },
  {
    name: "GRAFANA_USER",
    default: "admin",
    wish: "a name",
    meaning: "Log in to Grafana as, if GRAFANA_PASSWORD is set",
  },
  { name: "GRAFANA_PASSWORD", default: "", wish: "a password", meaning: "Log in to Grafana with", secret: true },
  { name: "GRAFANA_DATASOURCE", default: "influxdb", wish: "a uid", meaning: "Its data source" },
  { name: "GRAFANA_DASHBOARD", default: "prices", wish: "a uid", meaning: "The dashboard whose panels must show data" },
  { name: "TELEGRAF_GROUP", default: "telegraf", wish: "a name", meaning: "Telegraf's consumer group for prices" },
  { name: "TELEGRAF_GAPS_GROUP", default: "telegraf-gaps", wish: "a name, or empty", meaning: "The same for gaps" },
  {
    name: "PROGRAM_URL",
    default: "",
    wish: "an http:// or https:// address without a login in it",
    meaning: "Where the program's status pages are; else they are looked for at PORT and after it",
  },
  { name: "DOCTOR_WAIT_MS", default: "8000", wish: "500 to 120000", meaning: "Longest look at one stage, ms" },
  { name: "KAFKA_PORT", default: "9092", wish: PORT_WISH, meaning: "The stack's port of Kafka, as for Compose" },
  { name: "KAFKA_PORT_2", default: "9093", wish: PORT_WISH, meaning: "The same of its second broker" },
  { name: "KAFKA_PORT_3", default: "9094", wish: PORT_WISH, meaning: "The same of its third one" },
  { name: "INFLUX_PORT", default: "8086", wish: PORT_WISH, meaning: "The stack's port of InfluxDB" },
  { name: "GRAFANA_PORT", default: "3000", wish: PORT_WISH, meaning: "The stack's port of Grafana" },
  { name: "PRODUCER_PORT", default: "8000", wish: PORT_WISH, meaning: "The stack's port of the producer" },
  { name: "SIMULATOR_PORT", default: "8765", wish: PORT_WISH, meaning: "The stack's port of the Coinbase in the box" },
];

const BY_NAME = new Map(DOCTOR_SETTINGS.map((setting) => [setting.name, setting]));

/** The settings of the doctor, as text; without those that are not set. */
export class DoctorSettings {
  /** What is wrong with them, one sentence each. */
  readonly problems: string[] = [];
  /** Texts that no output may hold. */
  readonly secrets: string[] = [];
  readonly #environment: Environment;

  /** Reads nothing yet. */
  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** Whether somebody has set it, or the file for it. */
  isSet(name: string): boolean {
    const { values } = this.#environment;
    return (values[name] ?? "").trim() !== "" || (values[`${name}_FILE`] ?? "") !== "";
  }

  /** As it is, or its default. */
  text(name: string): string {
    const setting = BY_NAME.get(name);
    const { values, readFile } = this.#environment;
    const file = setting?.secret === true ? values[`${name}_FILE`] ?? "" : "";
    let value: string;
    if (file !== "") {
      const problem = wrongPath(`${name}_FILE`, file);
      if (problem !== undefined) {
        this.problems.push(problem);
        return "";
      }
      try {
        value = readFile(file).trimEnd();
      } catch (error) {
        const why = error instanceof Error ? error.message : error;
        this.problems.push(
          `Cannot read ${name}_FILE as it must name a readable file: current value is "${file}" (${why})`,
        );
        return "";
      }
    } else {
      const given = values[name]?.trim();
      const mayBeEmpty = setting?.wish.endsWith("or empty") === true && given === "";
      value = given === undefined || (given === "" && !mayBeEmpty) ? setting?.default ?? "" : given;
    }
    if (setting?.secret === true && value !== "") this.secrets.push(value);
    return value;
  }

  /** A whole number within the bounds of its wish. */
  count(name: string): number {
    const text = this.text(name);
    const [low, high] = (BY_NAME.get(name)?.wish ?? "").split(" to ").map(Number);
    const value = Number(text);
    if (/^\d{1,9}$/.test(text) && value >= (low ?? 0) && value <= (high ?? 0)) return value;
    this.problems.push(
      `Cannot use ${name} as it must be ${BY_NAME.get(name)?.wish}: current value is ${JSON.stringify(text)}`,
    );
    return low ?? 0;
  }

  /** An address without a slash at its end; empty where it is not set. */
  url(name: string): string {
    const text = this.text(name);
    if (text === "") return "";
    const url = URL.parse(text);
    if (url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "") {
      return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
    }
    // it may hold a login
    const shown = JSON.stringify(text.replace(/[^\s/]+@/g, "...@"));
    this.problems.push(`Cannot use ${name} as it must be ${BY_NAME.get(name)?.wish}: current value is ${shown}`);
    return "";
  }
}

/** Table of the doctor's own settings for people. */
export function describeDoctorSettings(): string {
  const lines = DOCTOR_SETTINGS.map(({ name, secret, meaning, wish, default: usual }) =>
    `  ${name}${
      secret === true ? ` (or the file that ${name}_FILE names)` : ""
    }\n      ${meaning}\n      ${wish}; default ${usual || "none"}`
  );
  return `Settings beside the program's (deno task start --help), from the environment or a file .env:\n\n${
    lines.join("\n")
  }\n`;
}

/** What the stack has written, as text; undefined: there is no such file. */
export interface StackFiles {
  /** `influxv2.env` */
  readonly influx: string | undefined;
  /** `grafana.env` */
  readonly grafana: string | undefined;
}

/** What was found running before the places are read. */
export interface Found {
  /** See {@link Form}. */
  readonly form: Form;
  /** The program's status pages, where they were found. */
  readonly program?: ProgramFound | undefined;
  /** Further brokers of the stack that answer, as ports. */
  readonly morePorts: readonly number[];
  /** Whether a file is there. */
  readonly isThere: (path: string) => boolean;
}

/** A program of ours that answered. */
export interface ProgramFound {
  /** Without a slash at its end. */
  readonly url: string;
  /** Names of its sinks. */
  readonly sinks: readonly string[];
  /** Its prices are made up, and its store is a temporary one. */
  readonly demo: boolean;
  /** Where it takes its prices from. */
  readonly feedUrl: string;
  /** Which channel. */
  readonly channel: string;
  /** Which products. */
  readonly products: readonly string[];
}

/** Puts the places together. Throws a ConfigError with everything that is wrong. */
export function readPlaces(environment: Environment, files: StackFiles, found: Found): Places {
  const settings = new DoctorSettings(environment);
  let config: Config | undefined;
  try {
    config = readConfig(environment, "dev");
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    settings.problems.push(...error.problems);
  }
  const { form, program } = found;
  const shared = {
    form,
    groups: [settings.text("TELEGRAF_GROUP"), settings.text("TELEGRAF_GAPS_GROUP")] as const,
    waitMs: settings.count("DOCTOR_WAIT_MS"),
  };
  const own = form === "stack" ? ofStack(settings, files, found.morePorts) : ofSettings(settings, config, found);
  if (config === undefined || settings.problems.length > 0) throw new ConfigError(settings.problems);
  const secrets = [...settings.secrets, config.sasl?.password ?? "", config.certificates?.key ?? ""];
  const productsName = `${config.exchange.name.toUpperCase()}_PRODUCTS`;
  const areDefaults = program === undefined && !settings.isSet(productsName);
  return { ...shared, ...own, config: followed(config, program, settings), areDefaults, secrets };
}

/** What the running program follows counts more than what this process would. */
function followed(config: Config, program: ProgramFound | undefined, settings: DoctorSettings): Config {
  if (program === undefined) return config;
  const inBox = /^ws:\/\/coinbase-simulator(?::|\/|$)/.test(program.feedUrl);
  return {
    ...config,
    feedUrl: inBox ? `ws://localhost:${settings.count("SIMULATOR_PORT")}` : program.feedUrl,
    channel: program.channel,
    products: program.products,
  };
}

type Own = Pick<Places, "kafka" | "influx" | "grafana" | "programUrl" | "hasPage" | "storeFile">;

function ofStack(settings: DoctorSettings, files: StackFiles, morePorts: readonly number[]): Own {
  const value = (name: string) => valueIn(files.influx ?? "", `DOCKER_INFLUXDB_INIT_${name}`) ?? "";
  const token = settings.text("INFLUX_TOKEN") || value("ADMIN_TOKEN");
  const user = valueIn(files.grafana ?? "", "GF_SECURITY_ADMIN_USER") ?? "admin";
  const password = valueIn(files.grafana ?? "", "GF_SECURITY_ADMIN_PASSWORD") ?? "admin";
  const writeToken = settings.text("INFLUX_WRITE_TOKEN");
  for (const secret of [token, value("PASSWORD"), password]) {
    // "admin" is no secret, and stands in many a sentence
    if (secret !== "" && secret !== "admin") settings.secrets.push(secret);
  }
  return {
    kafka: { brokers: [settings.count("KAFKA_PORT"), ...morePorts].map((port) => `localhost:${port}`), ssl: false },
    influx: {
      url: `http://localhost:${settings.count("INFLUX_PORT")}`,
      org: value("ORG") || settings.text("INFLUX_ORG"),
      bucket: value("BUCKET") || settings.text("INFLUX_BUCKET"),
      token,
      tokenFrom: settings.isSet("INFLUX_TOKEN") ? "INFLUX_TOKEN" : "influxv2.env",
      ...(writeToken === "" ? {} : { writeToken }),
    },
    grafana: {
      url: `http://localhost:${settings.count("GRAFANA_PORT")}`,
      authorization: grafanaLogin(settings, user, password),
      loginFrom: "grafana.env",
      datasource: settings.text("GRAFANA_DATASOURCE"),
      dashboard: settings.text("GRAFANA_DASHBOARD"),
    },
    programUrl: `http://localhost:${settings.count("PRODUCER_PORT")}`,
    hasPage: false,
  };
}

function grafanaLogin(settings: DoctorSettings, user: string, password: string): string {
  const token = settings.text("GRAFANA_TOKEN");
  if (token !== "") return `Bearer ${token}`;
  const login = new TextEncoder().encode(`${user}:${password}`).toBase64();
  settings.secrets.push(login);
  return `Basic ${login}`;
}

function ofSettings(settings: DoctorSettings, config: Config | undefined, { form, program, isThere }: Found): Own {
  const influxUrl = settings.url("INFLUX_URL"), grafanaUrl = settings.url("GRAFANA_URL");
  const token = settings.text("INFLUX_TOKEN"), writeToken = settings.text("INFLUX_WRITE_TOKEN");
  if (influxUrl !== "" && token === "") {
    settings.problems.push("Cannot look into InfluxDB as INFLUX_TOKEN must be set with INFLUX_URL: it is not set");
  }
  const password = settings.text("GRAFANA_PASSWORD");
  const hasLogin = settings.isSet("GRAFANA_TOKEN") || password !== "";
  const hasStore = program?.sinks.includes("sqlite") === true;
  const programUrl = settings.url("PROGRAM_URL") || program?.url ||
    (form === "embedded" ? `http://localhost:${config?.port || 8000}` : "");
  const storeFile = config?.storeFile;
  const looksAtStore = storeFile !== undefined && program?.demo !== true &&
    (form === "embedded" || hasStore || settings.isSet("STORE_FILE") || isThere(storeFile));
  return {
    ...(config === undefined || config.brokers.length === 0
      ? {}
      : { kafka: { brokers: config.brokers, ssl: config.ssl, certificates: config.certificates, sasl: config.sasl } }),
    ...(influxUrl === "" ? {} : {
      influx: {
        url: influxUrl,
        org: settings.text("INFLUX_ORG"),
        bucket: settings.text("INFLUX_BUCKET"),
        token,
        tokenFrom: "INFLUX_TOKEN",
        ...(writeToken === "" ? {} : { writeToken }),
      },
    }),
    ...(grafanaUrl === "" ? {} : {
      grafana: {
        url: grafanaUrl,
        ...(hasLogin ? { authorization: grafanaLogin(settings, settings.text("GRAFANA_USER"), password) } : {}),
        loginFrom: settings.isSet("GRAFANA_TOKEN") ? "GRAFANA_TOKEN" : "GRAFANA_USER and GRAFANA_PASSWORD",
        datasource: settings.text("GRAFANA_DATASOURCE"),
        dashboard: settings.text("GRAFANA_DASHBOARD"),
      },
    }),
    ...(programUrl === "" ? {} : { programUrl }),
    hasPage: form === "embedded" ? program === undefined || hasStore : hasStore,
    ...(looksAtStore ? { storeFile } : {}),
  };
}
