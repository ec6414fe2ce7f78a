// Stock kafkajs alone, in a separate process, because the pipeline replaces a part of kafkajs. Arguments: broker, seconds. Prints
// records per second.

import kafkajs from "kafkajs";
import { coinbase } from "../../src/exchanges/coinbase.ts";
import { tickId, toRecord } from "../../src/core/record.ts";
import { frameText } from "./frames.ts";

const [broker = "", seconds = "10"] = Deno.args;
const WARM_SECONDS = 2;
const BATCH = 500;
const RECORDS = 80_000;

const messages = Array.from({ length: RECORDS }, (_, i) => {
  const [tick] = coinbase.decode(frameText(i)).ticks;
  if (tick === undefined) throw new Error(`Frame ${i} gives no tick`);
  return {
    key: tick.product,
    value: toRecord(tick),
    headers: { id: tickId(tick), trade: String(tick.tradeId) },
    timestamp: String(Math.floor(tick.exchangeTimeUs / 1000)),
  };
});
const producer = new kafkajs.Kafka({ brokers: [broker], clientId: "bench", logLevel: kafkajs.logLevel.NOTHING })
  .producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner, maxInFlightRequests: 1 });
await producer.connect();

/** Records per second, with one request in flight. */
async function produce(forSeconds: number): Promise<number> {
  const since = performance.now();
  let sent = 0;
  for (; performance.now() - since < forSeconds * 1000; sent += BATCH) {
    const start = sent % RECORDS;
    await producer.send({ topic: "alone", acks: -1, messages: messages.slice(start, start + BATCH) });
  }
  return sent / (performance.now() - since) * 1000;
}

await produce(WARM_SECONDS);
const rate = await produce(Number(seconds));
await producer.disconnect();
Deno.stdout.writeSync(new TextEncoder().encode(`${rate}\n`));
Deno.exit(0);
