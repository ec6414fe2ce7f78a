import { assertEquals } from "@std/assert";
import { stateWord } from "../../../src/web/page/watch_list.ts";

Deno.test("page list: a product that waits shows the exchange's reason, others show their state", () => {
  const words = [
    stateWord({ state: "waiting" }),
    stateWord({ state: "waiting", note: "never traded" }),
    stateWord({ state: "waiting", note: "not subscribed" }),
    stateWord({ state: "stalled", note: "not subscribed" }),
  ];
  assertEquals(words, ["waiting", "never traded", "not subscribed", "stalled"]);
});
