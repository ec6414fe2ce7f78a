import { assertEquals } from "@std/assert";
import { parseRecording, Player } from "../../src/simulator/recording.ts";
import { readTicker } from "../../src/simulator/coinbase.ts";
import { productOf, tradeAt } from "./trades.ts";

const START_MS = Date.UTC(2026, 0, 1);
const [first, second] = [
  tradeAt(productOf("BTC-USD", 1, 0), START_MS * 1000).text,
  tradeAt(productOf("ETH-USD", 1, 0), (START_MS + 500) * 1000).text,
];

Deno.test("parseRecording() takes the time of a plain message from the message", () => {
  const frames = parseRecording(`${first}\n\nnot JSON\n${second}\n{"type":"subscriptions","channels":[]}\n`);
  assertEquals(frames.map(({ at }) => at - START_MS), [0, 500, 500]);
  assertEquals(frames.slice(0, 2).map(({ text }) => text), [first, second]);
});

Deno.test("parseRecording() keeps messages with an arrival time byte for byte", () => {
  const spaced = first.replace('"price":', '"price": ').replace("}", ',"extra":1.10}');
  const frames = parseRecording(`{"at":1618677817.25,"data":${first}}\n{"at": 1618677818, "data": ${spaced}}`);
  assertEquals(frames, [{ at: 1_618_677_817_250, text: first }, { at: 1_618_677_818_000, text: spaced }]);
});

Deno.test("Player plays tickers only, in order, at a multiple of the recorded speed", () => {
  const frames = [
    { at: 1000, text: first },
    { at: 1100, text: `{"type":"subscriptions","channels":[]}` },
    { at: 2000, text: second },
    { at: 1900, text: first },
  ];
  const player = new Player({ frames, speed: 10 }, readTicker);
  assertEquals([player.products, player.total], [["BTC-USD", "ETH-USD"], 3]);
  const take = (now: number) => player.take(now)?.text;
  assertEquals(take(1e9), undefined, "not started yet");
  player.start(50);
  player.start(5000);
  assertEquals([take(50), take(50), take(149), take(150), take(150), take(150)], [
    first,
    undefined,
    undefined,
    second,
    first,
    undefined,
  ]);
  assertEquals(player.played, 3);
});
