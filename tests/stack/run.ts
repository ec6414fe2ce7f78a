// For a machine with Docker, and no part of the tests: starts the stack, waits, asks the query of each panel through Grafana,
// takes a picture of each dashboard where playwright-core and a Chromium are at hand, and ends the stack. The last line counts.
//
//   deno run -A tests/stack/run.ts [--demo] [--zookeeper] [--keep]       --keep: does not end the stack

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
  readonly datasource?: { readonly type?: string; readonly uid?: string };
  readonly panels?: readonly Panel[];
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
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

/** A picture of a dashboard in /tmp; says so where there is no browser. */
async function takePicture(grafana: Grafana, dashboard: Dashboard): Promise<void> {
  try {
    // not in deno.json: whoever wants pictures adds it. A name in a variable is not looked up before it is needed.
    const name = "npm:playwright-core@1.65.1";
    const { chromium } = await import(name);
    const browser = await chromium.launch({
      executablePath: Deno.env.get("CHROMIUM") ?? "/usr/bin/chromium",
      args: ["--no-sandbox"],
    });
    try {
      const { user, password } = await readLogin();
      const page = await browser.newPage({ viewport: { width: 1600, height: 1200 } });
      await page.request.post(`${grafana.url}/login`, { data: { user, password } });
      await page.goto(`${grafana.url}/d/${dashboard.uid}?from=now-15m&to=now&kiosk`, { waitUntil: "networkidle" });
      const path = `/tmp/${dashboard.uid}.png`;
      await page.screenshot({ path, fullPage: true });
      say(`picture: ${path}`);
    } finally {
      await browser.close();
    }
  } catch (error) {
    say(`no picture of ${dashboard.title}: ${String(error).split("\n")[0]}`);
  }
}

async function askPanels(grafana: Grafana): Promise<{ passed: number; failed: number }> {
  const sources = await grafana.ask("/api/datasources") as { uid: string; type: string }[];
  const standard = sources.find(({ type }) => type === "influxdb")?.uid ?? "";
  let [passed, failed] = [0, 0];
  for (const dashboard of await readDashboards()) {
    for (const panel of panelsOf(dashboard.panels)) {
      for (const target of (panel.targets ?? []).filter(({ query }) => query !== undefined)) {
        const what = `${dashboard.title} / ${panel.title ?? panel.type} / ${target.refId}`;
        const uid = panel.datasource?.uid ?? standard;
        try {
          const rows = await grafana.rows(target, uid.startsWith("$") ? standard : uid, "BTC-USD");
          say(`ok      ${what}: ${rows} rows`);
          passed++;
        } catch (error) {
          say(`FAILED  ${what}: ${error instanceof Error ? error.message : error}`);
          failed++;
        }
      }
    }
    await takePicture(grafana, dashboard);
  }
  return { passed, failed };
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
  const count = (name: string, good: boolean) => {
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
      const panels = await askPanels(grafana);
      passed += panels.passed;
      failed += panels.failed;
      count("there are panels", panels.passed + panels.failed > 0);
    }
  } finally {
    if (!keep) count("the stack ends", await stack("stack:down") === 0);
    say(`${passed} passed, ${failed} failed`);
  }
  return failed === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
