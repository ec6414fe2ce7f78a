// Reads what Telegraf stored in InfluxDB, by Flux alone.

import type { GapRecord, Point } from "../count.ts";
import type { FluxRow } from "../servers/flux_csv.ts";
import type { InfluxServer } from "../servers/influxdb.ts";

const ALL_TIMES = "start: 1970-01-01T00:00:00Z, stop: 2262-01-01T00:00:00Z";

/** How many points of these products there are, counted by InfluxDB itself. */
export async function pointCount(influx: InfluxServer, products: readonly string[]): Promise<number> {
  const [row] = await influx.query(`${pricesOf(influx, products)}
    |> count()
    |> group()
    |> sum()`);
  return Number(row?._value ?? 0);
}

/** All points of these products. */
export async function readPoints(influx: InfluxServer, products: readonly string[]): Promise<Point[]> {
  const rows = await influx.query(`${pricesOf(influx, products)}
    |> group()
    |> map(fn: (r) => ({ product: r.product, us: int(v: r._time) / 1000, rest: int(v: r._time) % 1000, price: r._value }))`);
  return rows.map(({ product, us, rest, price }) => {
    if (rest !== 0) throw new Error(`${product} ${us} has ${rest} ns more than its record`);
    return { product: String(product), timeUs: Number(us), price: Number(price) };
  });
}

/** All of `feed_gap` in the form of gap records. */
export async function readGaps(influx: InfluxServer): Promise<GapRecord[]> {
  const rows = await influx.query(`${pivoted(influx, "feed_gap")}
    |> map(fn: (r) => ({ r with us: int(v: r._time) / 1000 }))`);
  return rows.map((row) => ({
    exchange: String(row.exchange),
    product: String(row.product),
    opened: Number(row.us) / 1e6,
    // InfluxDB cannot replace a value by null, so a second field says whether the first one counts
    from: row.from_known === true ? Number(row.from) : null,
    to: row.to_known === true ? Number(row.to) : null,
    reason: String(row.reason),
    dropped: Number(row.dropped),
    missed: row.missed === true,
  }));
}

/** The rejected records of the last hour, by time. */
export async function readRejected(influx: InfluxServer): Promise<{ reason: string; record: string }[]> {
  const rows: FluxRow[] = await influx.query(pivoted(influx, "ticker_rejected", "start: -1h, stop: 1h"));
  return rows.map(({ reason, record }) => ({ reason: String(reason), record: String(record ?? "") }));
}

function pivoted(influx: InfluxServer, measurement: string, times = ALL_TIMES): string {
  return `from(bucket: "${influx.bucket}")
    |> range(${times})
    |> filter(fn: (r) => r._measurement == "${measurement}")
    |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
    |> group()
    |> sort(columns: ["_time"])`;
}

function pricesOf(influx: InfluxServer, products: readonly string[]): string {
  const names = products.map((name) => name.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")).join("|");
  return `from(bucket: "${influx.bucket}")
    |> range(${ALL_TIMES})
    |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price" and r.product =~ /^(${names})$/)`;
}
