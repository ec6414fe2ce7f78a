// Grafana by its HTTP API: that it runs, that its data source reaches InfluxDB, and that the panels of a dashboard show
// data. A panel's query is asked as Grafana's own page asks it, with the dashboard's variables put in, which only the
// page does.

import { briefly } from "./freshness.ts";
import type { GrafanaPlace } from "./places.ts";
import { requestTrouble } from "./probe.ts";
import { type Finding, ok, Trouble } from "./stage.ts";

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

/** The range that is asked for, ms. */
const RANGE_MS = 1_800_000;

async function ask(place: GrafanaPlace, path: string, signal: AbortSignal, body?: unknown): Promise<Answer> {
  const { url, authorization } = place;
  let response: Response;
  try {
    response = await fetch(`${url}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: {
        "content-type": "application/json",
        "accept": "application/json",
        ...(authorization === undefined ? {} : { authorization }),
      },
      // a login page is no answer
      redirect: "manual",
      signal,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch (error) {
    signal.throwIfAborted();
    throw new Trouble(
      `Grafana at ${url}: ${requestTrouble(error)}`,
      "Grafana does not run, or its address is another one",
      "start it (the stack: deno task stack:status, deno task stack:logs grafana); look at GRAFANA_URL",
    );
  }
  const text = await response.text();
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = {};
  }
  const { status } = response;
  if (status === 401 || status === 403) {
    throw new Trouble(
      `Grafana at ${url} answers ${status} to ${path.replace(/\?.*/, "")}`,
      status === 401
        ? `the login of ${place.loginFrom} is not the one that Grafana knows`
        : `the login of ${place.loginFrom} may not do that`,
      status === 401
        ? 'put in one that it knows; the stack: docs/stack.md, "Changed passwords"'
        : "give it the role Viewer, and the right to query the data source",
    );
  }
  return { status, body: Object(parsed) as Record<string, unknown> };
}

const said = ({ status, body }: Answer) => `${status} ${String(body.message ?? body.status ?? "")}`.trim();

/** It runs, and its own database is well. */
export async function lookAtGrafana(place: GrafanaPlace, signal: AbortSignal): Promise<Finding> {
  const since = performance.now();
  const answer = await ask(place, "/api/health", signal);
  const { database, version } = answer.body;
  if (answer.status !== 200 || database !== "ok") {
    throw new Trouble(
      `Grafana at ${place.url}: ${database === undefined ? said(answer) : `its database is ${database}`}`,
      "something answers there that is no Grafana, or one whose own database is damaged or locked",
      "look at GRAFANA_URL, and at its log",
    );
  }
  return ok(`${place.url} answers after ${Math.round(performance.now() - since)} ms, version ${version}`, { version });
}

/** Its data source is there and reaches InfluxDB. */
export async function lookAtDatasource(place: GrafanaPlace, signal: AbortSignal): Promise<Finding> {
  const { datasource: uid } = place;
  const there = await ask(place, `/api/datasources/uid/${encodeURIComponent(uid)}`, signal);
  if (there.status !== 200) {
    throw new Trouble(
      `Grafana has no data source ${uid}: ${said(there)}`,
      "it was not provisioned, or deleted by hand",
      "mount grafana-provisioning/datasources and start Grafana again (the stack: deno task stack)",
    );
  }
  const health = await ask(place, `/api/datasources/uid/${encodeURIComponent(uid)}/health`, signal);
  if (health.status !== 200 || health.body.status !== "OK") {
    throw new Trouble(
      `data source ${uid}: ${said(health)}`,
      "Grafana does not reach InfluxDB, or its token may not read the bucket",
      "compare url, organization, bucket and token of the data source with InfluxDB's; the stack: deno task stack makes a new token",
    );
  }
  return ok(`${uid}: ${String(health.body.message ?? "OK")}`, { type: there.body.type });
}

/** Each panel's query is answered, and those that show prices get some. */
export async function lookAtPanels(
  place: GrafanaPlace,
  wish: { readonly product: string; readonly now: number },
  signal: AbortSignal,
): Promise<Finding> {
  const found = await ask(place, `/api/dashboards/uid/${encodeURIComponent(place.dashboard)}`, signal);
  const dashboard = Object(found.body.dashboard) as {
    title?: string;
    panels?: readonly Panel[];
    templating?: { list?: readonly Variable[] };
  };
  if (found.status !== 200 || dashboard.panels === undefined) {
    throw new Trouble(
      `Grafana has no dashboard ${place.dashboard}: ${said(found)}`,
      "it was not provisioned, or deleted by hand",
      "mount grafana-provisioning/dashboards and start Grafana again (the stack: deno task stack)",
    );
  }
  const panels = dashboard.panels.flatMap((panel) => [panel, ...panel.panels ?? []])
    .map((panel) => ({ ...panel, targets: (panel.targets ?? []).filter(({ query, hide }) => query && hide !== true) }))
    .filter(({ targets }) => targets.length > 0);
  const values = valuesOf(dashboard.templating?.list ?? [], wish.product);
  const put = (text: string) =>
    text.replace(/\$\{(\w+)(?::\w+)?\}|\[\[(\w+)\]\]/g, (all, a, b) => values.get(a ?? b) ?? all);
  const asked = panels.flatMap(({ targets, maxDataPoints, ...panel }, at) =>
    targets.map((target, of) => ({
      refId: `P${at}T${of}`,
      datasource: target.datasource ?? panel.datasource ?? { uid: place.datasource, type: "influxdb" },
      query: put(target.query ?? ""),
      maxDataPoints: maxDataPoints ?? 1000,
      intervalMs: Math.max(1000, Math.ceil(RANGE_MS / (maxDataPoints ?? 1000))),
    }))
  );
  const body = { from: String(wish.now - RANGE_MS), to: String(wish.now), queries: asked };
  const answer = await ask(place, "/api/ds/query", signal, body);
  const results = Object(answer.body.results) as Record<string, QueryResult>;
  const failed: string[] = [];
  const empty: string[] = [];
  const lacking: string[] = [];
  for (const [at, { title = "", targets }] of panels.entries()) {
    const name = `"${put(title)}"`;
    const own = targets.map((_, of) => results[`P${at}T${of}`]);
    const error = own.map((result) => result === undefined ? `no answer (${said(answer)})` : result.error)
      .find((each) => each !== undefined && each !== "");
    if (error !== undefined) failed.push(`${name}: ${error.replace(/\s+/g, " ").slice(0, 160)}`);
    else if (!own.some(hasValue)) {
      // gaps, rejected records, reconnects: there may be none
      const showsPrices = targets.some(({ query = "" }) => query.includes('"kafka_consumer"'));
      (showsPrices ? lacking : empty).push(name);
    }
  }
  const title = `"${dashboard.title ?? place.dashboard}"`;
  if (failed.length > 0) {
    throw new Trouble(
      `${failed.length} of ${panels.length} panels of ${title} fail: ${briefly(failed, 2)}`,
      "InfluxDB refuses the query: its token may not read, the bucket has another name, or it has no time for it",
      "open the panel in Grafana, Inspect, Query; Grafana's log has the whole answer",
    );
  }
  if (lacking.length > 0) {
    throw new Trouble(
      `${lacking.length} of ${panels.length} panels of ${title} show nothing: ${briefly(lacking, 4)}`,
      `there are no prices of ${wish.product} in the last ${RANGE_MS / 60_000} minutes where the data source looks`,
      "if the stages before this one are ok, the data source looks at another bucket or organization",
    );
  }
  const rest = empty.length === 0 ? "" : `, nothing to show: ${briefly(empty, 4)}`;
  return ok(`${panels.length - empty.length} of ${panels.length} panels of ${title} show data${rest}`, {
    panels: panels.length,
    empty,
  });
}

/** The variables as the page would have them: the product that was asked for, and of the others what is chosen. */
function valuesOf(variables: readonly Variable[], product: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const { name, current, query } of variables) {
    const chosen = [current?.value].flat()[0];
    const first = typeof query === "string" ? query.split(",")[0] : undefined;
    values.set(name, typeof chosen === "string" && chosen !== "" ? chosen : first ?? "");
  }
  values.set("product", product);
  return values;
}

function hasValue(result: QueryResult | undefined): boolean {
  return (result?.frames ?? []).some(({ data }) =>
    (data?.values ?? []).some((column) => column.some((each) => each !== null))
  );
}
