// Every alert rule on the real InfluxDB: on each set of data exactly the rules fire that must, above all none in a quiet market.
// The rules are judged as Grafana does: its query again and again, each row compared, and all that for as long as `for` says.

import { assert, assertEquals } from "@std/assert";
import rules from "../../grafana-provisioning/alerting/rules.yaml" with { type: "text" };
import { DELAY_BUCKETS } from "../../src/stats.ts";
import { type Alert, ALERTS } from "../../src/stack/dashboards/alerts.ts";
import { influxMissing, InfluxServer } from "../servers/influxdb.ts";
import { interpolate, withOptions } from "./grafana.ts";
import { metricLine, rejectedLine, telegrafLine, tickLine } from "./producer.ts";

/** A feed as it has been for fifteen minutes up to `now`, told every 10 s. Functions take the seconds before `now`. */
interface Story {
  /** By product. */
  readonly products?: Readonly<Record<string, ProductStory>>;
  /** The producer answers. */
  readonly told?: (ago: number) => boolean;
  readonly link?: (ago: number) => number;
  readonly kafkaUp?: (ago: number) => number;
  /** Of heartbeats, seconds; undefined: there are none. */
  readonly exchangeDelay?: (ago: number) => number | undefined;
  /** All ticks took so long to be acknowledged, seconds. */
  readonly kafkaDelay?: number;
  /** Counters at that moment. */
  readonly reconnects?: (ago: number) => number;
  readonly dropped?: (ago: number) => number;
  readonly lost?: (ago: number) => number;
  readonly rejected?: (ago: number) => number;
  readonly telegrafDropped?: (ago: number) => number;
  readonly telegrafRejected?: (ago: number) => number;
  /** Records that were none, seconds before `now`. */
  readonly records?: readonly number[];
}

interface ProductStory {
  readonly state?: string | ((ago: number) => string);
  /** Seconds between its ticks, the last shortly before `now`; or when its only ticks came, seconds before `now`. */
  readonly ticks?: number | readonly number[];
  /** Ticks that came less than so many seconds before `now` are not stored. */
  readonly unstored?: number;
  /** Nothing of it is stored under its own name, but under this. */
  readonly storedAs?: string;
}

const SPAN = 900;

function* linesOf(story: Story, now: number): Generator<string> {
  const { products = { "BTC-USD": {}, "ETH-USD": {} } } = story;
  const { told = () => true, link = () => 1, kafkaUp = () => 1, exchangeDelay = () => 0.05, kafkaDelay = 0.004 } =
    story;
  const zero = () => 0;
  const { reconnects = zero, dropped = zero, lost = zero, rejected = zero } = story;
  const { telegrafDropped = zero, telegrafRejected = zero, records = [] } = story;
  const ticksOf = ({ ticks = 4 }: ProductStory) =>
    typeof ticks === "number"
      ? Array.from({ length: Math.floor((SPAN + 60) / ticks) }, (_, i) => now - 0.7 - i * ticks).reverse()
      : ticks.map((ago) => now - ago).toSorted((a, b) => a - b);

  for (const [product, { unstored = 0, storedAs = product, ...rest }] of Object.entries(products)) {
    for (const at of ticksOf(rest)) {
      // on this channel records bear whole seconds
      if (now - at >= unstored) yield tickLine(Math.floor(at), storedAs);
    }
  }
  for (const ago of records) yield rejectedLine(now - ago, "no-json");
  for (let ago = SPAN; ago >= 0; ago -= 10) {
    const at = now - ago;
    for (
      const [field, count] of [["metrics_dropped", telegrafDropped], ["metrics_rejected", telegrafRejected]] as const
    ) {
      yield telegrafLine({ at, field, value: count(ago) });
      // metrics may be dropped: that is none of our business
      yield telegrafLine({ at, field, value: SPAN - ago, tags: { alias: "metrics" } });
    }
    if (!told(ago)) continue;
    yield metricLine({ at, field: "feed_link_up", value: link(ago) });
    for (const [sink, up] of [["kafka", kafkaUp(ago)], ["live", 0]] as const) {
      yield metricLine({ at, field: "feed_sink_up", value: up, tags: { sink } });
    }
    const delay = exchangeDelay(ago);
    if (delay !== undefined) yield metricLine({ at, field: "feed_exchange_delay_seconds", value: delay });
    yield metricLine({ at, field: "feed_reconnects_total", value: reconnects(ago) });
    yield metricLine({ at, field: "feed_ticks_dropped_total", value: dropped(ago), tags: { sink: "kafka" } });
    // open pages may be slow
    yield metricLine({ at, field: "feed_ticks_dropped_total", value: SPAN - ago, tags: { sink: "live" } });
    yield metricLine({ at, field: "feed_ticks_lost_total", value: lost(ago), tags: { sink: "kafka" } });
    for (const reason of ["bad-json", "bad-time"]) {
      const value = reason === "bad-time" ? rejected(ago) : 0;
      yield metricLine({ at, field: "feed_ticks_rejected_total", value, tags: { reason } });
    }
    let acknowledged = 0;
    for (const [product, { state = "live", ...rest }] of Object.entries(products)) {
      yield metricLine({
        at,
        field: "feed_product_state",
        value: 1,
        tags: { product, state: typeof state === "string" ? state : state(ago) },
      });
      const ticks = ticksOf(rest).filter((tick) => tick <= at);
      acknowledged += ticks.length;
      const newest = ticks.at(-1);
      if (newest === undefined) continue;
      yield metricLine({ at, field: "feed_tick_time_seconds", value: newest, tags: { product } });
      yield metricLine({ at, field: "feed_tick_age_seconds", value: at - newest, tags: { product } });
    }
    for (const le of [...DELAY_BUCKETS, Infinity]) {
      for (const [stage, seconds] of [["kafka", kafkaDelay], ["arrival", 20]] as const) {
        const tags = { stage, le: le === Infinity ? "+Inf" : String(le) };
        yield metricLine({
          at,
          field: "feed_tick_delay_seconds_bucket",
          value: seconds <= le ? acknowledged : 0,
          tags,
        });
      }
    }
  }
}

type Fired = Readonly<Record<string, readonly string[]>>;

const before = (seconds: number, count = 1) => (ago: number) => ago < seconds ? count : 0;
const QUIET: ProductStory = { state: "quiet", ticks: [4000] };

/** What fires in each story, with its labels. */
const STORIES: readonly (readonly [name: string, story: Story, fires: Fired])[] = [
  ["all is well", {}, {}],
  ["a market in which nothing was traded for an hour", { products: { "BTC-USD": QUIET, "ETH-USD": QUIET } }, {}],
  ["a market without a trade for days", { products: { "BTC-USD": { state: "quiet", ticks: [200_000] } } }, {}],
  ["one product quiet, the others not", { products: { "BTC-USD": {}, "ETH-USD": QUIET } }, {}],
  [
    "a single trade in a quiet market, a moment ago",
    { products: { "BTC-USD": { state: "live", ticks: [9000, 3.5] } } },
    {},
  ],
  [
    "a product of an exchange whose name stands before it",
    { products: { "BTC/USD": { state: "quiet", ticks: [60], storedAs: "kraken:BTC/USD" } } },
    {},
  ],
  [
    "one product not known yet",
    { products: { "BTC-USD": QUIET, "NEW-USD": { state: "waiting", ticks: [] } } },
    {},
  ],
  [
    "a refused product among quiet ones",
    { products: { "BTC-USD": QUIET, "NO-USD": { state: "refused", ticks: [] } } },
    {},
  ],
  [
    "the producer was started again: all counters begin anew",
    {
      reconnects: (ago) => ago > 300 ? 50 : 0,
      dropped: (ago) => ago > 300 ? 9 : 0,
      rejected: (ago) => ago > 300 ? 7 : 0,
    },
    {},
  ],
  [
    "all that has happened was more than ten minutes ago",
    { reconnects: before(700, 9), dropped: before(700), lost: before(700), rejected: before(700), records: [650] },
    {},
  ],
  ["five reconnects in ten minutes", { reconnects: before(500, 5) }, {}],
  ["six", { reconnects: before(500, 6) }, { "reconnect-storm": [""] }],
  [
    "the exchange is away",
    {
      link: (ago) => ago < 120 ? 0 : 1,
      exchangeDelay: (ago) => ago < 120 ? undefined : 0.05,
      products: { "BTC-USD": { ticks: [130, 140], state: (ago) => ago < 100 ? "waiting" : "live" } },
    },
    { "no-ticks": [""] },
  ],
  [
    "connected, and nobody knows of any product",
    { products: { "BTC-USD": { ticks: [300], state: "waiting" } } },
    { "no-ticks": [""] },
  ],
  [
    "the producer is dead",
    { told: (ago) => ago > 240, products: { "BTC-USD": { ticks: [241, 245] } } },
    { "no-ticks": [""], "no-metrics": [""] },
  ],
  [
    "others write to the topic, and there is no producer of ours",
    { told: () => false },
    { "no-metrics": [""] },
  ],
  [
    "Kafka is away",
    {
      kafkaUp: (ago) => ago < 170 ? 0 : 1,
      products: { "BTC-USD": { unstored: 170 }, "ETH-USD": { unstored: 170 } },
    },
    { "no-ticks": [""], "kafka-away": [""] },
  ],
  ["Kafka was away for half a minute", { kafkaUp: (ago) => ago < 50 && ago > 20 ? 0 : 1 }, {}],
  [
    "one product is stalled",
    { products: { "BTC-USD": {}, "ETH-USD": { ticks: [160], state: (ago) => ago < 120 ? "stalled" : "live" } } },
    { "product-stalled": ["ETH-USD"] },
  ],
  [
    "one product was stalled for a moment",
    { products: { "BTC-USD": {}, "ETH-USD": { state: (ago) => ago < 50 && ago > 30 ? "stalled" : "live" } } },
    {},
  ],
  [
    "all products are stalled",
    {
      products: Object.fromEntries(
        ["BTC-USD", "ETH-USD"].map((product) => [product, { ticks: [160], state: "stalled" }]),
      ),
    },
    { "no-ticks": [""], "product-stalled": ["BTC-USD", "ETH-USD"] },
  ],
  ["heartbeats take eight seconds", { exchangeDelay: () => 8 }, { delay: ["exchange"] }],
  ["one heartbeat took eight seconds", { exchangeDelay: (ago) => ago === 20 ? 8 : 0.05 }, {}],
  ["acknowledgements take eight seconds", { kafkaDelay: 8 }, { delay: ["kafka"] }],
  ["acknowledgements take a second", { kafkaDelay: 1 }, {}],
  [
    "one product is not stored any more",
    { products: { "BTC-USD": {}, "ETH-USD": { unstored: 100 } } },
    { delay: ["stored"] },
  ],
  [
    "nothing is stored any more",
    { products: { "BTC-USD": { unstored: 200 }, "ETH-USD": { unstored: 200 } } },
    { "no-ticks": [""], delay: ["stored"] },
  ],
  [
    "the last trade of a market that is quiet since is not stored",
    { products: { "BTC-USD": { state: "quiet", ticks: [3000, 400], unstored: 500 } } },
    { "no-ticks": [""], delay: ["stored"] },
  ],
  ["the queue was full", { dropped: before(400, 12) }, { drops: ["queue"] }],
  ["Kafka refused a record", { lost: before(400) }, { drops: ["kafka"] }],
  ["Telegraf's buffer was full", { telegrafDropped: before(400, 5000) }, { drops: ["telegraf"] }],
  ["InfluxDB refused points", { telegrafRejected: before(400, 3) }, { drops: ["telegraf"] }],
  ["a frame was rejected", { rejected: before(400) }, { rejected: ["exchange"] }],
  ["a record was none", { records: [100] }, { rejected: ["topic"] }],
  ["both", { rejected: before(30), records: [100, 200] }, { rejected: ["exchange", "topic"] }],
];

const missing = influxMissing();

Deno.test({
  name: `every alert on a real InfluxDB: who fires, and who must not${missing ? ` [skipped: ${missing}]` : ""}`,
  ignore: missing !== undefined,
  async fn(t) {
    await using influx = await InfluxServer.start();
    const token = await influx.createToken({ read: influx.bucket });
    // each story has days of its own
    const START = Date.UTC(2026, 2, 2) / 1000;
    const nows = STORIES.map((_, i) => START + (i + 1) * 4 * 86_400 + 3.2);
    for (const [i, [, story]] of STORIES.entries()) {
      await influx.write([...linesOf(story, nows[i] ?? 0)].join("\n"));
    }
    await influx.createBucket("empty");

    /** Labels of the rows that fire at one moment; none: it does not. */
    const firing = async (alert: Alert, at: number, bucket = influx.bucket): Promise<string[]> => {
      const view = { from: (at - alert.seconds) * 1000, to: at * 1000 };
      const rows = await influx.query(
        withOptions(interpolate(alert.query, view, bucket), at * 1000),
        bucket === influx.bucket ? token : undefined,
      );
      if (rows.length === 0) return alert.noData === "Alerting" ? [""] : [];
      return rows.flatMap(({ result: _, table, _value: value, ...labels }) => {
        // a second table or a time would be dropped by Grafana, or make it a series
        assertEquals(table, 0, alert.uid);
        assert(typeof value === "number", `${alert.uid}: ${value}`);
        assert(Object.values(labels).every((label) => typeof label === "string"), JSON.stringify(labels));
        assert(Object.keys(labels).every((name) => !name.startsWith("_")), JSON.stringify(labels));
        const { type, value: limit } = alert.fires;
        return (type === "lt" ? value < limit : value > limit) ? [Object.values(labels).join()] : [];
      });
    };
    const fires = async (alert: Alert, now: number, bucket?: string): Promise<string[]> => {
      let labels = await firing(alert, now, bucket);
      for (let ago = 10; ago <= alert.forSeconds && labels.length > 0; ago += 10) {
        const earlier = await firing(alert, now - ago, bucket);
        labels = labels.filter((label) => earlier.includes(label));
      }
      return labels.toSorted();
    };
    const allThatFire = async (now: number, bucket?: string) => {
      const found: [string, string[]][] = [];
      for (const alert of ALERTS) found.push([alert.uid, await fires(alert, now, bucket)]);
      return Object.fromEntries(found.filter(([, labels]) => labels.length > 0));
    };

    for (const [i, [name, , expected]] of STORIES.entries()) {
      await t.step(`${name}: ${Object.keys(expected).join(", ") || "silence"}`, async () => {
        assertEquals(await allThatFire(nows[i] ?? 0), expected as Record<string, string[]>);
      });
    }

    await t.step("an empty bucket: no ticks, and no metrics", async () => {
      assertEquals(await allThatFire(START, "empty"), { "no-ticks": [""], "no-metrics": [""] });
    });
  },
});

Deno.test("each alert has a story that makes it fire, and the quiet ones are silent", () => {
  const fired = new Set(STORIES.flatMap(([, , fires]) => Object.keys(fires)));
  assertEquals([...fired].toSorted(), ALERTS.map(({ uid }) => uid).toSorted());
  for (const [name, , fires] of STORIES) if (/quiet for|was traded/.test(name)) assertEquals(fires, {});
});

Deno.test("only one rule speaks when InfluxDB cannot be asked, and all rules stand in the file", () => {
  assertEquals(ALERTS.filter(({ error }) => error === "Alerting").map(({ uid }) => uid), ["no-ticks"]);
  assertEquals([...rules.matchAll(/^ {6}- uid: (.+)$/gm)].map(([, uid]) => uid), ALERTS.map(({ uid }) => uid));
  // Grafana does not start with another interval, nor without a range
  assertEquals(rules.match(/^ {4}interval: 10s$/gm)?.length, 1);
  for (const { seconds, forSeconds } of ALERTS) assert(seconds > 0 && forSeconds % 10 === 0);
});
