// Replays recorded Coinbase frames, if RECORDED_FIXTURES names a folder of them. The counts were made with another program, the
// numbers of single records by hand from their frames.

import { assertEquals, assertGreater } from "@std/assert";
import { coinbase } from "../src/exchanges/coinbase.ts";
import type { RejectReason } from "../src/core/record.ts";
import { replay } from "../src/pipeline/replay.ts";
import { Stats } from "../src/core/stats.ts";

function findFolder(): { folder: string } | { why: string } {
  const isGranted = (wish: Deno.PermissionDescriptor) => Deno.permissions.querySync(wish).state === "granted";
  if (!isGranted({ name: "env", variable: "RECORDED_FIXTURES" })) return { why: "needs --allow-env" };
  const folder = Deno.env.get("RECORDED_FIXTURES");
  if (folder === undefined || folder === "") return { why: "RECORDED_FIXTURES names no folder" };
  if (!isGranted({ name: "read", path: folder })) return { why: "needs --allow-read" };
  return { folder };
}

const found = findFolder();
const folder = "folder" in found ? found.folder : undefined;
const skipped = "why" in found ? ` [skipped: ${found.why}]` : "";

interface Outcome {
  readonly stats: Stats;
  readonly records: readonly { readonly product: string; readonly w_time: number; readonly price: number }[];
}

async function run(file: string, channel: string): Promise<Outcome> {
  const stats = new Stats();
  let output = "";
  const { readable } = await Deno.open(`${folder}/coinbase-exchange.${file}.jsonl`);
  const options = { exchange: coinbase, channel, products: undefined, maxFrameLength: 1_048_576, stats };
  await replay(readable, options, (lines) => Promise.resolve(void (output += lines)));
  return { stats, records: output.trim().split("\n").filter((line) => line !== "").map((line) => JSON.parse(line)) };
}

interface Counts {
  readonly lines: number;
  readonly ticks?: number;
  readonly repeats?: number;
  readonly ignored?: number;
  readonly rejected?: Partial<Record<RejectReason, number>>;
}

// the remaining lines are heartbeats, errors and acknowledgements
const COUNTS: Record<string, Counts> = {
  "client-subscribe.2021-04-17.timed": { lines: 3, ignored: 3 },
  "error-delisted": { lines: 54 },
  "error": { lines: 5 },
  "heartbeat": { lines: 8 },
  "l2-oddities": { lines: 4, ignored: 4 },
  "l2snapshot.2021-04-17": { lines: 2, ignored: 2 },
  "l2update.2021-04-17": { lines: 700, ignored: 700 },
  "last_match.2021-04-17": { lines: 10, ignored: 10 },
  "last_match.2021-04-17.timed": { lines: 10, ignored: 10 },
  "match-years": { lines: 2, ignored: 2 },
  "match.2021-04-17": { lines: 37, ignored: 37 },
  "match.2021-04-17.timed": { lines: 37, ignored: 37 },
  // responses of the REST API, not frames
  "rest-candles": { lines: 3, rejected: { "bad-message": 3 } },
  "rest-error": { lines: 4, rejected: { "bad-message": 4 } },
  "rest-product": { lines: 7, rejected: { "bad-message": 7 } },
  "rest-products.2021-04-17": { lines: 113, rejected: { "bad-message": 113 } },
  "rest-stats": { lines: 1, rejected: { "bad-message": 1 } },
  "rest-ticker": { lines: 1, rejected: { "bad-message": 1 } },
  "rest-time": { lines: 1, rejected: { "bad-message": 1 } },
  "rest-trades": { lines: 1, rejected: { "bad-message": 1 } },
  "session.2021-04-17.timed": { lines: 6706, ticks: 47, ignored: 6656 },
  "status": { lines: 1, ignored: 1 },
  "subscriptions.2021-04-17": { lines: 3 },
  "subscriptions.2021-04-17.timed": { lines: 3 },
  "subscriptions": { lines: 3 },
  "ticker-reconnect.2025-11-25": { lines: 280, ticks: 278, repeats: 2 },
  "ticker-redelivery.2025-12-01": { lines: 420, ticks: 420 },
  "ticker-years": { lines: 10, ticks: 10 },
  "ticker.2021-04-17": { lines: 47, ticks: 47 },
  "ticker.2021-04-17.timed": { lines: 47, ticks: 47 },
  "ticker.2025-11-24": { lines: 4200, ticks: 4200 },
  "ticker.2026-01-05": { lines: 53, ticks: 53 },
  "ticker_batch-derived.2025-11-24": { lines: 711, ticks: 711 },
  "ticker_batch.2026-10-03": { lines: 1, ticks: 1 },
};
for (const [file, counts] of Object.entries(COUNTS)) {
  Deno.test({
    name: `replay() of recorded ${file} finds ${counts.ticks ?? 0} ticks in ${counts.lines} lines${skipped}`,
    ignore: folder === undefined,
    async fn() {
      const { stats, records } = await run(file, "ticker");
      const rejected = Object.fromEntries(Object.entries(stats.rejected).filter(([, count]) => count > 0));
      assertEquals(
        {
          lines: stats.frames,
          ticks: stats.received,
          repeats: stats.repeated,
          ignored: stats.ignored,
          rejected,
          records: records.length,
        },
        { ticks: 0, repeats: 0, ignored: 0, rejected: {}, ...counts, records: counts.ticks ?? 0 },
      );
    },
  });
}

Deno.test({
  name: `every recorded coinbase file has counts in this test${skipped}`,
  ignore: folder === undefined,
  fn() {
    const files = [...Deno.readDirSync(folder ?? "")].map(({ name }) =>
      /^coinbase-exchange\.(.*)\.jsonl$/.exec(name)?.[1]
    );
    assertEquals(files.filter((file) => file !== undefined).toSorted(), Object.keys(COUNTS).toSorted());
  },
});

/** By file and channel: line (from 0), w_time, price. */
const RECORDS: [file: string, channel: string, records: [line: number, time: number, price: number][]][] = [
  ["ticker.2025-11-24", "ticker", [
    [0, 1764004488.870548, 133.67],
    [1, 1764004488.427432, 2856.59],
    [2, 1764004488.755121, 86944.73],
    [3, 1764004489.516569, 2856.4],
    // five trades of the same microsecond
    [4, 1764004490.087006, 2856.4],
    [5, 1764004490.087007, 2856.48],
    [6, 1764004490.087008, 2856.49],
    [7, 1764004490.087009, 2856.49],
    [8, 1764004490.08701, 2856.5],
    [2099, 1764005978.727599, 136.49],
    [4199, 1764006016.313696, 87908],
  ]],
  ["ticker.2025-11-24", "ticker_batch", [
    [0, 1764004488, 133.67],
    [4, 1764004490, 2856.4],
    [8, 1764004490, 2856.5],
    [4199, 1764006016, 87908],
  ]],
  ["ticker-years", "ticker", [
    [0, 1554076804.54, 4095],
    [1, 1570471232.368, 182],
    [2, 1617235201.618503, 58800.01],
    [3, 1654161654.127011, 29940.91],
    [4, 1666813202.207724, 20608.9],
    [5, 1669852800.122581, 17165.16],
    [6, 1705613574.3683, 40813.37],
    [7, 1749186031.886136, 102861.5],
    [8, 1618226943.643541, 0.03571],
    [9, 1557521055.69, 6800],
  ]],
  ["ticker_batch-derived.2025-11-24", "ticker_batch", [
    [0, 1764006019, 87902],
    [1, 1764006019, 2927.27],
    [710, 1764007199, 136.87],
  ]],
  ["ticker_batch.2026-10-03", "ticker_batch", [[0, 1791061111, 84737.58]]],
  // a block was sent twice: ticks older than the newest keep their time
  ["ticker-redelivery.2025-12-01", "ticker", [
    [198, 1764565250.554299, 85739.47],
    [199, 1764565250.686662, 85739.47],
  ]],
];
for (const [file, channel, wanted] of RECORDS) {
  Deno.test({
    name: `replay() of recorded ${file} as ${channel} writes the records computed by hand${skipped}`,
    ignore: folder === undefined,
    async fn() {
      const { records } = await run(file, channel);
      assertEquals(wanted.map(([line]) => [line, records[line]?.w_time, records[line]?.price]), wanted);
    },
  });
}

for (
  const [file, late] of [["ticker.2025-11-24", 0], ["ticker-reconnect.2025-11-25", 0], [
    "ticker-redelivery.2025-12-01",
    130,
  ]] as const
) {
  Deno.test({
    name: `replay() of recorded ${file} gives each product strictly rising times, except ${late} late ticks${skipped}`,
    ignore: folder === undefined,
    async fn() {
      const { records } = await run(file, "ticker");
      const newest = new Map<string, number>();
      let older = 0;
      for (const { product, w_time } of records) {
        const last = newest.get(product) ?? 0;
        if (w_time < last) older++;
        else assertGreater(w_time, last);
        newest.set(product, Math.max(last, w_time));
      }
      assertEquals(older, late);
    },
  });
}
