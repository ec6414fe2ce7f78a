// `deno task doctor`: which check belongs to which stage, and the report.

import { systemClock } from "../core/clock.ts";
import { secondsText } from "../core/duration.ts";
import { seriesOf } from "../core/record.ts";
import type { KafkaView } from "../kafka/admin.ts";
import { checkExchange } from "./exchange.ts";
import { checkDatasource, checkGrafana, checkPanels } from "./grafana.ts";
import { checkInflux, checkPoints, checkToken, Influx } from "./influx.ts";
import { checkKafka, checkRecords, checkTelegraf, checkTopics } from "./kafka.ts";
import { checkPage, checkProgram, checkStore, checkTicks } from "./program.ts";
import type { Form, Servers } from "./servers.ts";
import { checkAll, type Finding, ok, Problem, type Result, type Stage, type StageName, STAGES } from "./stage.ts";

/** What `deno task doctor --json` prints. */
export interface DoctorReport {
  readonly ok: boolean;
  readonly form: Form;
  /** What that is, and how it was found. */
  readonly decided: string;
  readonly firstBroken: StageName | null;
  readonly stages: readonly Result[];
  readonly ms: number;
}

/**
 * Checks all stages, in the order of the pipeline.
 *
 * @param servers an error: the settings cannot be used, so that only the first stage can be checked
 * @param onResult called for each stage in order, as soon as it is known
 */
export async function examine(
  servers: Servers | Error,
  signal: AbortSignal,
  onResult: (result: Result) => void,
): Promise<readonly Result[]> {
  await using connections = new AsyncDisposableStack();
  const stages = servers instanceof Error ? brokenSettings(servers) : stagesOf(servers, connections);
  return await checkAll(stages, servers instanceof Error ? 1000 : servers.waitMs, signal, onResult);
}

function brokenSettings({ message }: Error): Record<StageName, Stage> {
  const check = () => {
    throw new Problem(
      message.replaceAll("\n", "; "),
      "a setting in the environment or in .env cannot be used",
      "deno task doctor --help and deno task start --help list all settings and their values",
    );
  };
  const needing = Object.fromEntries(STAGES.map((name): [string, Stage] => [name, { needs: ["settings"], check }]));
  return { ...needing as Record<StageName, Stage>, settings: { check } };
}

/** The check for a server, or for one that is not used here. */
function ifUsed<T>(
  server: T | undefined,
  whyNot: string,
  check: (server: T, signal: AbortSignal) => Promise<Finding>,
): Stage["check"] {
  return server === undefined
    ? () => Promise.resolve({ state: "not used", words: whyNot })
    : (signal) => check(server, signal);
}

function stagesOf(servers: Servers, connections: AsyncDisposableStack): Record<StageName, Stage> {
  const { config, groups, kafka, grafana, programUrl, storeFile, productsRemark } = servers;
  const { exchange, topic, gapsTopic } = config;
  const { now } = systemClock;
  const isStack = servers.form === "stack";
  const influx = servers.influx && new Influx(servers.influx);
  const products = config.products.map((product) => seriesOf(exchange.name, product));
  const topicGroups = [{ group: groups.prices, topic }, { group: groups.gaps, topic: gapsTopic }]
    .filter(({ group, topic }) => group !== "" && topic !== "");
  // what earlier stages find for later ones
  const view = Promise.withResolvers<KafkaView>();
  const lastTrades = new Map<string, number>();
  const lastRecords = new Map<string, number>();
  const programReasons: string[] = [];
  const expected = { products, productsRemark, latest: lastTrades, now };

  const noKafka = "KAFKA_BROKERS is not set";
  const noInflux = "INFLUX_URL is not set";
  const noGrafana = "GRAFANA_URL is not set";
  const stages: Record<StageName, Stage> = {
    settings: { check: () => Promise.resolve(describeServers(servers)) },
    exchange: { check: (signal) => checkExchange(config, lastTrades, signal) },
    kafka: {
      check: ifUsed(
        kafka,
        noKafka,
        (kafka, signal) => checkKafka(kafka, (opened) => view.resolve(connections.use(opened)), signal),
      ),
    },
    topics: {
      needs: ["kafka"],
      check: async (signal) =>
        await checkTopics(await view.promise, [topic, gapsTopic].filter((name) => name !== ""), signal),
    },
    store: {
      check: ifUsed(storeFile, isStack ? "the stack has none" : "there is none, or it is the demo's", checkStore),
    },
    program: {
      check: ifUsed(
        programUrl,
        "nothing answers at PORT, and PROGRAM_URL is not set",
        (url, signal) => checkProgram(url, isStack, programReasons, signal),
      ),
    },
    records: {
      needs: ["topics"],
      after: ["exchange"],
      check: async (signal) => await checkRecords(await view.promise, topic, expected, lastRecords, signal),
    },
    telegraf: {
      needs: ["topics"],
      check: ifUsed(
        influx,
        noInflux,
        async (_, signal) => await checkTelegraf(await view.promise, topicGroups, { isStack, now }, signal),
      ),
    },
    influxdb: { check: ifUsed(influx, noInflux, checkInflux) },
    token: {
      needs: ["influxdb"],
      check: ifUsed(influx, noInflux, (influx, signal) => checkToken(influx, isStack, signal)),
    },
    points: {
      needs: ["token"],
      after: ["exchange", "records"],
      check: ifUsed(
        influx,
        noInflux,
        (influx, signal) =>
          checkPoints(influx, { ...expected, latest: lastRecords.size > 0 ? lastRecords : lastTrades }, signal),
      ),
    },
    grafana: { check: ifUsed(grafana, noGrafana, checkGrafana) },
    datasource: { needs: ["grafana"], check: ifUsed(grafana, noGrafana, checkDatasource) },
    panels: {
      needs: ["datasource"],
      after: ["exchange"],
      check: ifUsed(grafana, noGrafana, (grafana, signal) => {
        const [newest] = [...lastTrades].toSorted(([, a], [, b]) => b - a);
        return checkPanels(grafana, newest?.[0] ?? products[0] ?? "", now(), signal);
      }),
    },
    ticks: {
      needs: ["store"],
      after: ["exchange", "program"],
      check: ifUsed(
        storeFile,
        "there is no store",
        (path, signal) => checkTicks(path, expected, programReasons, signal),
      ),
    },
    page: {
      needs: ["program"],
      check: ifUsed(servers.hasPage ? programUrl : undefined, "without a store the program has no page", checkPage),
    },
  };
  // SQLite blocks this thread, for seconds if the store is locked: meanwhile every other answer would seem late
  for (const name of STAGES.filter((name) => name !== "store")) {
    stages[name] = { ...stages[name], after: [...stages[name].after ?? [], "store"] };
  }
  return stages;
}

function describeServers({ config, productsRemark, kafka, influx, grafana }: Servers): Finding {
  const { exchange, products, channel, topic } = config;
  const destinations = [
    ...kafka === undefined ? [] : [`Kafka topic ${topic}`],
    ...influx === undefined ? [] : [`InfluxDB bucket ${influx.bucket}`],
    ...grafana === undefined ? [] : ["Grafana"],
  ];
  const what = `${products.length} ${
    products.length === 1 ? "product" : "products"
  } of ${exchange.title} on ${channel}`;
  return ok(
    `${[what, ...destinations.length === 0 ? [] : [destinations.join(", ")]].join("; ")}${productsRemark}`,
    { products, channel, areDefaults: productsRemark !== "" },
  );
}

/** The lines of a stage: what was seen, and if it is broken, why and what to do. */
export function resultText({ name, state, words, cause, cure }: Result): string {
  const line = (title: string, text: string | undefined) =>
    text === undefined ? "" : `${" ".repeat(13)}${title.padEnd(7)}${text}\n`;
  const title = state === "broken" ? "BROKEN" : state;
  return `${title.padEnd(10)}${name.padEnd(12)}${words}\n${line("cause:", cause)}${line("cure:", cure)}`;
}

/** The last lines: what to do first. */
export function verdictText({ stages, ms }: DoctorReport): string {
  const used = stages.filter(({ state }) => state !== "not used").length;
  const [first, ...others] = stages.filter(({ state }) => state === "broken");
  if (first === undefined) return `All ${used} stages work (checked in ${secondsText(ms / 1000)}).\n`;
  const rest = others.length === 0 ? "" : `Perhaps that also repairs: ${others.map(({ name }) => name).join(", ")}.\n`;
  return `The first broken stage is ${first.name}. Fix it first: ${first.cure}.\n${rest}`;
}
