// Every alert rule on the real InfluxDB: on each set of data exactly the rules fire that must, above all none in a quiet market.
// The rules are judged as Grafana does: its query again and again, each row compared, and all that for as long as `for` says.

import { assert, assertEquals } from "@std/assert";
import rules from "../../grafana-provisioning/alerting/rules.yaml" with { type: "text" };
import { DELAY_BUCKETS } from "../../src/core/stats.ts";
import { type Alert, ALERTS } from "../../src/stack/dashboards/alerts.ts";
import { influxMissing, InfluxServer } from "../servers/influxdb.ts";
import { interpolate, withOptions } from "./grafana.ts";
import { gatherLine, metricLine, PRODUCER, rejectedLine, type Sample, telegrafLine, tickLine } from "./producer.ts";

/** The metrics of the fifteen minutes up to `now`, one sample every 10 s. Functions take the seconds before `now`. */
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
  /** Other producers, by address; they say nothing about Telegraf. */
  readonly others?: Readonly<Record<string, Story>>;
  /** It answered once long ago too, seconds before `now`. */
  readonly heard?: number;
  /** Where it does not answer Telegraf does not ask it any more. */
  readonly unasked?: boolean;
  /** Telegraf stores its own metrics, and scrapes. */
  readonly telegraf?: (ago: number) => boolean;
  /** How many addresses more Telegraf asks in vain. */
  readonly unheard?: number;
}

interface ProductStory {
  /** Undefined: the producer does not report the product. */
  readonly state?: string | ((ago: number) => string | undefined);
  /** Seconds between its ticks, the last shortly before `now`; or when its only ticks came, seconds before `now`. */
  readonly ticks?: number | readonly number[];
  /** Ticks that came less than so many seconds before `now` are not stored. */
  readonly unstored?: number;
  /** Nothing of it is stored under its own name, but under this. */
  readonly storedAs?: string;
}

const SPAN = 900;

/** How many addresses did not answer at that moment. */
function unanswered({ told = () => true, unasked = false, unheard = 0, others = {} }: Story, ago: number): number {
  const own = told(ago) || unasked ? 0 : 1;
  return Object.values(others).reduce((total, other) => total + unanswered(other, ago), own + unheard);
}

function* linesOf(story: Story, now: number): Generator<string> {
  yield* producerLinesOf(story, now, PRODUCER);
  for (const [url, other] of Object.entries(story.others ?? {})) yield* producerLinesOf(other, now, url);
  const zero = () => 0;
  const { telegraf = () => true, telegrafDropped = zero, telegrafRejected = zero, records = [] } = story;
  for (const ago of records) yield rejectedLine(now - ago, "no-json");
  let errors = 0;
  for (let ago = SPAN; ago >= 0; ago -= 10) {
    const at = now - ago;
    if (!telegraf(ago)) continue;
    for (
      const [field, count] of [["metrics_dropped", telegrafDropped], ["metrics_rejected", telegrafRejected]] as const
    ) {
      yield telegrafLine({ at, field, value: count(ago) });
      // metrics may be dropped: that is none of our business
      yield telegrafLine({ at, field, value: SPAN - ago, tags: { alias: "metrics" } });
    }
    // stored before the scrape of that moment has ended
    yield gatherLine(at, "prometheus", errors);
    errors += unanswered(story, ago);
    // of Kafka, say
    yield gatherLine(at, "kafka_consumer", 3 * (SPAN - ago));
  }
}

function* producerLinesOf(story: Story, now: number, url: string): Generator<string> {
  const metric = ({ tags, ...sample }: Sample) => metricLine({ ...sample, tags: { url, ...tags } });
  const { products = { "BTC-USD": {}, "ETH-USD": {} } } = story;
  const { told = () => true, link = () => 1, kafkaUp = () => 1, exchangeDelay = () => 0.05, kafkaDelay = 0.004 } =
    story;
  const zero = () => 0;
  const { reconnects = zero, dropped = zero, lost = zero, rejected = zero, heard } = story;
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
  if (heard !== undefined) yield metric({ at: now - heard, field: "feed_link_up", value: 1 });
  for (let ago = SPAN; ago >= 0; ago -= 10) {
    const at = now - ago;
    if (!told(ago)) continue;
    yield metric({ at, field: "feed_link_up", value: link(ago) });
    for (const [sink, up] of [["kafka", kafkaUp(ago)], ["live", 0]] as const) {
      yield metric({ at, field: "feed_sink_up", value: up, tags: { sink } });
    }
    const delay = exchangeDelay(ago);
    if (delay !== undefined) yield metric({ at, field: "feed_exchange_delay_seconds", value: delay });
    yield metric({ at, field: "feed_reconnects_total", value: reconnects(ago) });
    yield metric({ at, field: "feed_ticks_dropped_total", value: dropped(ago), tags: { sink: "kafka" } });
    // open pages may be slow
    yield metric({ at, field: "feed_ticks_dropped_total", value: SPAN - ago, tags: { sink: "live" } });
    yield metric({ at, field: "feed_ticks_lost_total", value: lost(ago), tags: { sink: "kafka" } });
    for (const reason of ["bad-json", "bad-time"]) {
      const value = reason === "bad-time" ? rejected(ago) : 0;
      yield metric({ at, field: "feed_ticks_rejected_total", value, tags: { reason } });
    }
    let acknowledged = 0;
    for (const [product, { state = "live", ...rest }] of Object.entries(products)) {
      const known = typeof state === "string" ? state : state(ago);
      if (known === undefined) continue;
      yield metric({ at, field: "feed_product_state", value: 1, tags: { product, state: known } });
      const ticks = ticksOf(rest).filter((tick) => tick <= at);
      acknowledged += ticks.length;
      const newest = ticks.at(-1);
      if (newest === undefined) continue;
      yield metric({ at, field: "feed_tick_time_seconds", value: newest, tags: { product } });
      yield metric({ at, field: "feed_tick_age_seconds", value: at - newest, tags: { product } });
    }
    for (const le of [...DELAY_BUCKETS, Infinity]) {
      for (const [stage, seconds] of [["kafka", kafkaDelay], ["arrival", 20]] as const) {
        const tags = { stage, le: le === Infinity ? "+Inf" : String(le) };
        yield metric({
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

const [SECOND, THIRD] = ["http://second:8000/metrics", "http://third:8000/metrics"];
const NEVER = "an address that never answered";

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
  ["six", { reconnects: before(500, 6) }, { "reconnect-storm": [PRODUCER] }],
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
    "products without heartbeats of their own, and nothing was traded: unknown, and none is stalled",
    { products: { "BTC-USD": { ticks: [300], state: "waiting" }, "ETH-USD": { ticks: [40_000], state: "waiting" } } },
    {},
  ],
  [
    "a product that is traded seldom, and whose last trade is from last year",
    {
      products: {
        "BTC-USD": { state: "quiet", ticks: [30_000_000] },
        "OLD-USD": { state: "waiting", ticks: [40_000_000] },
      },
    },
    {},
  ],
  [
    "connected, and the exchange sends nothing for one product, while the others are unknown",
    { products: { "BTC-USD": { ticks: [300], state: "stalled" }, "ETH-USD": { ticks: [300], state: "waiting" } } },
    { "no-ticks": [""], "product-stalled": ["BTC-USD"] },
  ],
  [
    "a product that never traded, among others",
    { products: { "BTC-USD": {}, "NEVER-USD": { state: "waiting", ticks: [] } } },
    {},
  ],
  ["the producer was started a moment ago, and asked once", { told: (ago) => ago < 15 }, {}],
  ["the producer ended a moment ago", { told: (ago) => ago > 50, products: { "BTC-USD": { ticks: [51, 55] } } }, {}],
  ["the producer was away for a moment", { told: (ago) => ago > 50 || ago < 15 }, {}],
  [
    "the producer is dead",
    { told: (ago) => ago > 240, products: { "BTC-USD": { ticks: [241, 245] } } },
    { "no-ticks": [""], "no-metrics": [PRODUCER] },
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
  ["a second producer, and all is well", { others: { [SECOND]: { products: { "XRP-USD": {} } } } }, {}],
  [
    "of two producers one is dead",
    { others: { [SECOND]: { told: (ago) => ago > 240, products: { "XRP-USD": { ticks: [241, 245] } } } } },
    { "no-metrics": [SECOND] },
  ],
  [
    "it died a moment ago",
    { others: { [SECOND]: { told: (ago) => ago > 60, products: { "XRP-USD": { ticks: [61, 65] } } } } },
    {},
  ],
  [
    "of three producers two are dead",
    {
      told: (ago) => ago > 300,
      others: { [SECOND]: { told: (ago) => ago > 240, products: {} }, [THIRD]: { products: { "XRP-USD": {} } } },
    },
    { "no-metrics": [PRODUCER, SECOND] },
  ],
  [
    "one was heard last twenty hours ago",
    { others: { [SECOND]: { told: () => false, heard: 20 * 3600 } } },
    { "no-metrics": [SECOND] },
  ],
  [
    "one was heard last thirty hours ago",
    { others: { [SECOND]: { told: () => false, heard: 30 * 3600 } } },
    { "no-metrics": [NEVER] },
  ],
  [
    "one was ended, and Telegraf does not ask it any more",
    { others: { [SECOND]: { told: (ago) => ago > 240, unasked: true, products: {} } } },
    {},
  ],
  [
    "Telegraf is down: nothing is known about any producer",
    {
      telegraf: (ago) => ago > 240,
      told: (ago) => ago > 240,
      products: { "BTC-USD": { unstored: 240 } },
      others: { [SECOND]: { told: (ago) => ago > 240, products: {} } },
    },
    { "no-ticks": [""], "no-metrics": [PRODUCER, SECOND] },
  ],
  ["an address is wrong", { unheard: 1 }, { "no-metrics": [NEVER] }],
  [
    "an address is wrong, and a producer is dead",
    { unheard: 1, others: { [SECOND]: { told: (ago) => ago > 240, products: {} } } },
    { "no-metrics": [NEVER, SECOND] },
  ],
  [
    "the second producer's heartbeats take eight seconds",
    { others: { [SECOND]: { exchangeDelay: () => 8, products: { "XRP-USD": {} } } } },
    { delay: ["exchange"] },
  ],
  [
    "the second producer's few acknowledgements take eight seconds",
    {
      products: { "BTC-USD": { ticks: 1 } },
      others: { [SECOND]: { kafkaDelay: 8, products: { "XRP-USD": { ticks: 25 } } } },
    },
    { delay: ["kafka"] },
  ],
  [
    "Kafka is away from the second producer",
    { others: { [SECOND]: { kafkaUp: () => 0, products: { "XRP-USD": { unstored: 170 } } } } },
    { "kafka-away": [""] },
  ],
  [
    "the second producer's product is not stored any more",
    { others: { [SECOND]: { products: { "XRP-USD": { unstored: 100 } } } } },
    { delay: ["stored"] },
  ],
  [
    "the exchange ended all connections three times",
    { reconnects: before(500, 3), others: { [SECOND]: { reconnects: before(500, 3), products: {} } } },
    {},
  ],
  [
    "the second producer connects again and again",
    { others: { [SECOND]: { reconnects: before(500, 6), products: {} } } },
    { "reconnect-storm": [SECOND] },
  ],
  [
    "both producers give up ticks and reject frames",
    {
      dropped: before(400),
      rejected: before(400),
      others: { [SECOND]: { dropped: before(300), rejected: before(300), products: {} } },
    },
    { drops: ["queue"], rejected: ["exchange"] },
  ],
  [
    "the second producer's product is stalled",
    { others: { [SECOND]: { products: { "XRP-USD": { ticks: [160], state: "stalled" } } } } },
    { "product-stalled": ["XRP-USD"] },
  ],
  [
    "a product is followed twice, and stalled at one of both",
    {
      products: { "BTC-USD": {}, "ETH-USD": { state: "stalled" } },
      others: { [SECOND]: { products: { "ETH-USD": {} } } },
    },
    {},
  ],
  [
    "a product is followed twice, and stalled at both",
    {
      products: { "BTC-USD": {}, "ETH-USD": { ticks: [160], state: "stalled" } },
      others: { [SECOND]: { products: { "ETH-USD": { ticks: [160], state: "stalled" } } } },
    },
    { "product-stalled": ["ETH-USD"] },
  ],
  [
    "a product that was stalled moved to the second producer",
    {
      products: { "BTC-USD": {}, "ETH-USD": { state: (ago) => ago > 20 ? "stalled" : undefined } },
      others: { [SECOND]: { products: { "ETH-USD": { state: (ago) => ago > 20 ? undefined : "live" } } } },
    },
    {},
  ],
  [
    "one producer's products are quiet, the link of the other one is down",
    {
      products: { "BTC-USD": QUIET },
      others: { [SECOND]: { link: () => 0, products: { "ETH-USD": { ticks: [300], state: "waiting" } } } },
    },
    { "no-ticks": [""] },
  ],
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
      if (rows.length === 0) return alert.firesWithoutRows ? [""] : [];
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
      for (let ago = 10; ago <= (alert.forSeconds ?? 0) && labels.length > 0; ago += 10) {
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

Deno.test("each alert has a case in which it fires, and quiet markets fire none", () => {
  const fired = new Set(STORIES.flatMap(([, , fires]) => Object.keys(fires)));
  assertEquals([...fired].toSorted(), ALERTS.map(({ uid }) => uid).toSorted());
  for (const [name, , fires] of STORIES) if (/quiet for|was traded/.test(name)) assertEquals(fires, {});
});

Deno.test("only one rule fires if InfluxDB cannot be queried, and the file contains all rules", () => {
  assertEquals(ALERTS.filter(({ firesOnErrors }) => firesOnErrors).map(({ uid }) => uid), ["no-ticks"]);
  assertEquals([...rules.matchAll(/^ {6}- uid: (.+)$/gm)].map(([, uid]) => uid), ALERTS.map(({ uid }) => uid));
  // Grafana does not start with another interval, nor without a range
  assertEquals(rules.match(/^ {4}interval: 10s$/gm)?.length, 1);
  for (const { seconds, forSeconds = 0 } of ALERTS) assert(seconds > 0 && forSeconds % 10 === 0);
});
