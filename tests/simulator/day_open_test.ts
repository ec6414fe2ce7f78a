import { assertEquals } from "@std/assert";
import { DayOpen } from "../../src/simulator/day_open.ts";
import { forSeeds } from "../fakes/random.ts";

const MINUTE_US = 60_000_000;
const MINUTES = 1440;

Deno.test("DayOpen has the same price as a search through all trades", async () => {
  await forSeeds(20, (random) => {
    const dayOpen = new DayOpen(1000);
    const trades: { minute: number; price: number }[] = [];
    let [micros, price] = [random.int(0, 1e9) * 1000, 1000];
    for (let i = 0; i < 1500; i++) {
      // some minutes pass between trades, and now and then a day
      if (random.chance(0.7)) micros += random.int(0, random.chance(0.005) ? 2 * MINUTES : 6) * MINUTE_US;
      price = Math.max(1, price + random.int(-20, 20));
      const minute = Math.floor(micros / MINUTE_US);
      trades.push({ minute, price });
      dayOpen.add(micros, price);

      const since = minute - MINUTES;
      const isYoung = minute - (trades[0]?.minute ?? 0) < MINUTES;
      const open = isYoung ? 1000 : (trades.findLast((trade) => trade.minute < since) ?? trades[0])?.price;
      assertEquals(dayOpen.price, open, `trade ${i}`);
    }
  });
});

Deno.test("DayOpen counts a trade of an earlier minute as one of the last minute", () => {
  const dayOpen = new DayOpen(1000);
  dayOpen.add(10 * MINUTE_US, 1010);
  dayOpen.add(MINUTE_US, 990);
  dayOpen.add((10 + MINUTES) * MINUTE_US, 1);
  assertEquals(dayOpen.price, 1010);
  dayOpen.add((11 + MINUTES) * MINUTE_US, 1);
  assertEquals(dayOpen.price, 990);
});
