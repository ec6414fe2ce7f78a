// The faster encoder writes the same bytes as kafkajs, whatever the request contains.

import { Buffer } from "node:buffer";
import { assert, assertEquals } from "@std/assert";
import { patchKafkajs } from "../../src/kafka/kafkajs_internals.ts";
import { bundle, encodeProduce, type PlainMessage, type ProduceArguments } from "../../src/kafka/produce_request.ts";
import { forSeeds, type Random } from "../fakes/random.ts";

// kafkajs reads NODE_ENV when it is loaded
const ignore = Deno.permissions.querySync({ name: "env", variable: "NODE_ENV" }).state !== "granted";
const skipped = ignore ? " [skipped: needs --allow-env]" : "";

/** What kafkajs makes of it. */
async function original(args: ProduceArguments): Promise<Uint8Array> {
  const { default: request } = await import("kafkajs/src/protocol/requests/produce/v7/request.js");
  return (await request(args).encode()).buffer;
}

function argumentsOf(messages: readonly PlainMessage[], more: Partial<ProduceArguments> = {}): ProduceArguments {
  return {
    acks: -1,
    timeout: 30_000,
    compression: 0,
    producerId: -1,
    producerEpoch: 0,
    topicData: [{ topic: "ticker_batch", partitions: [{ partition: 0, firstSequence: 0, messages: [...messages] }] }],
    ...more,
  };
}

/** The same request as our sink makes it. */
function bundled(args: ProduceArguments): ProduceArguments {
  return {
    ...args,
    topicData: args.topicData.map(({ topic, partitions }) => ({
      topic,
      partitions: partitions.map((each) => ({ ...each, messages: bundle(each.messages as PlainMessage[]) })),
    })),
  };
}

function messageOf(more: Partial<PlainMessage> = {}): PlainMessage {
  return {
    key: "BTC-USD",
    value: '{"product":"BTC-USD","w_time":1700000000,"price":37000.12}',
    timestamp: "1700000000123",
    headers: { id: "coinbase:BTC-USD:84737", trade: "5" },
    ...more,
  };
}

/** Letters of one, two, three and four bytes, and a half of a pair. */
const LETTERS = ["a", "-", '"', "\n", "\u0000", "ä", "₿", "漢", "🚀", "\ud83d"];

function textOf(random: Random, longest: number): string {
  const length = random.chance(0.1) ? 0 : random.int(1, longest);
  return Array.from({ length }, () => random.chance(0.7) ? "x" : random.pick(LETTERS)).join("");
}

function anyMessage(random: Random): PlainMessage {
  const headers: Record<string, string> = {};
  for (let i = random.int(0, 3); i > 0; i--) headers[textOf(random, 12)] = textOf(random, 30);
  return messageOf({
    key: random.pick(["BTC-USD", "ETH-USD", "kraken:BTC/USD", "ö", ""]),
    // lengths on both sides of 64 and 8192, where the variable form grows
    value: textOf(random, random.pick([3, 60, 66, 130, 8190, 9000])),
    timestamp: String(1_700_000_000_000 + random.int(-5000, random.pick([5, 5000, 2_000_000_000]))),
    headers,
  });
}

Deno.test({
  name: `encodeProduce() writes the bytes that kafkajs writes${skipped}`,
  ignore,
  async fn() {
    await forSeeds(60, async (random) => {
      const args: ProduceArguments = {
        ...argumentsOf([]),
        acks: random.pick([-1, 0, 1]),
        timeout: random.int(0, 2_000_000_000),
        topicData: Array.from({ length: random.int(1, 2) }, () => ({
          topic: textOf(random, 20),
          partitions: Array.from({ length: random.int(1, 3) }, (_, partition) => ({
            partition: random.chance(0.5) ? partition : String(partition),
            firstSequence: 0,
            messages: Array.from({ length: random.int(1, random.pick([3, 80, 300])) }, () => anyMessage(random)),
          })),
        })),
      };
      const own = encodeProduce(bundled(args));
      assert(own !== undefined);
      // a diff of kilobytes helps nobody
      assertEquals(Buffer.compare(own, await original(args)), 0);
    });
  },
});

Deno.test({
  name: `encodeProduce() restores the order within a partition, also without the bundles of another one${skipped}`,
  ignore,
  async fn() {
    const messages = ["a", "b", "a", "c", "b"].map((key, i) => messageOf({ key, value: String(i) }));
    const bundles = bundle(messages);
    assertEquals(bundles.map(({ key }) => key), ["a", "b", "c"]);
    const requestOf = (messages: ProduceArguments["topicData"][number]["partitions"][number]["messages"]) =>
      argumentsOf([], { topicData: [{ topic: "t", partitions: [{ partition: 0, messages }] }] });
    for (const keys of ["abc", "bc", "c"]) {
      const own = encodeProduce(requestOf(bundles.filter(({ key }) => keys.includes(String(key)))));
      assert(own !== undefined);
      const wanted = await original(requestOf(messages.filter(({ key }) => keys.includes(key))));
      assertEquals(Buffer.compare(own, wanted), 0, keys);
    }
  },
});

const LEFT: { what: string; args: ProduceArguments }[] = [
  { what: "compression", args: bundled(argumentsOf([messageOf()], { compression: 1 })) },
  { what: "a transaction", args: bundled(argumentsOf([messageOf()], { transactionalId: "t" })) },
  { what: "an idempotent producer", args: bundled(argumentsOf([messageOf()], { producerId: { low: 7 } })) },
  { what: "no message", args: argumentsOf([]) },
  { what: "plain messages", args: argumentsOf([messageOf(), messageOf()]) },
];
for (const { what, args } of LEFT) {
  Deno.test(`encodeProduce() leaves ${what} to kafkajs`, () => assertEquals(encodeProduce(args), undefined));
}

Deno.test({
  name:
    `kafkajs encodes with encodeProduce() once patched, and bundles that must be compressed as plain messages${skipped}`,
  ignore,
  async fn() {
    assertEquals(await Promise.all([patchKafkajs(), patchKafkajs()]), [undefined, undefined]);
    const { default: definition } = await import("kafkajs/src/protocol/requests/produce/index.js");
    const messages = ["a", "b", "a"].map((key, i) => messageOf({ key, value: String(i) }));
    const bundled = (compression: number) =>
      argumentsOf([], {
        compression,
        topicData: [{ topic: "t", partitions: [{ partition: 0, firstSequence: 0, messages: bundle(messages) }] }],
      });
    for (const version of [2, 3, 7]) {
      for (const compression of [0, 1]) {
        const plain = argumentsOf(messages, { compression });
        const { request, response } = definition.protocol({ version })(bundled(compression));
        const encoded = await request.encode();
        assert(encoded.buffer.length > 50);
        assertEquals(typeof response.decode, "function");
        if (version < 3) continue;
        const wanted = await original({
          ...plain,
          topicData: [{ ...plain.topicData[0], topic: "t" } as ProduceArguments["topicData"][number]],
        });
        assertEquals(Buffer.compare(encoded.buffer, wanted), 0, `version ${version}, compression ${compression}`);
        assertEquals(encoded.size(), wanted.length);
      }
    }
  },
});
