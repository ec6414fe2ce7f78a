import { assertEquals } from "@std/assert";
import { ageOf } from "../../../src/web/page/wire.ts";

const NOW = 1_700_000_100_000;

for (
  const [what, tick, age] of [
    ["just arrived", { time: 1_700_000_099.5, received: 1_700_000_100 }, 500],
    ["sent again a while after it arrived", { time: 1_700_000_090, received: 1_700_000_091 }, 10_000],
    ["old when it arrived", { time: 1_699_999_100, received: 1_700_000_100 }, 1_000_000],
    ["of an exchange whose clock is ahead", { time: 1_700_000_160, received: 1_700_000_098 }, 2000],
    [
      "that arrived in the future, as the server's clock was set back",
      { time: 1_700_000_200, received: 1_700_000_200 },
      0,
    ],
  ] as const
) {
  Deno.test(`page: ageOf() a tick ${what}`, () => assertEquals(ageOf(tick, NOW), age));
}
