// Which servers the doctor and the audit look at: out of settings of their own, of the program's, and of what the stack
// has written. Nothing is asked here; what runs was found before by probe.ts.

import { type Config, readConfig } from "../config/config.ts";
import {
  describe,
  type Environment,
  int,
  orEmpty,
  secret,
  type Setting,
  setting,
  SettingsReader,
  text,
  webAddress,
} from "../config/setting.ts";
import { ConfigError } from "../core/errors.ts";
import { valueIn } from "../stack/secrets.ts";
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

const port = int(1, 65_535);

/** The settings of doctor and audit, beside the program's. Only the `--help` of these two lists them. */
export const CHECK_SETTINGS = {
  influxUrl: setting("INFLUX_URL", webAddress(), "", "Address of InfluxDB"),
  influxOrg: setting("INFLUX_ORG", text("a name"), "crypto", "Its organization"),
  influxBucket: setting("INFLUX_BUCKET", text("a name"), "coinbase-bucket", "Its bucket"),
  influxToken: setting(
    "INFLUX_TOKEN",
    secret("a token"),
    "",
    "May read the bucket, like Grafana's token; needed with INFLUX_URL",
  ),
  influxWriteToken: setting(
    "INFLUX_WRITE_TOKEN",
    secret("a token"),
    "",
    "Telegraf's token: tried with an empty write, which changes nothing",
  ),
  grafanaUrl: setting("GRAFANA_URL", webAddress(), "", "Address of Grafana"),
  grafanaToken: setting(
    "GRAFANA_TOKEN",
    secret("a token"),
    "",
    "Of a service account with the role Viewer and the right to query; used instead of user and password",
  ),
  grafanaUser: setting("GRAFANA_USER", text("a name"), "admin", "User name for Grafana, if GRAFANA_PASSWORD is set"),
  grafanaPassword: setting("GRAFANA_PASSWORD", secret("a password"), "", "Password for Grafana"),
  grafanaDatasource: setting("GRAFANA_DATASOURCE", text("a uid"), "influxdb", "Its data source"),
  grafanaDashboard: setting("GRAFANA_DASHBOARD", text("a uid"), "prices", "The dashboard whose panels must show data"),
  telegrafGroup: setting("TELEGRAF_GROUP", text("a name"), "telegraf", "Telegraf's consumer group for prices"),
  telegrafGapsGroup: setting(
    "TELEGRAF_GAPS_GROUP",
    orEmpty(text("a name")),
    "telegraf-gaps",
    "Telegraf's consumer group for gaps",
  ),
  programUrl: setting(
    "PROGRAM_URL",
    webAddress(),
    "",
    "Address of the program's status pages; if it is not set, they are looked for at PORT and the ports after it",
  ),
  waitMs: setting("DOCTOR_WAIT_MS", int(500, 120_000), "8000", "The longest look at one stage, ms"),
  kafkaPort: setting("KAFKA_PORT", port, "9092", "The stack's port of Kafka, as for Compose"),
  kafkaPort2: setting("KAFKA_PORT_2", port, "9093", "The stack's port of the second broker"),
  kafkaPort3: setting("KAFKA_PORT_3", port, "9094", "The stack's port of the third broker"),
  influxPort: setting("INFLUX_PORT", port, "8086", "The stack's port of InfluxDB"),
  grafanaPort: setting("GRAFANA_PORT", port, "3000", "The stack's port of Grafana"),
  producerPort: setting("PRODUCER_PORT", port, "8000", "The stack's port of the producer"),
  simulatorPort: setting("SIMULATOR_PORT", port, "8765", "The stack's port of the Coinbase simulator"),
};

/** The settings of doctor and audit as `--help` prints them. */
export function describeCheckSettings(): string {
  const title = "Settings beside the program's (deno task start --help), from the environment or a file .env";
  return `${title}:\n\n${describe(Object.values(CHECK_SETTINGS))}`;
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
  const settings = new SettingsReader(environment);
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
    groups: [settings.read(CHECK_SETTINGS.telegrafGroup), settings.read(CHECK_SETTINGS.telegrafGapsGroup)] as const,
    waitMs: settings.read(CHECK_SETTINGS.waitMs),
  };
  const own = form === "stack" ? ofStack(settings, files, found.morePorts) : ofSettings(settings, config, found);
  if (config === undefined || settings.problems.length > 0) throw new ConfigError(settings.problems);
  const secrets = [...settings.secrets, config.sasl?.password ?? "", config.certificates?.key ?? ""];
  const productsName = `${config.exchange.name.toUpperCase()}_PRODUCTS`;
  const areDefaults = program === undefined && !settings.isSet(productsName);
  return { ...shared, ...own, config: followed(config, program, settings), areDefaults, secrets };
}

/** What the running program follows counts more than what this process would. */
function followed(config: Config, program: ProgramFound | undefined, settings: SettingsReader): Config {
  if (program === undefined) return config;
  const inBox = /^ws:\/\/coinbase-simulator(?::|\/|$)/.test(program.feedUrl);
  return {
    ...config,
    feedUrl: inBox ? `ws://localhost:${settings.read(CHECK_SETTINGS.simulatorPort)}` : program.feedUrl,
    channel: program.channel,
    products: program.products,
  };
}

type Own = Pick<Places, "kafka" | "influx" | "grafana" | "programUrl" | "hasPage" | "storeFile">;

function ofStack(settings: SettingsReader, files: StackFiles, morePorts: readonly number[]): Own {
  const initial = (name: string) => valueIn(files.influx ?? "", `DOCKER_INFLUXDB_INIT_${name}`) ?? "";
  const user = valueIn(files.grafana ?? "", "GF_SECURITY_ADMIN_USER") ?? "admin";
  const password = valueIn(files.grafana ?? "", "GF_SECURITY_ADMIN_PASSWORD") ?? "admin";
  for (const secret of [initial("ADMIN_TOKEN"), initial("PASSWORD"), password]) {
    // "admin" is not a secret, and many sentences contain it
    if (secret !== "" && secret !== "admin") settings.secrets.push(secret);
  }
  const localhost = (port: Setting<number>) => `http://localhost:${settings.read(port)}`;
  const kafkaPorts = [settings.read(CHECK_SETTINGS.kafkaPort), ...morePorts];
  return {
    kafka: { brokers: kafkaPorts.map((port) => `localhost:${port}`), ssl: false },
    influx: influxAt(localhost(CHECK_SETTINGS.influxPort), settings, initial),
    grafana: {
      ...grafanaAt(localhost(CHECK_SETTINGS.grafanaPort), settings),
      authorization: grafanaLogin(settings, user, password),
      loginFrom: "grafana.env",
    },
    programUrl: localhost(CHECK_SETTINGS.producerPort),
    hasPage: false,
  };
}

/** @param initial what the stack gave InfluxDB at its first start; empty: unknown */
function influxAt(url: string, settings: SettingsReader, initial: (name: string) => string): InfluxPlace {
  const writeToken = settings.read(CHECK_SETTINGS.influxWriteToken);
  return {
    url,
    org: initial("ORG") || settings.read(CHECK_SETTINGS.influxOrg),
    bucket: initial("BUCKET") || settings.read(CHECK_SETTINGS.influxBucket),
    token: settings.read(CHECK_SETTINGS.influxToken) || initial("ADMIN_TOKEN"),
    tokenFrom: settings.isSet("INFLUX_TOKEN") ? "INFLUX_TOKEN" : "influxv2.env",
    ...(writeToken === "" ? {} : { writeToken }),
  };
}

function grafanaAt(url: string, settings: SettingsReader): Pick<GrafanaPlace, "url" | "datasource" | "dashboard"> {
  return {
    url,
    datasource: settings.read(CHECK_SETTINGS.grafanaDatasource),
    dashboard: settings.read(CHECK_SETTINGS.grafanaDashboard),
  };
}

function grafanaLogin(settings: SettingsReader, user: string, password: string): string {
  const token = settings.read(CHECK_SETTINGS.grafanaToken);
  if (token !== "") return `Bearer ${token}`;
  const login = new TextEncoder().encode(`${user}:${password}`).toBase64();
  settings.secrets.push(login);
  return `Basic ${login}`;
}

function ofSettings(settings: SettingsReader, config: Config | undefined, { form, program, isThere }: Found): Own {
  const influxUrl = settings.read(CHECK_SETTINGS.influxUrl), grafanaUrl = settings.read(CHECK_SETTINGS.grafanaUrl);
  const influx = influxAt(influxUrl, settings, () => "");
  if (influxUrl !== "" && influx.token === "" && settings.areGood(CHECK_SETTINGS.influxToken)) {
    settings.problems.push("Cannot look into InfluxDB as INFLUX_TOKEN must be set with INFLUX_URL: it is not set");
  }
  const user = settings.read(CHECK_SETTINGS.grafanaUser), password = settings.read(CHECK_SETTINGS.grafanaPassword);
  const hasLogin = settings.isSet("GRAFANA_TOKEN") || password !== "";
  const grafana = {
    ...grafanaAt(grafanaUrl, settings),
    ...(hasLogin ? { authorization: grafanaLogin(settings, user, password) } : {}),
    loginFrom: settings.isSet("GRAFANA_TOKEN") ? "GRAFANA_TOKEN" : "GRAFANA_USER and GRAFANA_PASSWORD",
  };
  const hasStore = program?.sinks.includes("sqlite") === true;
  const programUrl = settings.read(CHECK_SETTINGS.programUrl) || program?.url ||
    (form === "embedded" ? `http://localhost:${config?.port || 8000}` : "");
  const storeFile = config?.storeFile;
  const looksAtStore = storeFile !== undefined && program?.demo !== true &&
    (form === "embedded" || hasStore || settings.isSet("STORE_FILE") || isThere(storeFile));
  return {
    ...(config === undefined || config.brokers.length === 0
      ? {}
      : { kafka: { brokers: config.brokers, ssl: config.ssl, certificates: config.certificates, sasl: config.sasl } }),
    ...(influxUrl === "" ? {} : { influx }),
    ...(grafanaUrl === "" ? {} : { grafana }),
    ...(programUrl === "" ? {} : { programUrl }),
    hasPage: form === "embedded" ? program === undefined || hasStore : hasStore,
    ...(looksAtStore ? { storeFile } : {}),
  };
}
