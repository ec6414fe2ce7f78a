// The files in grafana-provisioning, without any server.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import pipeline from "../../grafana-provisioning/dashboards/json/pipeline.json" with { type: "text" };
import prices from "../../grafana-provisioning/dashboards/json/prices.json" with { type: "text" };
import provider from "../../grafana-provisioning/dashboards/dashboards.yaml" with { type: "text" };
import datasource from "../../grafana-provisioning/datasources/influxdb.yaml" with { type: "text" };
import notifications from "../../grafana-provisioning/alerting/notifications.yaml" with { type: "text" };
import rules from "../../grafana-provisioning/alerting/rules.yaml" with { type: "text" };
import { FILES } from "../../src/stack/dashboards.ts";
import { COLORS, INFLUXDB } from "../../src/stack/dashboards/grafana.ts";
import { ALERTS } from "../../src/stack/dashboards/alerts.ts";
import { PANELS, PIPELINE_PANELS } from "../../src/stack/dashboards/ids.ts";
import { QUERIES } from "../../src/stack/dashboards/queries.ts";
import { goDuration, goTime, interpolate, windowPeriodMs } from "./grafana.ts";

Deno.test("grafana-provisioning contains what `deno task dashboards` generates", () => {
  const committed: typeof FILES = {
    "alerting/rules.yaml": rules,
    "dashboards/json/pipeline.json": pipeline,
    "dashboards/json/prices.json": prices,
  };
  assertEquals(Object.keys(FILES), Object.keys(committed));
  for (const [path, text] of Object.entries(FILES)) {
    assertEquals(committed[path], text, `${path} is out of date: run deno task dashboards`);
  }
});

interface FieldConfig {
  readonly unit?: string;
  readonly decimals?: number;
  readonly min?: number;
  readonly noValue?: string;
  readonly custom?: {
    readonly drawStyle?: string;
    readonly spanNulls?: boolean | number;
    readonly insertNulls?: boolean | number;
    readonly barMaxWidth?: number;
    readonly width?: number;
    readonly minWidth?: number;
    readonly scaleDistribution?: { readonly type: string };
  };
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets: { readonly refId: string; readonly query: string }[];
  readonly options: { readonly legend?: { readonly calcs: string[] } };
  readonly fieldConfig: {
    readonly defaults: FieldConfig;
    readonly overrides: {
      readonly matcher: { readonly options: string };
      readonly properties: { readonly id: string; readonly value: unknown }[];
    }[];
  };
  readonly transformations?: { readonly id: string; readonly options: { readonly configRefId?: string } }[];
}

interface Dashboard {
  readonly id?: number;
  readonly uid: string;
  readonly panels: Panel[];
  readonly annotations: { list: { filter: { ids: number[] } }[] };
  readonly templating: { list: { name: string; query: unknown; refresh?: number }[] };
  readonly description: string;
}

const dashboard: Dashboard = JSON.parse(prices);
const DASHBOARDS = [
  { name: "Prices", uid: "prices", text: prices, ids: PANELS },
  { name: "Pipeline", uid: "pipeline", text: pipeline, ids: PIPELINE_PANELS },
];

for (const { name, uid, text, ids } of DASHBOARDS) {
  const { id, uid: own, panels }: Dashboard = JSON.parse(text);

  Deno.test(`${name} names the data source by a uid that exists, and holds no id of its own`, () => {
    assertMatch(datasource, new RegExp(`^ {4}uid: ${INFLUXDB.uid}$`, "m"));
    assertEquals(new Set([...text.matchAll(/"uid": "(\w+)"/g)].map(([, each]) => each)), new Set([uid, "influxdb"]));
    assertEquals([id, own], [undefined, uid]);
  });

  Deno.test(`panels of ${name} have ids of their own, lie in the grid, and do not cover each other`, () => {
    assertEquals(panels.map((panel) => panel.id).toSorted(), Object.values(ids).toSorted());
    const taken = new Set<string>();
    for (const { title, gridPos: { x, y, w, h } } of panels) {
      assert(x + w <= 24, `${title} leaves the grid`);
      for (let cell = 0; cell < w * h; cell++) {
        const place = `${x + cell % w},${y + Math.floor(cell / w)}`;
        assert(!taken.has(place), `${title} covers another panel`);
        taken.add(place);
      }
    }
  });
}

Deno.test("gaps are drawn on both charts of Prices and on the rates of Pipeline", () => {
  assertEquals(dashboard.annotations.list[0]?.filter.ids, [PANELS.candles, PANELS.timeline]);
  const { annotations }: Dashboard = JSON.parse(pipeline);
  assertEquals(annotations.list[0]?.filter.ids, [PIPELINE_PANELS.rates]);
});

const ALL_PANELS = DASHBOARDS.flatMap(({ text }) => (JSON.parse(text) as Dashboard).panels);

/** What an override sets in the column of that name. */
function setIn(panel: Panel, column: string, property: string): unknown {
  const own = panel.fieldConfig.overrides.filter(({ matcher }) => matcher.options === column);
  return own.flatMap(({ properties }) => properties).findLast(({ id }) => id === property)?.value;
}

function panelOf(id: number, of: string): Panel {
  const panel = (JSON.parse(of) as Dashboard).panels.find((panel) => panel.id === id);
  assert(panel !== undefined);
  return panel;
}

for (const { title, type, fieldConfig: { defaults, overrides }, options, targets } of ALL_PANELS) {
  const { custom = {} } = defaults;
  if (type === "table") {
    Deno.test(`${title}: the small lines break where nothing came`, () => {
      for (const { properties } of overrides) {
        const options = properties.find(({ id }) => id === "custom.cellOptions")?.value as FieldConfig["custom"] & {
          type: string;
        };
        if (options?.type === "sparkline") assertEquals(options.spanNulls, false);
      }
    });
  } else if (["candlestick", "state-timeline", "timeseries"].includes(type)) {
    Deno.test(`${title}: a missing value is not drawn as the last one, and no legend shows it`, () => {
      assertEquals((options.legend?.calcs ?? []).filter((calc) => calc.startsWith("last")), []);
      assertEquals(custom.insertNulls, undefined, "it cuts windows apart that are longer than it");
      if (type === "candlestick" || custom.drawStyle === "bars") return;
      // ms: this long a hole is bridged, which the query must fill with nulls
      assert(typeof custom.spanNulls === "number" && custom.spanNulls <= 120_000, `${custom.spanNulls}`);
      assertMatch(targets[0]?.query ?? "", /createEmpty: true/);
    });
  }
}

Deno.test("no query fills missing values with the previous one", () => {
  for (const [name, query] of Object.entries(QUERIES)) assert(!query.includes("usePrevious"), name);
});

Deno.test("a cell that may be empty shows a dash or nothing, not the text for an empty table", () => {
  const market = panelOf(PANELS.market, prices);
  for (const column of ["last", "change", "age", "Trend #B"]) {
    assertEquals(setIn(market, column, "noValue"), "-", column);
  }
  assertEquals(setIn(panelOf(PIPELINE_PANELS.gaps, pipeline), "state", "noValue"), " ");
  // a tooltip shows it for each null
  for (const { title, type, fieldConfig: { defaults: { noValue = "" } } } of ALL_PANELS) {
    if (type === "timeseries" || type === "candlestick") assert(noValue.length < 6, `${title}: ${noValue}`);
  }
});

Deno.test("all columns of a table are visible on a page that is 800 pixels wide", () => {
  for (const panel of ALL_PANELS.filter(({ type }) => type === "table")) {
    // 24 columns of the grid take 775 there; 8 between panels, and 8 at each side of a table
    const room = panel.gridPos.w * 775 / 24 - 8 - 16;
    const columns = [...new Set(panel.fieldConfig.overrides.map(({ matcher }) => matcher.options))];
    const widths = columns.map((column) =>
      Number(
        setIn(panel, column, "custom.width") ?? setIn(panel, column, "custom.minWidth") ??
          panel.fieldConfig.defaults.custom?.minWidth,
      )
    );
    const wanted = widths.reduce((sum, width) => sum + width, 0);
    assert(wanted <= room, `${panel.title}: ${wanted} of ${room} pixels`);
    // those without a width share what is left, so there is one at most
    assert(columns.filter((column) => setIn(panel, column, "custom.width") === undefined).length <= 1, panel.title);
  }
  // "not followed" has twelve letters of about 7 pixels, and 12 beside them
  assert(Number(setIn(panelOf(PIPELINE_PANELS.products, pipeline), "state", "custom.width")) >= 12 * 7 + 12);
});

Deno.test("bars have a maximum width, and no axis has overlapping labels at 0 and at a threshold", () => {
  for (const { title, fieldConfig: { defaults: { custom = {} } } } of ALL_PANELS) {
    if (custom.drawStyle === "bars") assertEquals(custom.barMaxWidth, 12, title);
    assert(custom.scaleDistribution?.type !== "symlog", title);
  }
  const { min, custom } = panelOf(PIPELINE_PANELS.delays, pipeline).fieldConfig.defaults;
  assertEquals([min, custom?.scaleDistribution?.type], [0.001, "log"]);
});

Deno.test("a waiting product is not shown as a problem", () => {
  for (const id of [PIPELINE_PANELS.states, PIPELINE_PANELS.products]) {
    assertMatch(JSON.stringify(panelOf(id, pipeline)), new RegExp(`"text":"waiting","color":"${COLORS.faint}"`));
  }
});

Deno.test("prices of one product have the decimals that the second query returns, and no override changes that", () => {
  for (const id of [PANELS.price, PANELS.summary, PANELS.candles, PANELS.timeline]) {
    const { title, targets, transformations, fieldConfig: { defaults, overrides } } = panelOf(id, prices);
    assertEquals(transformations?.[0]?.id, "configFromData", title);
    const { configRefId } = transformations?.[0]?.options ?? {};
    assertEquals(targets.map(({ refId, query }) => refId === configRefId ? query : ""), ["", QUERIES.decimals], title);
    // a unit that keeps the zeros at the end
    assertMatch(defaults.unit ?? "", /^currency:financial:.$/, title);
    assertEquals(defaults.decimals, undefined, title);
    const withDecimals = overrides.filter(({ properties }) => properties.some(({ id }) => id === "decimals"));
    const others = ["change", "missing", "age", "ticks"];
    assertEquals(
      withDecimals.map(({ matcher }) => matcher.options).filter((name) => !others.includes(name)),
      [],
      title,
    );
  }
});

Deno.test("an alert is sent within seconds, and alerts of different products are sent separately", () => {
  assertMatch(notifications, /^ {4}group_by: \[grafana_folder, alertname, product\]$/m);
  // Grafana's own are 30 s and 5 min
  for (const name of ["group_wait", "group_interval"]) assertMatch(notifications, new RegExp(`^ {4}${name}: 5s$`, "m"));
});

Deno.test("each dashboard links to the other", () => {
  assertMatch(prices, /"url": "\/d\/pipeline"/);
  assertMatch(pipeline, /"url": "\/d\/prices"/);
});

Deno.test("each alert links to an existing panel and to the runbook", () => {
  for (const { panel: [uid, id] } of ALERTS) {
    const ids = DASHBOARDS.find((each) => each.uid === uid)?.ids ?? {};
    assert(Object.values(ids).includes(id), `${uid} ${id}`);
    assertStringIncludes(rules, `__dashboardUid__: ${uid}\n          __panelId__: "${id}"`);
  }
  const link = `runbook_url: "{{ externalURL }}d/pipeline?viewPanel=${PIPELINE_PANELS.runbook}"`;
  assertEquals(rules.split(link).length - 1, ALERTS.length);
  const { panels }: { panels: { id: number; options: { content?: string } }[] } = JSON.parse(pipeline);
  const content = panels.find((panel) => panel.id === PIPELINE_PANELS.runbook)?.options.content ?? "";
  for (const { title } of ALERTS) assertStringIncludes(content, `### ${title}\n`);
});

Deno.test("a composed query begins with its imports, each once, and names no product if it is for all", () => {
  for (const [name, query] of Object.entries(QUERIES)) {
    const code = query.replace(/^\/\/.*$/gm, "").replace(/\n{2,}/g, "\n").trim();
    const imports = code.match(/^import ".*"$/gm) ?? [];
    assertEquals(new Set(imports).size, imports.length, name);
    assert(code.startsWith(imports.join("\n")), name);
    if (/^(?:pipeline|alert)/.test(name)) assert(!query.includes("${"), `${name} is for one product`);
  }
});

Deno.test("the variables are the product, queried again at each refresh, and the interval", () => {
  const [product, interval] = dashboard.templating.list;
  assertEquals([product?.name, product?.refresh, interval?.name], ["product", 2, "Interval"]);
  assertEquals(interval?.query, "auto,1s,5s,15s,30s,1m,5m,15m,1h,4h,1d");
});

Deno.test("the dashboard says what a sampled candle is, and never calls ticks a volume", () => {
  assertMatch(dashboard.description, /5 seconds.*unseen.*differs from the exchange's own/);
  // only where Grafana's own names for the panel's parts stand
  assertEquals([...prices.matchAll(/"[^"]*volume[^"]*"/gi)].map(([text]) => text).filter((text) => text.length < 40), [
    '"candles+volume"',
    '"volume"',
  ]);
});

Deno.test("what differs between installations comes from the environment, and the token from its file", () => {
  for (const name of ["INFLUX_URL", "INFLUX_ORG", "INFLUX_BUCKET"]) {
    assertMatch(datasource, new RegExp(`: \\$${name}$`, "m"));
  }
  assertMatch(datasource, /^ {6}token: \$__file\{\/run\/tokens\/grafana\}$/m);
  assertMatch(notifications, /^ {10}url: \$ALERT_WEBHOOK_URL$/m);
  for (const query of Object.values(QUERIES)) assert(!query.includes("coinbase-bucket"));
});

Deno.test("dashboards are in no folder, because Grafana would create a second one of that name for alerts", () => {
  assert(!/^\s*folder/m.test(provider));
});

Deno.test("interpolate() replaces as Grafana does", () => {
  const view = {
    from: Date.UTC(2026, 0, 2, 3, 4, 5, 60),
    to: Date.UTC(2026, 0, 2, 4, 4, 5),
    maxDataPoints: 300,
    variables: { product: "BTC-USD", Interval: "5m" },
  };
  assertEquals(
    interpolate(
      'v.timeRangeStart v.timeRangeStop v.windowPeriod v.defaultBucket "${product}" ${Interval} r.stop v.other',
      view,
      "b",
    ),
    '2026-01-02T03:04:05.06Z 2026-01-02T04:04:05Z 10s "b" "BTC-USD" 5m r.stop v.other',
  );
  assertEquals([15_000, 120_000, 3_600_000, 86_400_000].map(goDuration), ["15s", "2m0s", "1h0m0s", "24h0m0s"]);
  assertEquals(goTime(0), "1970-01-01T00:00:00Z");
  // 24 h on 300 points: 288 s
  assertEquals(windowPeriodMs({ ...view, to: view.from + 86_400_000 }), 300_000);
});
