// Sends one record at a time to Kafka with stock kafkajs. Arguments: broker, seconds. Prints the milliseconds of each as JSON.

import kafkajs from "kafkajs";

const [broker = "", seconds = "10"] = Deno.args;
const WARM = 300;
/** Low enough that the broker is idle between two records. */
const PAUSE_MS = 5;

const producer = new kafkajs.Kafka({ brokers: [broker], clientId: "bench", logLevel: kafkajs.logLevel.NOTHING })
  .producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner, maxInFlightRequests: 1 });
await producer.connect();
const took: number[] = [];
const end = performance.now() + Number(seconds) * 1000;
for (let i = 0; performance.now() < end || i < 2 * WARM; i++) {
  const before = performance.now();
  const value = `{"product":"BTC-USD","w_time":${before},"price":37000.12}`;
  await producer.send({ topic: "single", acks: -1, messages: [{ key: "BTC-USD", value }] });
  if (i >= WARM) took.push(performance.now() - before);
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}
await producer.disconnect();
Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(took)));
Deno.exit(0);
