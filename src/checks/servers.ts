// Which servers the doctor and the audit check, from settings of their own, those of the program, and the files of the stack.
// Nothing is contacted here: discover.ts has already found out what runs.

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
import type { KafkaPlace } from "../kafka/admin.ts";
import { valueIn } from "../stack/secrets.ts";

/** What is checked: the containers of `deno task stack`, the program with its store, or servers named by settings. */
export type Form = "stack" | "embedded" | "servers";

/** InfluxDB, with the token that reads it. */
export interface InfluxServer {
  /** Without a slash at its end. */
  readonly url: string;
  readonly org: string;
  readonly bucket: string;
  /** May read the bucket. */
  readonly token: string;
  /** Where the token comes from, for messages: a setting or a file. */
  readonly tokenFrom: string;
  /** Telegraf's token, which may write to the bucket; undefined: unknown. */
  readonly writeToken: string | undefined;
}

/** Grafana, with its login and the names of what is checked there. */
export interface GrafanaServer {
  /** Without a slash at its end. */
  readonly url: string;
  /** The HTTP header of that name; undefined: no login. */
  readonly authorization: string | undefined;
  /** Where the login comes from, for messages: settings or a file. */
  readonly loginFrom: string;
  /** The uid of the data source. */
  readonly datasource: string;
  /** The uid of the dashboard. */
  readonly dashboard: string;
}

/** Everything that is checked. Undefined: not used here. */
export interface Servers {
  readonly form: Form;
  /** The program's settings; if it runs, its own exchange, channel and products. */
  readonly config: Config;
  /** To be added where a product lacks something: that these are only the default products. Otherwise empty. */
  readonly productsRemark: string;
  readonly kafka: KafkaPlace | undefined;
  /** Telegraf's consumer groups; the second may be empty. */
  readonly groups: { readonly prices: string; readonly gaps: string };
  readonly influx: InfluxServer | undefined;
  readonly grafana: GrafanaServer | undefined;
  /** Address of the program's status pages, without a slash at its end. */
  readonly programUrl: string | undefined;
  /** Whether the program should have a page, which only a program with a store has. */
  readonly hasPage: boolean;
  /** The store; undefined: there is none, or it is the demo's. */
  readonly storeFile: string | undefined;
  readonly waitMs: number;
  /** Texts that no output may contain. */
  readonly secrets: readonly string[];
}

const port = int(1, 65_535);

/** The settings of doctor and audit, beside the program's. Only the `--help` of these two lists them. */
export const CHECK_SETTINGS = {
  influxUrl: setting("INFLUX_URL", webAddress(), "", "Address of InfluxDB"),
  influxOrg: setting("INFLUX_ORG", text("a name"), "crypto", "Organization in InfluxDB"),
  influxBucket: setting("INFLUX_BUCKET", text("a name"), "coinbase-bucket", "Bucket in InfluxDB"),
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
  grafanaDatasource: setting("GRAFANA_DATASOURCE", text("a uid"), "influxdb", "The uid of the data source in Grafana"),
  grafanaDashboard: setting(
    "GRAFANA_DASHBOARD",
    text("a uid"),
    "prices",
    "The uid of the dashboard whose panels must show data",
  ),
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
  waitMs: setting("DOCTOR_WAIT_MS", int(500, 120_000), "8000", "The longest check of one stage, ms"),
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

/** What was found running, see discover.ts. */
export interface Found {
  readonly form: Form;
  /** What that is, and how it was found: words that follow "Checking". */
  readonly why: string;
  /** The program; undefined: it does not answer. */
  readonly program: RunningProgram | undefined;
  /** Ports of the stack's further brokers that are open. */
  readonly morePorts: readonly number[];
  /** The files of the stack, as text; undefined: there is no such file. */
  readonly files: { readonly influx: string | undefined; readonly grafana: string | undefined };
  /** Whether the store that the settings name exists. */
  readonly hasStoreFile: boolean;
}

/** What the running program says about itself. */
export interface RunningProgram {
  /** Without a slash at its end. */
  readonly url: string;
  /** It writes to a store. */
  readonly hasStore: boolean;
  /** Its prices are simulated, and its store is temporary. */
  readonly demo: boolean;
  readonly feedUrl: string;
  readonly channel: string;
  /** Ids of the exchange. */
  readonly products: readonly string[];
}

/** The servers. Throws a ConfigError with everything that is wrong. */
export function readServers(environment: Environment, found: Found): Servers {
  const { form, program } = found;
  const own = new SettingsReader(environment);
  const stack = form === "stack" ? stackSettings(own, found) : {};
  const all = { ...environment, values: { ...environment.values, ...stack } };
  const settings = new SettingsReader(all);
  const { problems } = settings;
  const values = settings.readAll(CHECK_SETTINGS);
  if (form !== "stack" && values.influxUrl !== "" && values.influxToken === "") {
    if (settings.areGood(CHECK_SETTINGS.influxToken)) {
      problems.push("Cannot read InfluxDB: expected INFLUX_TOKEN to be set together with INFLUX_URL, it is not set");
    }
  }
  let config: Config;
  try {
    config = readConfig(all, "dev");
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError([...error.problems, ...problems]);
  }
  if (problems.length > 0) throw new ConfigError(problems);

  const hasLogin = values.grafanaToken !== "" || values.grafanaPassword !== "";
  const login = new TextEncoder().encode(`${values.grafanaUser}:${values.grafanaPassword}`).toBase64();
  const isOwn = (name: string) => form !== "stack" || own.isSet(name);
  const { storeFile } = config;
  const isStoreUsed = program?.demo !== true &&
    (form === "embedded" || program?.hasStore || settings.isSet("STORE_FILE") || found.hasStoreFile);
  const programUrl = values.programUrl || program?.url ||
    (form === "embedded" ? `http://localhost:${config.port || 8000}` : undefined);
  const productsName = `${config.exchange.name.toUpperCase()}_PRODUCTS`;
  return {
    form,
    config: followed(config, program, values.simulatorPort),
    productsRemark: program !== undefined || settings.isSet(productsName)
      ? ""
      : `; these are the default products, because the program does not answer and ${productsName} is not set`,
    kafka: config.brokers.length === 0 ? undefined : config,
    groups: { prices: values.telegrafGroup, gaps: values.telegrafGapsGroup },
    influx: values.influxUrl === "" ? undefined : {
      url: values.influxUrl,
      org: values.influxOrg,
      bucket: values.influxBucket,
      token: values.influxToken,
      tokenFrom: isOwn("INFLUX_TOKEN") ? "INFLUX_TOKEN" : "influxv2.env",
      writeToken: values.influxWriteToken || undefined,
    },
    grafana: values.grafanaUrl === "" ? undefined : {
      url: values.grafanaUrl,
      authorization: values.grafanaToken !== ""
        ? `Bearer ${values.grafanaToken}`
        : hasLogin
        ? `Basic ${login}`
        : undefined,
      loginFrom: values.grafanaToken !== ""
        ? "GRAFANA_TOKEN"
        : form === "stack"
        ? "grafana.env"
        : "GRAFANA_USER and GRAFANA_PASSWORD",
      datasource: values.grafanaDatasource,
      dashboard: values.grafanaDashboard,
    },
    programUrl,
    hasPage: form !== "stack" && (program?.hasStore ?? form === "embedded"),
    storeFile: isStoreUsed ? storeFile : undefined,
    waitMs: values.waitMs,
    // the stack's first password may still be "admin", a word that many messages contain
    secrets: [...settings.secrets, login, config.sasl?.password ?? "", config.certificates?.key ?? ""]
      .concat(valueIn(found.files.influx ?? "", "DOCKER_INFLUXDB_INIT_PASSWORD") ?? "")
      .filter((secret) => secret !== "admin"),
  };
}

/** The stack's servers as settings, in place of those of the environment. */
function stackSettings(settings: SettingsReader, { files, morePorts }: Found): Record<string, string> {
  const local = (port: Setting<number>) => `http://localhost:${settings.read(port)}`;
  const influx = (name: string) => valueIn(files.influx ?? "", `DOCKER_INFLUXDB_INIT_${name}`) ?? "";
  const given = {
    INFLUX_ORG: influx("ORG"),
    INFLUX_BUCKET: influx("BUCKET"),
    INFLUX_TOKEN: settings.isSet("INFLUX_TOKEN") ? "" : influx("ADMIN_TOKEN"),
  };
  const kafkaAccess = ["KAFKA_SSL_CA", "KAFKA_SSL_CERT", "KAFKA_SSL_KEY", "KAFKA_USERNAME", "KAFKA_PASSWORD"];
  return {
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== "")),
    ...Object.fromEntries([...kafkaAccess, "GRAFANA_PASSWORD"].flatMap((name) => [[name, ""], [`${name}_FILE`, ""]])),
    KAFKA_SSL: "",
    KAFKA_BROKERS: [settings.read(CHECK_SETTINGS.kafkaPort), ...morePorts].map((port) => `localhost:${port}`).join(),
    INFLUX_URL: local(CHECK_SETTINGS.influxPort),
    GRAFANA_URL: local(CHECK_SETTINGS.grafanaPort),
    GRAFANA_USER: valueIn(files.grafana ?? "", "GF_SECURITY_ADMIN_USER") ?? "",
    GRAFANA_PASSWORD: valueIn(files.grafana ?? "", "GF_SECURITY_ADMIN_PASSWORD") ?? "admin",
    PROGRAM_URL: local(CHECK_SETTINGS.producerPort),
    STORE_FILE: "",
  };
}

/** The settings with what the running program really follows. */
function followed(config: Config, program: RunningProgram | undefined, simulatorPort: number): Config {
  if (program === undefined) return config;
  const { feedUrl, channel, products } = program;
  // the name of the simulator's container means nothing outside of Docker
  const isContainer = /^ws:\/\/coinbase-simulator(?::|\/|$)/.test(feedUrl);
  return { ...config, channel, products, feedUrl: isContainer ? `ws://localhost:${simulatorPort}` : feedUrl };
}
