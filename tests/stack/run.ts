/// <reference lib="dom" />
// For a machine with Docker, not part of the tests: starts the stack, waits, runs each query of the dashboards through Grafana,
// checks the alert rules, takes a picture of each dashboard if Chromium is installed, and stops the stack. The last line has the
// counts.
//
//   deno run -A tests/stack/run.ts [--demo] [--cluster] [--zookeeper] [--keep]       --keep: does not stop the stack

import type { Page } from "playwright-core";
import { Chromium, chromiumMissing } from "../browser/chromium.ts";

const encoder = new TextEncoder();

function say(text: string): void {
  Deno.stdout.writeSync(encoder.encode(`${text}\n`));
}

interface Target {
  readonly refId: string;
  readonly query?: string;
  readonly hide?: boolean;
}

interface Panel {
  readonly title?: string;
  readonly type: string;
  readonly targets?: readonly Target[];
  readonly fieldConfig?: { readonly defaults?: { readonly noValue?: string } };
  readonly datasource?: { readonly type?: string; readonly uid?: string };
  readonly panels?: readonly Panel[];
}

interface Variable {
  readonly name: string;
  readonly type: string;
  readonly datasource?: { readonly uid?: string };
  /** Of the type `query`, as Grafana's InfluxDB source has it. */
  readonly query: string | Target;
}

interface Annotation {
  readonly name: string;
  readonly datasource?: { readonly uid?: string };
  readonly target?: Target;
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly templating?: { readonly list: readonly Variable[] };
  readonly annotations?: { readonly list: readonly Annotation[] };
}

/** A query of a dashboard. */
interface Question {
  /** For people. */
  readonly what: string;
  readonly target: Target;
  /** Of its data source; undefined: the standard one. */
  readonly uid: string | undefined;
  /** An answer without a row is right, too. */
  readonly mayBeEmpty: boolean;
}

interface Rules {
  readonly data: {
    readonly groups: readonly {
      readonly rules: readonly { readonly name: string; readonly health: string; readonly lastError?: string }[];
    }[];
  };
}

interface QueryResult {
  readonly error?: string;
  readonly frames?: readonly { readonly data: { readonly values: readonly (readonly unknown[])[] } }[];
}

async function stack(task: string, ...args: string[]): Promise<number> {
  const { code } = await new Deno.Command(Deno.execPath(), { args: ["task", task, ...args] }).spawn().status;
  return code;
}

async function portOf(service: string, target: number): Promise<string> {
  const { stdout } = await new Deno.Command("docker", { args: ["compose", "port", service, String(target)] }).output();
  return new TextDecoder().decode(stdout).trim();
}

/** The login of Grafana as `deno task stack` has written it. */
async function readLogin(): Promise<{ user: string; password: string }> {
  const text = await Deno.readTextFile("grafana.env");
  const value = (name: string) => new RegExp(`^${name}=(.*)$`, "m").exec(text)?.[1] ?? "admin";
  return { user: value("GF_SECURITY_ADMIN_USER"), password: value("GF_SECURITY_ADMIN_PASSWORD") };
}

/** What the page would put in place of a dashboard's variables. */
function fillIn(query: string, product: string): string {
  return query
    .replace(/\$\{product(?::[a-z]+)?\}|\$product\b/g, product)
    .replace(/\$\{Interval(?::[a-z]+)?\}|\$Interval\b/g, "5s")
    .replace(/\$__all\b/g, ".*");
}

class Grafana {
  readonly url: string;
  readonly #headers: Record<string, string>;

  constructor(url: string, login: { user: string; password: string }) {
    this.url = url;
    this.#headers = {
      "Authorization": `Basic ${btoa(`${login.user}:${login.password}`)}`,
      "Content-Type": "application/json",
    };
  }

  async ask(path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${this.url}${path}`, {
      headers: this.#headers,
      signal: AbortSignal.timeout(30_000),
      ...body !== undefined && { method: "POST", body: JSON.stringify(body) },
    });
    if (!response.ok && response.status !== 400) {
      throw new Error(`${path}: ${response.status} ${await response.text()}`);
    }
    return await response.json();
  }

  /** Rows that a query gives; throws what Grafana says against it. */
  async rows(target: Target, uid: string, product: string): Promise<number> {
    const answer = await this.ask("/api/ds/query", {
      from: "now-15m",
      to: "now",
      queries: [{
        refId: target.refId,
        datasource: { type: "influxdb", uid },
        query: fillIn(target.query ?? "", product),
        intervalMs: 1000,
        maxDataPoints: 1000,
      }],
    }) as { results?: Record<string, QueryResult>; message?: string };
    const result = answer.results?.[target.refId];
    if (result === undefined || result.error !== undefined) {
      throw new Error(result?.error ?? answer.message ?? "no answer");
    }
    return (result.frames ?? []).reduce((sum, { data }) => sum + (data.values[0]?.length ?? 0), 0);
  }
}

/** All panels, those inside of rows as well. */
function panelsOf(panels: readonly Panel[]): Panel[] {
  return panels.flatMap((panel) => [panel, ...panelsOf(panel.panels ?? [])]);
}

async function readDashboards(): Promise<Dashboard[]> {
  const folder = "grafana-provisioning/dashboards/json";
  const names = await Array.fromAsync(Deno.readDir(folder), ({ name }) => name);
  const files = names.filter((name) => name.endsWith(".json")).sort();
  return await Promise.all(files.map(async (name) => JSON.parse(await Deno.readTextFile(`${folder}/${name}`))));
}

/** Waits until a dashboard in view has at least one chart, each of them is painted, and no panel is still asking. */
export async function panelsDrawn(page: Page, timeoutMs = 60_000): Promise<void> {
  await page.waitForFunction(
    () => {
      const charts = [...document.querySelectorAll("canvas")];
      const isPainted = (chart: HTMLCanvasElement) =>
        chart.width > 0 && chart.height > 0 &&
        chart.getContext("2d")?.getImageData(0, 0, chart.width, chart.height).data.some((byte) => byte > 0);
      const asking = document.querySelector('[aria-label="Panel loading bar"], [data-testid*="Panel loading bar"]');
      return asking === null && charts.length > 0 && charts.every(isPainted);
    },
    undefined,
    { timeout: timeoutMs },
  );
}

/** A picture of a dashboard in /tmp; says so where there is no browser. */
async function takePicture(grafana: Grafana, dashboard: Dashboard): Promise<void> {
  const missing = chromiumMissing();
  if (missing !== undefined) return say(`no picture of ${dashboard.title}: ${missing}`);
  await using chromium = await Chromium.start();
  await using visitor = await chromium.open({ viewport: { width: 1600, height: 1200 } });
  const page = await visitor.context.newPage();
  const { user, password } = await readLogin();
  await page.request.post(`${grafana.url}/login`, { data: { user, password } });
  await page.goto(`${grafana.url}/d/${dashboard.uid}?from=now-15m&to=now&kiosk`);
  await panelsDrawn(page);
  const path = `/tmp/${dashboard.uid}.png`;
  await page.screenshot({ path, fullPage: true });
  say(`picture: ${path}`);
}

/** All that a dashboard asks: for its panels, its variables, its annotations. */
function questionsOf({ title, panels, templating, annotations }: Dashboard): Question[] {
  const questions: Question[] = [];
  const add = (name: string, target: Target, uid: string | undefined, mayBeEmpty = false) => {
    if (target.query === undefined) return;
    questions.push({ what: `${title} / ${name} / ${target.refId}`, target, uid, mayBeEmpty });
  };
  for (const { title, type, targets = [], datasource, fieldConfig } of panelsOf(panels)) {
    // those say themselves that there may be none
    const mayBeEmpty = fieldConfig?.defaults?.noValue?.startsWith("None") === true;
    for (const target of targets) add(title ?? type, target, datasource?.uid, mayBeEmpty);
  }
  for (const { name, type, query, datasource } of templating?.list ?? []) {
    if (type !== "query") continue;
    add(`variable ${name}`, typeof query === "string" ? { refId: name, query } : query, datasource?.uid);
  }
  for (const { name, target, datasource } of annotations?.list ?? []) {
    // where there was no gap there is none to show
    if (target !== undefined) add(`annotation ${name}`, target, datasource?.uid, true);
  }
  return questions;
}

type Count = (name: string, good: boolean) => boolean;

async function askDashboards(grafana: Grafana, count: Count): Promise<void> {
  const sources = await grafana.ask("/api/datasources") as { uid: string; type: string }[];
  const standard = sources.find(({ type }) => type === "influxdb")?.uid ?? "";
  const dashboards = await readDashboards();
  count("there are dashboards", dashboards.length > 0);
  for (const dashboard of dashboards) {
    const questions = questionsOf(dashboard);
    count(`${dashboard.title} asks something`, questions.length > 0);
    for (const { what, target, uid = standard, mayBeEmpty } of questions) {
      try {
        const rows = await grafana.rows(target, uid.startsWith("$") ? standard : uid, "BTC-USD");
        count(`${what}: ${rows} rows`, rows > 0 || mayBeEmpty);
      } catch (error) {
        count(`${what}: ${error instanceof Error ? error.message : error}`, false);
      }
    }
    try {
      await takePicture(grafana, dashboard);
    } catch (error) {
      count(`picture of ${dashboard.title}: ${error instanceof Error ? error.message : error}`, false);
    }
  }
}

/** Whether each alert rule can be evaluated; a rule that was not yet has half a minute for it. */
async function askRules(grafana: Grafana, count: Count): Promise<void> {
  const ask = async () => {
    const { data } = await grafana.ask("/api/prometheus/grafana/api/v1/rules") as Rules;
    return data.groups.flatMap(({ rules }) => rules);
  };
  try {
    let rules = await ask();
    for (let i = 0; i < 15 && rules.some(({ health }) => health === "unknown"); i++) {
      await new Promise((resolve) => setTimeout(resolve, 2000));
      rules = await ask();
    }
    count("there are alert rules", rules.length > 0);
    for (const { name, health, lastError = "" } of rules) {
      count(`alert rule ${name}: ${health} ${lastError}`.trimEnd(), health === "ok");
    }
  } catch (error) {
    count(`alert rules: ${error instanceof Error ? error.message : error}`, false);
  }
}

/** Whether prices arrive in InfluxDB, as Grafana sees it, within two minutes. */
async function pricesArrive(grafana: Grafana): Promise<boolean> {
  const query = 'from(bucket: v.defaultBucket) |> range(start: -5m) |> filter(fn: (r) => r["_measurement"] == ' +
    '"kafka_consumer") |> group() |> count()';
  const [source] = await grafana.ask("/api/datasources") as { uid: string }[];
  for (let i = 0; i < 60; i++) {
    const rows = await grafana.rows({ refId: "A", query }, source?.uid ?? "", "").catch(() => 0);
    if (rows > 0) return true;
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
  return false;
}

async function main(): Promise<number> {
  const keep = Deno.args.includes("--keep");
  let [passed, failed] = [0, 0];
  const count: Count = (name, good) => {
    say(`${good ? "ok    " : "FAILED"}  ${name}`);
    if (good) passed++;
    else failed++;
    return good;
  };
  try {
    if (!count("the stack comes up", await stack("stack", ...Deno.args.filter((arg) => arg !== "--keep")) === 0)) {
      return 1;
    }
    count("and again on what runs", await stack("stack", ...Deno.args.filter((arg) => arg !== "--keep")) === 0);
    count("its state is well", await stack("stack:status") === 0);
    const grafana = new Grafana(`http://${await portOf("grafana", 3000)}`, await readLogin());
    if (count("prices arrive", await pricesArrive(grafana))) {
      // so that each panel has some windows
      await new Promise((resolve) => setTimeout(resolve, 60_000));
      await askDashboards(grafana, count);
      await askRules(grafana, count);
    }
  } finally {
    if (!keep) count("the stack ends", await stack("stack:down") === 0);
    say(`${passed} passed, ${failed} failed`);
  }
  return failed === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
