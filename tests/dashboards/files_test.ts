// What stands in grafana-provisioning, without any server.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import pipeline from "../../grafana-provisioning/dashboards/json/pipeline.json" with { type: "text" };
import prices from "../../grafana-provisioning/dashboards/json/prices.json" with { type: "text" };
import provider from "../../grafana-provisioning/dashboards/dashboards.yaml" with { type: "text" };
import datasource from "../../grafana-provisioning/datasources/influxdb.yaml" with { type: "text" };
import notifications from "../../grafana-provisioning/alerting/notifications.yaml" with { type: "text" };
import rules from "../../grafana-provisioning/alerting/rules.yaml" with { type: "text" };
import { FILES } from "../../src/stack/dashboards.ts";
import { INFLUXDB } from "../../src/stack/dashboards/grafana.ts";
import { ALERTS } from "../../src/stack/dashboards/alerts.ts";
import { PANELS, PIPELINE_PANELS } from "../../src/stack/dashboards/places.ts";
import { QUERIES } from "../../src/stack/dashboards/queries.ts";
import { goDuration, goTime, interpolate, windowPeriodMs } from "./grafana.ts";

Deno.test("grafana-provisioning holds what `deno task dashboards` writes", () => {
  const committed: typeof FILES = {
    "alerting/rules.yaml": rules,
    "dashboards/json/pipeline.json": pipeline,
    "dashboards/json/prices.json": prices,
  };
  assertEquals(Object.keys(FILES), Object.keys(committed));
  for (const [path, text] of Object.entries(FILES)) {
    assertEquals(committed[path], text, `${path} is not what is written: run deno task dashboards`);
  }
});

interface Dashboard {
  readonly id?: number;
  readonly uid: string;
  readonly panels: { id: number; title: string; gridPos: { x: number; y: number; w: number; h: number } }[];
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

Deno.test("each dashboard leads to the other", () => {
  assertMatch(prices, /"url": "\/d\/pipeline"/);
  assertMatch(pipeline, /"url": "\/d\/prices"/);
});

Deno.test("each alert points at a panel that exists, and at the runbook", () => {
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

Deno.test("a query of several texts has its imports before everything else, each once, and no product where it asks for all", () => {
  for (const [name, query] of Object.entries(QUERIES)) {
    const code = query.replace(/^\/\/.*$/gm, "").replace(/\n{2,}/g, "\n").trim();
    const imports = code.match(/^import ".*"$/gm) ?? [];
    assertEquals(new Set(imports).size, imports.length, name);
    assert(code.startsWith(imports.join("\n")), name);
    if (/^(?:pipeline|alert)/.test(name)) assert(!query.includes("${"), `${name} asks for one product`);
  }
});

Deno.test("the variables are the product, asked again at each refresh, and the interval", () => {
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

Deno.test("what differs between installations comes from the environment, the token from its file", () => {
  for (const name of ["INFLUX_URL", "INFLUX_ORG", "INFLUX_BUCKET"]) {
    assertMatch(datasource, new RegExp(`: \\$${name}$`, "m"));
  }
  assertMatch(datasource, /^ {6}token: \$__file\{\/run\/tokens\/grafana\}$/m);
  assertMatch(notifications, /^ {10}url: \$ALERT_WEBHOOK_URL$/m);
  for (const query of Object.values(QUERIES)) assert(!query.includes("coinbase-bucket"));
});

Deno.test("dashboards lie in no folder, since Grafana makes a second one of that name for alerts", () => {
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
