import { assert, assertEquals } from "@std/assert";
import { LastDay } from "../../src/simulator/last_day.ts";
import { forSeeds } from "../fakes/random.ts";

const MINUTE_US = 60_000_000;
const MINUTES = 1440;

Deno.test("LastDay says what a look at all trades of the last 1440 minutes says", async () => {
  await forSeeds(20, (random) => {
    const day = new LastDay(1000, 900, 1100, 5000);
    const trades: { minute: number; price: number; size: number }[] = [];
    let [micros, price] = [random.int(0, 1e9) * 1000, 1000];
    for (let i = 0; i < 1500; i++) {
      // some minutes pass between trades, and now and then a day
      if (random.chance(0.7)) micros += random.int(0, random.chance(0.005) ? 2 * MINUTES : 6) * MINUTE_US;
      price = Math.max(1, price + random.int(-20, 20));
      const [minute, size] = [Math.floor(micros / MINUTE_US), random.int(1, 1000) / 100];
      trades.push({ minute, price, size });
      day.add(micros, price, size);

      const since = minute - MINUTES;
      const age = minute - (trades[0]?.minute ?? 0);
      const isYoung = age < MINUTES;
      const inside = trades.filter((trade) => trade.minute >= since);
      const prices = inside.map((trade) => trade.price);
      const open = isYoung ? 1000 : (trades.findLast((trade) => trade.minute < since) ?? trades[0])?.price;
      const low = Math.min(...prices, isYoung ? 900 : Infinity);
      const high = Math.max(...prices, isYoung ? 1100 : -Infinity);
      const volume = inside.reduce((sum, trade) => sum + trade.size, isYoung ? 5000 * (1 - age / MINUTES) : 0);
      assertEquals([day.open, day.low, day.high], [open, low, high], `trade ${i}`);
      assert(Math.abs(day.volume - volume) < 1e-6, `trade ${i}: ${day.volume} is not ${volume}`);
    }
  });
});

Deno.test("LastDay takes a trade of an earlier minute as one of the last", () => {
  const day = new LastDay(1000, 1000, 1000, 0);
  day.add(10 * MINUTE_US, 1010, 1);
  day.add(MINUTE_US, 990, 1);
  assertEquals([day.open, day.low, day.high, day.volume], [1000, 990, 1010, 2]);
});
