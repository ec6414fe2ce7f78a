// The arithmetic of a group's lag. The stages themselves are tested on real servers in doctor_test.ts.

import { assertEquals, assertMatch } from "@std/assert";
import { beyondText, resetCommands } from "../../src/kafka/admin.ts";
import { lagIn } from "../../src/checks/kafka.ts";

const bounds = (...pairs: [low: number, high: number][]) =>
  pairs.map(([low, high], partition) => ({ partition, low, high }));

Deno.test("lagIn() counts every partition separately: being ahead in one does not hide what waits in another", () => {
  const found = lagIn(bounds([0, 300], [0, 243], [10, 20]), new Map([[0, 543], [1, 0], [2, 20]]));
  // nothing was read of the first one: its offset is one of an earlier topic
  assertEquals(found.lag, 300 + 243);
  assertEquals(found.beyond, [{ partition: 0, place: 543, end: 300 }]);
  assertEquals([...found.next], [[0, 300], [1, 0], [2, 20]]);
});

Deno.test("lagIn() starts with the oldest record if there is no offset or Kafka has deleted that record", () => {
  const found = lagIn(bounds([5, 10], [100, 110], [0, 0]), new Map([[0, undefined], [1, 7]]));
  assertEquals([found.lag, [...found.next], [...found.never]], [15, [[0, 5], [1, 100], [2, 0]], [[0, 5]]]);
  assertEquals(found.beyond, []);
  // at the end is not beyond it
  assertEquals(lagIn(bounds([0, 10]), new Map([[0, 10]])).beyond, []);
});

Deno.test("resetCommands() names each group, with the commands of the stack or those of Kafka", () => {
  const places = [{ group: "telegraf", topic: "ticker_batch" }, { group: "telegraf-gaps", topic: "feed_gaps" }];
  assertMatch(
    resetCommands(places, true),
    /^docker compose stop telegraf; docker compose exec broker .* --group telegraf --topic ticker_batch .*; docker .* --group telegraf-gaps --topic feed_gaps --reset-offsets --to-earliest --execute; deno task stack$/,
  );
  assertMatch(
    resetCommands(places.slice(0, 1), false),
    /^stop Telegraf; kafka-consumer-groups\.sh .*; start Telegraf$/,
  );
  assertEquals(
    beyondText("g", "t", [{ partition: 3, place: 9, end: 4 }]),
    "group g waits at offset 9 of partition 3 of t, which ends at 4",
  );
});
