// What the queries of *Pipeline* and the alerts ask for is what the real producer tells, the real Telegraf stores under
// telegraf.conf, and under the names and tags that the other tests make up.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { ALERTS } from "../../src/stack/dashboards/alerts.ts";
import { QUERIES } from "../../src/stack/dashboards/queries.ts";
import type { SourceStatus } from "../../src/pipeline/source.ts";
import { Stats } from "../../src/core/stats.ts";
import { renderMetrics } from "../../src/web/metrics.ts";
import { chainMissing, produce, startChain, TOPIC } from "../chain/chain.ts";
import { until } from "../integration/feed.ts";
import { interpolate } from "./grafana.ts";

const SINK = { name: "kafka", state: "ok", queueDepth: 3, queueCapacity: 100 } as const;

function busyStats(): Stats {
  const stats = new Stats();
  stats.received = 20;
  stats.sink("kafka").sent = 18;
  stats.sink("kafka").delay.add(0.003);
  return stats;
}

function sourceAt(time: number): SourceStatus {
  return {
    exchange: "Coinbase",
    url: "wss://example.org",
    channel: "ticker_batch",
    link: "open",
    delaySeconds: 0.05,
    products: ["BTC-USD", "ETH-USD"].map((product) => ({ product, state: "live", price: 1, time, ageSeconds: 1 })),
  };
}

/** Of all queries. */
const asked = new Set(
  Object.values(QUERIES).flatMap((query) => [...query.matchAll(/feed\(field: "(\w+)"/g)].map(([, name]) => name ?? "")),
);

Deno.test("the producer has every metric in a query, with the labels that the query filters by", () => {
  const text = renderMetrics({ stats: busyStats(), source: sourceAt(1), sinks: [SINK] });
  const told = new Map(
    [...text.matchAll(/^(feed_\w+)(\{.*\})? /gm)].map(([, name = "", labels = ""]) => [name, labels]),
  );
  assert(asked.size > 8);
  assertEquals([...asked].filter((name) => !told.has(name)), []);
  const labels = (name: string) => [...(told.get(name) ?? "").matchAll(/(\w+)=/g)].map(([, label]) => label).toSorted();
  assertEquals(
    ["feed_product_state", "feed_tick_delay_seconds_bucket", "feed_sink_up", "feed_ticks_rejected_total"].map(labels),
    [["product", "state"], ["le", "stage"], ["sink"], ["reason"]],
  );
});

const missing = chainMissing();

/** A producer that follows one product; it answers as long as it is not disposed of. */
function producer(stats: Stats, source: () => SourceStatus): AsyncDisposable & { readonly url: string; asked: number } {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
    told.asked++;
    const text = renderMetrics({ stats, source: source(), sinks: [SINK] });
    return new Response(text, { headers: { "Content-Type": "text/plain; version=0.0.4" } });
  });
  const told = {
    url: `http://127.0.0.1:${server.addr.port}/metrics`,
    asked: 0,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
  return told;
}

Deno.test({
  name: `Telegraf stores all that the dashboards ask for, and compares what is read with what is told${
    missing ? ` [skipped: ${missing}]` : ""
  }`,
  ignore: missing !== undefined,
  async fn() {
    const now = Math.floor(Date.now() / 1000);
    let newest = now + 0.4;
    await using server = producer(busyStats(), () => sourceAt(newest));
    await using chain = await startChain({ metrics: server.url });
    const { kafka, influx } = chain;
    await produce(kafka.broker, TOPIC, [JSON.stringify({ product: "BTC-USD", w_time: now, price: 1 }), "no record"]);

    const series = async (measurement: string) =>
      await influx.query(
        `from(bucket: "${influx.bucket}") |> range(start: -1h, stop: 1h)
          |> filter(fn: (r) => r._measurement == "${measurement}") |> last()`,
      );
    const behind = async () =>
      (await series("feed_read")).map(({ product, _field, _value }) => [product, _field, _value]);
    // the second it shares with the record that was read
    await until("nothing is behind", async () => {
      return JSON.stringify(await behind()) === JSON.stringify([["BTC-USD", "behind_seconds", 0]]);
    }, 60_000);
    newest = now + 7.25;
    await until("seven seconds are behind", async () => (await behind())[0]?.[2] === 7.25, 60_000);

    // another writer: more products than are remembered, and of ours an old record and one from the future
    const foreign = Array.from({ length: 10_001 }, (_, i) => ({ product: `OTHER-${i}`, w_time: now, price: 1 }));
    const ours = [now - 5000, now + 90_000].map((w_time) => ({ product: "BTC-USD", w_time, price: 1 }));
    const followed = { product: "ETH-USD", w_time: now, price: 1 };
    await produce(kafka.broker, TOPIC, [...foreign, ...ours, followed].map((record) => JSON.stringify(record)));
    await until("a product that the producer follows counts", async () => {
      return (await behind()).some(([product, , value]) => product === "ETH-USD" && value === 7.25);
    }, 60_000);
    assertEquals((await behind()).map(([product, , value]) => [product, value]), [["BTC-USD", 7.25], [
      "ETH-USD",
      7.25,
    ]]);

    const fields = new Set((await series("prometheus")).map(({ _field }) => _field));
    assertEquals([...asked].filter((name) => !fields.has(name)), []);
    const own = (await series("internal_write")).filter(({ alias }) => alias === "records");
    for (const field of ["buffer_size", "metrics_dropped", "metrics_rejected"]) {
      assertEquals(own.filter(({ _field }) => _field === field).length, 1, field);
    }
    assertEquals((await series("ticker_rejected")).map(({ _field }) => _field).toSorted(), ["reason", "record"]);

    // and the alerts judge it rightly: a record is none, a tick is not stored
    const firing = async (uid: string) => {
      const alert = ALERTS.find((alert) => alert.uid === uid);
      assert(alert !== undefined);
      const at = Date.now();
      const view = { from: at - alert.seconds * 1000, to: at };
      const rows = await influx.query(interpolate(alert.query, view, influx.bucket));
      return rows.filter(({ _value }) =>
        alert.fires.type === "lt" ? Number(_value) < alert.fires.value : Number(_value) > alert.fires.value
      );
    };
    assertEquals((await firing("rejected")).map(({ source, _value }) => [source, _value]), [["topic", 1]]);
    await until(
      "the missing tick is noticed",
      async () => (await firing("delay")).some(({ stage }) => stage === "stored"),
    );
    for (const uid of ["kafka-away", "product-stalled", "reconnect-storm", "drops", "no-metrics"]) {
      assertEquals(await firing(uid), [], uid);
    }
  },
});

Deno.test({
  name: `Telegraf asks each of several producers once at each look, and one that is dead, or was never there, is named${
    missing ? ` [skipped: ${missing}]` : ""
  }`,
  ignore: missing !== undefined,
  async fn() {
    await using first = producer(busyStats(), () => sourceAt(1));
    await using third = producer(busyStats(), () => ({ ...sourceAt(1), products: [] }));
    await using ended = new AsyncDisposableStack();
    const eighth = ended.use(producer(busyStats(), () => sourceAt(1)));
    // no address, as there is no scheme
    const metrics = [first.url, undefined, third.url, "second:8000/metrics", ...Array(3), eighth.url];
    await using chain = await startChain({ metrics });
    const { influx, telegraf } = chain;
    const counts = async (seconds: number): Promise<Record<string, unknown>> => {
      const rows = await influx.query(
        `from(bucket: "${influx.bucket}") |> range(start: -${seconds}s)
          |> filter(fn: (r) => r._measurement == "prometheus" and r._field == "feed_link_up") |> count()`,
      );
      return Object.fromEntries(rows.map(({ url, _value }) => [url, _value]));
    };
    const answering = async (seconds: number) => Object.keys(await counts(seconds)).toSorted();
    const ALL = [first.url, third.url, eighth.url].toSorted();
    await until("all three were asked twice", async () => {
      const found = Object.values(await counts(600));
      return found.length === 3 && found.every((count) => Number(count) >= 2);
    }, 60_000);
    assertEquals(await answering(600), ALL);
    // what is not set is the first once more, and yet it is asked no more often than the others
    assert(Math.abs(first.asked - third.asked) <= 1, `${first.asked} and ${third.asked}`);
    assertMatch(await telegraf.log(), /inputs\.prometheus\] .*"second:8000\/metrics"/);

    /** Who is silent, by the alert, if it looked back no more than this. */
    const silent = async (seconds: number) => {
      const alert = ALERTS.find(({ uid }) => uid === "no-metrics");
      assert(alert !== undefined);
      const to = Date.now();
      const rows = await influx.query(interpolate(alert.query, { from: to - 1000 * seconds, to }, influx.bucket));
      return rows.filter(({ _value }) => Number(_value) < alert.fires.value).map(({ producer }) => producer).toSorted();
    };
    const NEVER = "an address that never answered";
    await until("the wrong address is told", async () => (await silent(120)).join() === NEVER, 60_000);
    await ended.disposeAsync();
    const since = Date.now();
    const sinceThen = () => Math.max(1, Math.floor((Date.now() - since) / 1000) - 11);
    await until(
      "the dead one is named too",
      async () => sinceThen() > 25 && (await silent(sinceThen())).join() === [NEVER, eighth.url].join(),
      90_000,
    );
    assertEquals((await silent(120)).filter((url) => url === first.url || url === third.url), []);
  },
});
