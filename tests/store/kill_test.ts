// kill -9 at any moment: the file opens again, nothing that was confirmed is missing, and candles are those of its ticks.

import { assert, assertEquals, assertGreater } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { markCandles } from "../../src/core/candle.ts";
import type { Tick } from "../../src/core/record.ts";
import { openDatabase } from "../../src/store/database.ts";
import { Queries } from "../../src/store/queries.ts";
import { Notebook } from "../fakes/log.ts";
import { Random } from "../fakes/random.ts";
import { numbered } from "./child.ts";
import { childSkipped, startChild, temporaryFolder } from "./files.ts";
import { foldCandles } from "../fakes/candles.ts";

const skipped = childSkipped();
const KILLS = 50;
/** Then a new file begins, so that looking at all of it stays quick. */
const KILLS_A_FILE = 10;

Deno.test({
  name: `a store whose program is killed ${KILLS} times under load${
    skipped === undefined ? "" : ` [skipped: ${skipped}]`
  }`,
  ignore: skipped !== undefined,
  async fn() {
    const seed = Date.now() % 1e6;
    const random = new Random(seed);
    let lost = 0, extra = 0, total = 0;
    for (let file = 0; file < KILLS / KILLS_A_FILE; file++) {
      await using folder = await temporaryFolder();
      const path = `${folder.path}/prices.sqlite`;
      let from = 0;
      for (let kill = 0; kill < KILLS_A_FILE; kill++) {
        await using child = startChild(["load", path, String(from), String(seed + kill)]);
        assert(await child.line() !== undefined, `seed ${seed}`);
        await new Promise((resolve) => setTimeout(resolve, random.int(0, 120)));
        child.kill();
        const confirmed = Number((await child.rest()).filter((line) => /^\d+$/.test(line)).at(-1) ?? from);

        // as the next program opens it, and no other one holds it any more
        const log = new Notebook();
        const open = openDatabase(path, { log, now: Date.now });
        const db: DatabaseSync = open.db;
        assertEquals(log.lines, []);
        assertEquals(db.prepare("PRAGMA integrity_check").get()?.integrity_check, "ok");
        const queries = new Queries(db);
        const ticks: Tick[] = queries.products().flatMap((key) => [...queries.tickPages(key, {})].flat());
        const numbers = new Set(ticks.map(({ sequence }) => sequence));
        for (let n = 0; n < confirmed; n++) if (!numbers.has(n)) lost++;
        extra += numbers.size - Math.min(confirmed, numbers.size);
        for (const tick of ticks) assertEquals(tick, numbered(tick.sequence));
        for (const key of queries.products()) {
          const own = ticks.filter(({ product }) => product === key.product);
          for (const interval of ["5s", "1m", "1h"] as const) {
            const candles = queries.candles(key, interval, { limit: 1e6 }, 0);
            assertEquals(
              candles.map(({ lastSequence: _, ...candle }) => candle),
              markCandles(foldCandles(own, interval), 0),
              `seed ${seed}, ${interval} of ${key.product}`,
            );
          }
        }
        open.close();
        from = confirmed;
        total = Math.max(total, confirmed);
      }
    }
    assertEquals(lost, 0, `seed ${seed}`);
    assertGreater(total, 1000);
    // committed and not yet confirmed when the end came: such a file was caught in the middle
    assertGreater(extra, 0, `seed ${seed}`);
  },
});
