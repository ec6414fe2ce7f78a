// Grafana by its HTTP API: it is running, its data source reaches InfluxDB, and the panels of a dashboard show data. The
// queries of the panels are sent as Grafana's page sends them, with the values of the dashboard's variables filled in.

import { systemClock } from "../core/clock.ts";
import { briefly } from "./freshness.ts";
import { request } from "./http.ts";
import type { GrafanaServer } from "./servers.ts";
import { type Finding, ok, Problem } from "./stage.ts";

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

interface Target {
  readonly refId?: string;
  readonly query?: string;
  readonly hide?: boolean;
  readonly datasource?: unknown;
}

interface Panel {
  readonly title?: string;
  readonly type?: string;
  readonly targets?: readonly Target[];
  readonly panels?: readonly Panel[];
  readonly datasource?: unknown;
  readonly maxDataPoints?: number | null;
}

interface Dashboard {
  readonly title?: string;
  readonly panels?: readonly Panel[];
  readonly templating?: { readonly list?: readonly Variable[] };
}

interface Variable {
  readonly name: string;
  readonly current?: { readonly value?: unknown };
  readonly query?: unknown;
}

interface Frame {
  readonly data?: { readonly values?: readonly (readonly unknown[])[] };
}

interface QueryResult {
  readonly error?: string;
  readonly frames?: readonly Frame[];
}

/** The time range that the panels show, ms. */
const RANGE_MS = 1_800_000;

/** Calls the API; with a body it is a POST. Throws a Problem if there is no answer or the login is refused. */
async function call(grafana: GrafanaServer, path: string, signal: AbortSignal, body?: unknown): Promise<Answer> {
  const { url, authorization, loginFrom } = grafana;
  const response = await request(
    `${url}${path}`,
    {
      name: `Grafana at ${url}`,
      cause: "Grafana is not running, or has another address",
      cure: "start Grafana (the stack: deno task stack:status, deno task stack:logs grafana), or correct GRAFANA_URL",
    },
    signal,
    {
      headers: {
        "content-type": "application/json",
        "accept": "application/json",
        ...(authorization === undefined ? {} : { authorization }),
      },
      // not to a login page
      redirect: "manual",
      ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
    },
  );
  const { status } = response;
  const text = await response.text();
  if (status === 401 || status === 403) {
    throw new Problem(
      `Grafana at ${url} answers ${status} to ${path.replace(/\?.*/, "")}`,
      status === 401 ? `Grafana does not know the login of ${loginFrom}` : `the login of ${loginFrom} lacks the right`,
      status === 401
        ? 'use a login that Grafana knows; the stack: docs/stack.md, "Changed passwords"'
        : "give it the role Viewer and the right to query the data source",
    );
  }
  try {
    return { status, body: Object(JSON.parse(text)) };
  } catch {
    return { status, body: {} };
  }
}

/** The answer in a message: `404 Dashboard not found`. */
const answerText = ({ status, body }: Answer) => `${status} ${String(body.message ?? body.status ?? "")}`.trim();

/** It is running, and its own database works. */
export async function checkGrafana(grafana: GrafanaServer, signal: AbortSignal): Promise<Finding> {
  const { url } = grafana;
  const since = systemClock.elapsed();
  const answer = await call(grafana, "/api/health", signal);
  const { database, version } = answer.body;
  if (answer.status !== 200 || database !== "ok") {
    throw new Problem(
      `Grafana at ${url}: ${database === undefined ? answerText(answer) : `its database is ${database}`}`,
      "this is not Grafana, or Grafana's own database is damaged or locked",
      "correct GRAFANA_URL, or look at Grafana's log",
    );
  }
  return ok(`${url} answers after ${Math.round(systemClock.elapsed() - since)} ms, version ${version}`, { version });
}

/** Its data source exists and reaches InfluxDB. */
export async function checkDatasource(grafana: GrafanaServer, signal: AbortSignal): Promise<Finding> {
  const { datasource: uid } = grafana;
  const path = `/api/datasources/uid/${encodeURIComponent(uid)}`;
  const found = await call(grafana, path, signal);
  if (found.status !== 200) {
    throw new Problem(
      `Grafana has no data source ${uid}: ${answerText(found)}`,
      "it was not provisioned, or was deleted by hand",
      "mount grafana-provisioning/datasources and restart Grafana (the stack: deno task stack)",
    );
  }
  const health = await call(grafana, `${path}/health`, signal);
  if (health.status !== 200 || health.body.status !== "OK") {
    throw new Problem(
      `data source ${uid}: ${answerText(health)}`,
      "Grafana does not reach InfluxDB, or its token may not read the bucket",
      "compare the data source's URL, organization, bucket and token with InfluxDB's (the stack: deno task stack creates a " +
        "new token)",
    );
  }
  return ok(`${uid}: ${String(health.body.message ?? "OK")}`, { type: found.body.type });
}

/**
 * All queries of the panels succeed, and those that show prices return some.
 *
 * @param product whose prices are shown
 * @param now wall clock, ms
 */
export async function checkPanels(
  grafana: GrafanaServer,
  product: string,
  now: number,
  signal: AbortSignal,
): Promise<Finding> {
  const found = await call(grafana, `/api/dashboards/uid/${encodeURIComponent(grafana.dashboard)}`, signal);
  const dashboard = Object(found.body.dashboard) as Dashboard;
  if (found.status !== 200 || dashboard.panels === undefined) {
    throw new Problem(
      `Grafana has no dashboard ${grafana.dashboard}: ${answerText(found)}`,
      "it was not provisioned, or was deleted by hand",
      "mount grafana-provisioning/dashboards and restart Grafana (the stack: deno task stack)",
    );
  }
  const values = variablesOf(dashboard, product);
  const fill = (text: string) =>
    text.replace(/\$\{(\w+)(?::\w+)?\}|\[\[(\w+)\]\]/g, (all, a, b) => values.get(a ?? b) ?? all);
  const panels = dashboard.panels.flatMap((panel) => [panel, ...panel.panels ?? []])
    .map(({ targets = [], ...panel }) => ({ ...panel, targets: targets.filter(({ query, hide }) => query && !hide) }))
    .filter(({ targets }) => targets.length > 0);
  const queries = panels.flatMap(({ targets, maxDataPoints, datasource }, i) =>
    targets.map((target, j) => ({
      refId: `P${i}T${j}`,
      datasource: target.datasource ?? datasource ?? { uid: grafana.datasource, type: "influxdb" },
      query: fill(target.query ?? ""),
      maxDataPoints: maxDataPoints ?? 1000,
      intervalMs: Math.max(1000, Math.ceil(RANGE_MS / (maxDataPoints ?? 1000))),
    }))
  );
  const body = { from: String(now - RANGE_MS), to: String(now), queries };
  const answer = await call(grafana, "/api/ds/query", signal, body);
  const results = Object(answer.body.results) as Record<string, QueryResult>;
  const failed: string[] = [];
  const withoutPrices: string[] = [];
  const empty: string[] = [];
  for (const [i, { title = "", targets }] of panels.entries()) {
    const name = `"${fill(title)}"`;
    const own = targets.map((_, j) => results[`P${i}T${j}`] ?? { error: `no answer (${answerText(answer)})` });
    const error = own.map((result) => result.error).find((each) => each !== undefined && each !== "");
    if (error !== undefined) failed.push(`${name}: ${error.replace(/\s+/g, " ").slice(0, 160)}`);
    else if (!own.some(hasValue)) {
      // others show gaps, rejected records or reconnects: there may be none
      const showsPrices = targets.some(({ query = "" }) => query.includes('"kafka_consumer"'));
      (showsPrices ? withoutPrices : empty).push(name);
    }
  }
  const ofAll = `of ${panels.length} panels of "${dashboard.title ?? grafana.dashboard}"`;
  if (failed.length > 0) {
    throw new Problem(
      `${failed.length} ${ofAll} fail: ${briefly(failed, 2)}`,
      "InfluxDB refuses the query: Grafana's token may not read, the bucket has another name, or InfluxDB is overloaded",
      "open the panel in Grafana, then Inspect, Query; Grafana's log has the complete answer",
    );
  }
  if (withoutPrices.length > 0) {
    throw new Problem(
      `${withoutPrices.length} ${ofAll} show nothing: ${briefly(withoutPrices, 4)}`,
      `the data source finds no prices of ${product} in the last ${RANGE_MS / 60_000} minutes`,
      "correct the bucket and organization of the data source, unless an earlier stage is broken",
    );
  }
  const others = empty.length === 0 ? "" : `, nothing to show: ${briefly(empty, 4)}`;
  return ok(`${panels.length - empty.length} ${ofAll} show data${others}`, { panels: panels.length, empty });
}

/** The variables with their values: the product, and of the others what is selected or comes first. */
function variablesOf({ templating }: Dashboard, product: string): Map<string, string> {
  const values = (templating?.list ?? []).map(({ name, current, query }): [string, string] => {
    const selected = [current?.value].flat()[0];
    const first = typeof query === "string" ? query.split(",")[0] ?? "" : "";
    return [name, typeof selected === "string" && selected !== "" ? selected : first];
  });
  return new Map([...values, ["product", product]]);
}

function hasValue({ frames = [] }: QueryResult): boolean {
  return frames.some(({ data }) => data?.values?.some((column) => column.some((each) => each !== null)));
}
