import { assertEquals } from "@std/assert";
import { parseRecording, Player } from "../../src/simulator/recording.ts";
import { Market } from "../../src/simulator/market.ts";

const market = new Market(["BTC-USD", "ETH-USD"], 1, 0);
const START_MS = Date.UTC(2026, 0, 1);
const [first, second] = [
  market.trade("BTC-USD", START_MS * 1000).text,
  market.trade("ETH-USD", (START_MS + 500) * 1000).text,
];

Deno.test("parseRecording() reads plain messages at their own time", () => {
  const frames = parseRecording(`${first}\n\nnot JSON\n${second}\n{"type":"subscriptions","channels":[]}\n`);
  assertEquals(frames.map(({ at }) => at - START_MS), [0, 500, 500]);
  assertEquals(frames.slice(0, 2).map(({ text }) => text), [first, second]);
});

Deno.test("parseRecording() reads messages with their time of arrival, byte for byte", () => {
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
  const player = new Player({ frames, speed: 10 });
  assertEquals([player.products, player.total], [["BTC-USD", "ETH-USD"], 3]);
  const take = (now: number) => player.take(now, 0)?.text;
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

Deno.test("Player puts the present in place of the recorded time when asked to", () => {
  const player = new Player({ frames: [{ at: 0, text: first }], speed: 1, retime: true });
  player.start(0);
  const trade = player.take(0, 1_790_000_000_000_000 + 5);
  const { time } = JSON.parse(trade?.text ?? "{}") as { time?: string };
  assertEquals([time, trade?.time], ["2026-09-21T14:13:20.000005Z", "2026-09-21T14:13:20.000005Z"]);
  assertEquals(JSON.parse(trade?.text ?? "{}"), { ...JSON.parse(first), time });
});
