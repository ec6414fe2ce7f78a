// `deno task doctor`: decides what to look at, looks, and tells a line a stage, or all of it as JSON.

import { systemClock } from "../core/clock.ts";
import { secondsText } from "../core/duration.ts";
import { readArguments } from "../config/arguments.ts";
import type { Environment } from "../config/setting.ts";
import { ConfigError } from "../core/errors.ts";
import { seriesOf } from "../core/record.ts";
import type { Output } from "../core/terminal.ts";
import { type LastTrades, lookAtExchange } from "../checks/exchange.ts";
import { lookAtDatasource, lookAtGrafana, lookAtPanels } from "../checks/grafana.ts";
import { Influx, lookAtInflux, lookAtPoints, lookAtToken } from "../checks/influx.ts";
import { KafkaLook, lookAtRecords, lookAtTelegraf, lookAtTopics } from "../checks/kafka_stages.ts";
import { describeCheckSettings, type Places, readPlaces } from "../checks/places.ts";
import { askedOf, decide, type Decided, readStackFiles } from "../checks/probe.ts";
import { lookAtPage, lookAtProgram, lookAtStore, lookAtTicks } from "../checks/program.ts";
import {
  type Finding,
  lookAtAll,
  ok,
  type Result,
  type Stage,
  type StageName,
  STAGES,
  unused,
} from "../checks/stage.ts";
import { asksForHelp } from "./command.ts";

/** How `deno task doctor` is used. */
export const DOCTOR_USAGE = `Usage: deno task doctor [options]

Walks the road of a price, stage by stage, says what it finds, and of the first broken one why, most likely, and what helps.
It changes nothing. Without options and settings it finds out itself what runs here: the stack, or the program with its store.
With KAFKA_BROKERS, INFLUX_URL, GRAFANA_URL or PROGRAM_URL it looks at the servers that these name.

  --stack                        look at the stack, also where it does not run
  --embedded                     look at the program and its store, also where it does not run
  --json                         one JSON object instead of lines

Exit codes: 0 all is well, 1 a stage is broken, 2 arguments cannot be used.
`;

/** What `--json` prints. */
export interface Report {
  /** No stage is broken. */
  readonly ok: boolean;
  /** What was looked at. */
  readonly form: Decided["form"];
  /** Why that. */
  readonly decided: string;
  /** The first broken stage on the road; null: none. */
  readonly firstBroken: StageName | null;
  /** All stages, in the order of the road. */
  readonly stages: readonly Result[];
  /** How long it took, ms. */
  readonly ms: number;
}

const TITLES: Readonly<Record<Result["state"], string>> = {
  "ok": "ok",
  "broken": "BROKEN",
  "not used": "not used",
  "unknown": "unknown",
};

/**
 * `deno task doctor`. Gives the exit code: 0 all is well, 1 a stage is broken. Throws a ConfigError for arguments that
 * cannot be used.
 *
 * @param dir the project's folder, where the stack has its files
 */
export async function runDoctor(
  args: readonly string[],
  environment: Environment,
  output: Pick<Output, "write">,
  signal: AbortSignal,
  dir = ".",
): Promise<0 | 1> {
  if (asksForHelp(args)) {
    await output.write(`${DOCTOR_USAGE}\n${describeCheckSettings()}`);
    return 0;
  }
  const given = readArguments(args, { flags: ["--json", "--stack", "--embedded"] });
  const asked = askedOf(given);
  if (given.problems.length > 0) throw new ConfigError(given.problems);
  const asJson = given.options.has("--json");
  const since = systemClock.elapsed();
  const files = await readStackFiles(dir);
  const decided = await decide(environment, files, asked, signal);
  let places: Places | undefined;
  let settings: Finding;
  try {
    places = readPlaces(environment, files, decided);
    settings = settingsFinding(places);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    settings = {
      state: "broken",
      words: error.problems.join("; "),
      cause: "a setting in the environment or in .env cannot be used",
      cure: "deno task doctor --help and deno task start --help list all settings with what they must be",
    };
  }
  const conceal = concealerOf(places?.secrets ?? []);
  const lines: Promise<void>[] = [];
  const say = (text: string) => lines.push(output.write(conceal(text)));
  if (!asJson) say(`Looking at ${decided.why}\n\n`);

  await using kafka = places?.kafka === undefined ? undefined : new KafkaLook(places.kafka);
  const stages = places === undefined ? noPlaces(settings) : stagesOf(places, settings, kafka);
  const results = await lookAtAll(stages, {
    waitMs: places?.waitMs ?? 1000,
    signal,
    elapsed: systemClock.elapsed,
    tell(result) {
      if (!asJson) say(lineOf(result));
    },
  });
  const firstBroken = results.find(({ state }) => state === "broken");
  const report: Report = {
    ok: firstBroken === undefined,
    form: decided.form,
    decided: decided.why,
    firstBroken: firstBroken?.name ?? null,
    stages: results,
    ms: Math.round(systemClock.elapsed() - since),
  };
  if (asJson) say(`${JSON.stringify(report)}\n`);
  else say(`\n${verdictOf(report, firstBroken)}`);
  await Promise.all(lines);
  return report.ok ? 0 : 1;
}

/** What is to be said of the products where one of them lacks something. */
function whoseProducts({ config, areDefaults }: Pick<Places, "config" | "areDefaults">): string {
  const name = `${config.exchange.name.toUpperCase()}_PRODUCTS`;
  return areDefaults
    ? `; these products are the program's defaults, as it could not be asked, and ${name} is not set here`
    : "";
}

function settingsFinding({ config, areDefaults, kafka, influx, grafana }: Places): Finding {
  const { exchange, products, channel, topic } = config;
  const to = [kafka && `Kafka topic ${topic}`, influx && `InfluxDB bucket ${influx.bucket}`, grafana && "Grafana"]
    .filter((each) => each !== undefined);
  return ok(
    `${products.length} ${products.length === 1 ? "product" : "products"} of ${exchange.title} on ${channel}${
      to.length === 0 ? "" : `; ${to.join(", ")}`
    }${whoseProducts({ config, areDefaults })}`,
    { products, channel, areDefaults },
  );
}

/** Nothing can be looked at. */
function noPlaces(settings: Finding): Stage[] {
  return STAGES.map((name) => (
    { name, needs: name === "settings" ? [] : ["settings"], look: () => Promise.resolve(settings) }
  ));
}

/** Hides what must not be shown, whoever put it there. */
function concealerOf(secrets: readonly string[]): (text: string) => string {
  const long = secrets.filter((secret) => secret.length >= 4).sort((a, b) => b.length - a.length);
  // as it stands in JSON it may look different
  const forms = long.flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)]);
  return (text) => forms.reduce((rest, secret) => rest.replaceAll(secret, "***"), text);
}

function lineOf({ name, state, words, cause, cure }: Result): string {
  const rest = [
    cause === undefined ? "" : `${" ".repeat(13)}cause: ${cause}\n`,
    cure === undefined ? "" : `${" ".repeat(13)}cure:  ${cure}\n`,
  ];
  return `${TITLES[state].padEnd(10)}${name.padEnd(12)}${words}\n${rest.join("")}`;
}

function verdictOf({ stages, ms }: Report, first: Result | undefined): string {
  const used = stages.filter(({ state }) => state !== "not used").length;
  const took = secondsText(ms / 1000);
  if (first === undefined) return `All is well: ${used} stages in ${took}.\n`;
  const others = stages.filter(({ state, name }) => state === "broken" && name !== first.name).map(({ name }) => name);
  const after = others.length === 0 ? "" : ` After it, perhaps for the same reason: ${others.join(", ")}.`;
  return `The first broken stage is ${first.name}: mend that first.${after}\n`;
}

function stagesOf(places: Places, settings: Finding, kafka: KafkaLook | undefined): Stage[] {
  const { config, groups, influx: influxPlace, grafana, programUrl, storeFile, form } = places;
  const { exchange, topic, gapsTopic } = config;
  const { now, elapsed } = systemClock;
  const products = config.products.map((product) => seriesOf(exchange.name, product));
  const whose = whoseProducts(places);
  const trades: LastTrades = new Map();
  const records = new Map<string, number>();
  const reasons: string[] = [];
  const influx = influxPlace && new Influx(influxPlace);
  const topics = gapsTopic === "" ? [topic] : [topic, gapsTopic];
  const groupsOf = groups.flatMap((group, at) => {
    const own = topics[at];
    return own === undefined || group === "" ? [] : [{ group, topic: own }];
  });
  const none = (words: string) => () => Promise.resolve(unused(words));
  const noKafka = "no Kafka is named by KAFKA_BROKERS";
  const noInflux = "no InfluxDB is named by INFLUX_URL";
  const noGrafana = "no Grafana is named by GRAFANA_URL";
  const looks: Record<StageName, Omit<Stage, "name">> = {
    settings: { needs: [], look: () => Promise.resolve(settings) },
    exchange: {
      needs: [],
      look: (signal) =>
        lookAtExchange(
          { exchange, url: config.feedUrl, channel: config.channel, products: config.products, now, elapsed },
          trades,
          signal,
        ),
    },
    kafka: { needs: [], look: kafka === undefined ? none(noKafka) : (signal) => kafka.connect(signal) },
    topics: { needs: ["kafka"], look: (signal) => lookAtTopics(viewOf(kafka), topics, signal) },
    store: {
      needs: [],
      look: storeFile === undefined
        ? none(form === "stack" ? "the stack has none" : "there is none, or it is the demo's own")
        : () => lookAtStore(storeFile),
    },
    program: {
      needs: [],
      look: programUrl === undefined
        ? none("none answers at PORT, and PROGRAM_URL names none")
        : (signal) => lookAtProgram(programUrl, form === "stack", reasons, signal),
    },
    records: {
      needs: ["topics"],
      after: ["exchange"],
      look: (signal) =>
        lookAtRecords(viewOf(kafka), topic, { products, whose, happened: trades, now }, records, signal),
    },
    telegraf: {
      needs: ["topics"],
      look: influx === undefined
        ? none(noInflux)
        : (signal) => lookAtTelegraf(viewOf(kafka), groupsOf, { isStack: form === "stack", now }, signal),
    },
    influxdb: {
      needs: [],
      look: influx === undefined || influxPlace === undefined
        ? none(noInflux)
        : (signal) => lookAtInflux(influxPlace, influx, signal),
    },
    token: {
      needs: ["influxdb"],
      look: influx === undefined || influxPlace === undefined
        ? none(noInflux)
        : (signal) => lookAtToken(influxPlace, influx, form === "stack", signal),
    },
    points: {
      needs: ["token"],
      after: ["exchange", "records"],
      look: influx === undefined || influxPlace === undefined ? none(noInflux) : (signal) =>
        lookAtPoints(
          influxPlace,
          influx,
          { products, whose, happened: records.size > 0 ? records : trades, now },
          signal,
        ),
    },
    grafana: { needs: [], look: grafana === undefined ? none(noGrafana) : (signal) => lookAtGrafana(grafana, signal) },
    datasource: {
      needs: ["grafana"],
      look: grafana === undefined ? none(noGrafana) : (signal) => lookAtDatasource(grafana, signal),
    },
    panels: {
      needs: ["datasource"],
      look: grafana === undefined ? none(noGrafana) : (signal) =>
        // the one that a person would see first
        lookAtPanels(grafana, { product: newestOf(trades) ?? products[0] ?? "", now: now() }, signal),
    },
    ticks: {
      needs: ["store"],
      after: ["exchange", "program"],
      look: storeFile === undefined
        ? none("there is no store")
        : (signal) => lookAtTicks(storeFile, { products, whose, happened: trades, now }, reasons, signal),
    },
    page: {
      needs: ["program"],
      look: programUrl === undefined || !places.hasPage
        ? none("the program has none without a store")
        : (signal) => lookAtPage(programUrl, signal),
    },
  };
  // SQLite is read without letting go of this thread, for seconds where somebody has locked it: whoever waited for an
  // answer from the network meanwhile would take it for late
  return STAGES.map((name) => {
    const { needs, after = [], look } = looks[name];
    return { name, needs, after: name === "store" ? after : [...after, "store"], look };
  });
}

function viewOf(kafka: KafkaLook | undefined) {
  if (kafka === undefined) throw new TypeError("There is no Kafka to look at");
  return kafka.view;
}

function newestOf(times: ReadonlyMap<string, number>): string | undefined {
  return [...times].sort(([, a], [, b]) => b - a)[0]?.[0];
}
