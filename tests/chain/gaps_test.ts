// Gaps in InfluxDB: each one is a point, and a later record of the gap replaces an earlier one.

import { assertEquals } from "@std/assert";
import { chainMissing, GAPS_TOPIC, produce, settle, startChain } from "./chain.ts";
import { readGaps } from "./points.ts";
import { serverTest } from "../servers/test.ts";

const missing = chainMissing();

/** Whole seconds, an hour ago. */
const START = Math.floor(Date.now() / 1000) - 3600;

const OPEN = { from: START, to: null, reason: "link-closed", dropped: 0, missed: true };

function gap(product: string, opened: number, rest: Record<string, unknown>): Record<string, unknown> {
  return { exchange: "coinbase", product, opened, ...rest };
}

serverTest(missing, "InfluxDB stores a gap as one point, and its last record replaces the earlier ones", async () => {
  await using chain = await startChain();
  const { kafka, influx } = chain;
  const at = START + 15.25;
  const records = [
    gap("A", at, OPEN),
    gap("B", at, OPEN),
    gap("A", at, { ...OPEN, to: START + 20.123456, dropped: 12, missed: false }),
    // two of one product, a millisecond apart
    gap("C", at, { ...OPEN, from: null, reason: "restart" }),
    gap("C", at + 0.001, { ...OPEN, from: START + 0.000001, reason: "queue-full", dropped: 3 }),
    // another program may use another order of fields, and other reasons
    {
      missed: true,
      dropped: 1.0,
      reason: "moon phase",
      to: null,
      from: null,
      opened: at,
      product: "D",
      exchange: "x",
    },
    // one that was merged with a gap of unknown start, and one that is open again
    gap("E", at, { ...OPEN, to: START + 30 }),
    gap("E", at, { ...OPEN, from: null }),
  ];
  await produce(kafka.broker, GAPS_TOPIC, records.map((record) => JSON.stringify(record)));
  await settle(chain);

  const found = (await readGaps(influx)).filter(({ reason }) => reason !== "marker");
  const key = ({ product, opened }: { product?: unknown; opened?: unknown }) => `${product} ${opened}`;
  const later = new Map(records.map((record) => [key(record), record]));
  const sorted = (list: unknown[]) => list.map((one) => JSON.stringify(one)).sort();
  const inOrder = ({ exchange, product, opened, from, to, reason, dropped, missed }: Record<string, unknown>) => (
    { exchange, product, opened, from, to, reason, dropped, missed }
  );
  assertEquals(sorted(found), sorted([...later.values()].map(inOrder)));

  // as in the dashboards: a stored value cannot be deleted, so a second field says whether it counts
  const [row] = await influx.query(`
      from(bucket: "${influx.bucket}")
        |> range(start: ${START})
        |> filter(fn: (r) => r._measurement == "feed_gap" and r.product == "E")
        |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
    `);
  assertEquals([row?.from, row?.from_known, row?.to, row?.to_known], [START, false, START + 30, false]);
});
