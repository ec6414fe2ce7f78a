// A quicker way to write a Produce request than that of kafkajs 2.2.4, which makes a buffer for each number of variable
// length and copies all messages of a partition once for each of them. The bytes are the same; a test holds both together.
// What it does not know (compression, tombstones, buffers, transactions) is left to kafkajs.

import { Buffer } from "node:buffer";
import type kafkajs from "kafkajs";

/** The version whose bytes it writes; every other one is left alone. */
export const KAFKAJS_VERSION = "2.2.4";

/** A message as our sinks make it. */
export interface PlainMessage {
  /** Names the partition. */
  readonly key: string;
  /** The record. */
  readonly value: string;
  /** Milliseconds since the epoch, as decimal text. */
  readonly timestamp: string;
  /** Names and values. */
  readonly headers: Readonly<Record<string, string>>;
}

/** One message in the place of many with the same key, so that kafkajs looks at each key and not at each message. */
interface Bundle extends kafkajs.Message {
  readonly bundled: PlainMessage[];
  /** Where each stood among all. */
  readonly places: number[];
}

/** What kafkajs knows of a request. */
export interface ProduceArguments {
  /** -1: all in-sync replicas. */
  readonly acks: number;
  /** Ms. */
  readonly timeout: number;
  /** 0: none. */
  readonly compression?: number;
  /** Of a transaction. */
  readonly transactionalId?: string | null | undefined;
  /** Of an idempotent producer. */
  readonly producerId?: unknown;
  /** Of an idempotent producer. */
  readonly producerEpoch?: number;
  /** Messages by topic and partition. */
  readonly topicData: readonly {
    readonly topic: string;
    readonly partitions: readonly {
      readonly partition: number | string;
      readonly firstSequence?: number;
      readonly messages: readonly kafkajs.Message[];
    }[];
  }[];
}

/** The messages as one bundle for each key; `encodeProduce()` brings those of a partition back in their order. */
export function bundle(messages: readonly PlainMessage[]): kafkajs.Message[] {
  const byKey = new Map<string, Bundle>();
  messages.forEach((message, place) => {
    const { key } = message;
    let same = byKey.get(key);
    if (same === undefined) byKey.set(key, same = { key, value: "", bundled: [], places: [] });
    same.bundled.push(message);
    same.places.push(place);
  });
  return [...byKey.values()];
}

function unbundle(messages: readonly kafkajs.Message[]): readonly kafkajs.Message[] {
  const bundles = messages as readonly Partial<Bundle>[];
  if (bundles.some(({ bundled }) => bundled === undefined)) return messages;
  const last = bundles.reduce((highest, { places }) => Math.max(highest, places?.at(-1) ?? 0), 0);
  const ordered = new Array<PlainMessage | undefined>(last + 1).fill(undefined);
  for (const { bundled = [], places = [] } of bundles) {
    for (let i = 0; i < bundled.length; i++) ordered[places[i] as number] = bundled[i];
  }
  return ordered.filter((message) => message !== undefined);
}

function isPlain(message: kafkajs.Message | PlainMessage): message is PlainMessage {
  const { key, value, timestamp, headers } = message;
  if (typeof key !== "string" || typeof value !== "string" || typeof timestamp !== "string") return false;
  if (headers === undefined) return false;
  for (const name in headers) {
    if (typeof headers[name] !== "string") return false;
  }
  return Number.isSafeInteger(Number(timestamp));
}

const CRC = crcTables();

/** CRC-32C, eight bytes at a time. */
function crcTables(): Uint32Array[] {
  const tables = [new Uint32Array(256)];
  const [first] = tables as [Uint32Array];
  for (let i = 0; i < 256; i++) {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82F63B78 : crc >>> 1;
    first[i] = crc >>> 0;
  }
  for (let n = 1; n < 8; n++) {
    const before = tables[n - 1] as Uint32Array;
    tables.push(before.map((crc) => ((crc >>> 8) ^ (first[crc & 255] as number)) >>> 0));
  }
  return tables;
}

function crc32c(bytes: Uint8Array, start: number, end: number): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = CRC as unknown as [
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
  ];
  const at = (i: number) => bytes[i] as number;
  const of = (table: Uint32Array, i: number) => table[i & 255] as number;
  let crc = -1;
  let i = start;
  for (; i + 8 <= end; i += 8) {
    crc ^= at(i) | at(i + 1) << 8 | at(i + 2) << 16 | at(i + 3) << 24;
    crc = of(t7, crc) ^ of(t6, crc >>> 8) ^ of(t5, crc >>> 16) ^ of(t4, crc >>> 24) ^
      of(t3, at(i + 4)) ^ of(t2, at(i + 5)) ^ of(t1, at(i + 6)) ^ of(t0, at(i + 7));
  }
  for (; i < end; i++) crc = (crc >>> 8) ^ of(t0, crc ^ at(i));
  return ~crc >>> 0;
}

/** Bytes of a text as UTF-8. */
function bytesOf(text: string): number {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 127) return Buffer.byteLength(text);
  }
  return text.length;
}

/** Bytes of a number in Kafka's variable form (zigzag, seven bits a byte). */
function bytesOfVarint(value: number): number {
  let rest = value >= 0 ? value * 2 : -value * 2 - 1;
  let bytes = 1;
  while (rest >= 128) {
    rest = Math.floor(rest / 128);
    bytes++;
  }
  return bytes;
}

function bytesOfText(text: string): number {
  const bytes = bytesOf(text);
  return bytesOfVarint(bytes) + bytes;
}

/** Writes one after the other into a buffer that is large enough. */
class Writer {
  readonly buffer: Buffer;
  offset = 0;

  constructor(bytes: number) {
    this.buffer = Buffer.allocUnsafe(bytes);
  }

  int8(value: number): void {
    this.offset = this.buffer.writeInt8(value, this.offset);
  }

  int16(value: number): void {
    this.offset = this.buffer.writeInt16BE(value, this.offset);
  }

  int32(value: number): void {
    this.offset = this.buffer.writeInt32BE(value, this.offset);
  }

  int64(value: number): void {
    this.offset = this.buffer.writeBigInt64BE(BigInt(value), this.offset);
  }

  varint(value: number): void {
    let rest = value >= 0 ? value * 2 : -value * 2 - 1;
    while (rest >= 128) {
      this.buffer[this.offset++] = rest % 128 | 128;
      rest = Math.floor(rest / 128);
    }
    this.buffer[this.offset++] = rest;
  }

  /** With its length before it, in the variable form. */
  text(text: string): void {
    const bytes = bytesOf(text);
    this.varint(bytes);
    if (bytes !== text.length) {
      this.offset += this.buffer.write(text, this.offset, bytes, "utf8");
      return;
    }
    const { buffer, offset } = this;
    for (let i = 0; i < bytes; i++) buffer[offset + i] = text.charCodeAt(i);
    this.offset += bytes;
  }
}

/** A record without its length. */
function bytesOfRecord(message: PlainMessage, timestampDelta: number, offsetDelta: number): number {
  let headers = 0;
  let bytes = 1 + bytesOfVarint(timestampDelta) + bytesOfVarint(offsetDelta) + bytesOfText(message.key) +
    bytesOfText(message.value);
  for (const name in message.headers) {
    headers++;
    bytes += bytesOfText(name) + bytesOfText(message.headers[name] as string);
  }
  return bytes + bytesOfVarint(headers);
}

/** The producer is not idempotent. */
const NO_PRODUCER = -1;
/** A batch's head, from its first offset to the count of its records. */
const BATCH_HEAD = 61;

/** The payload of a Produce request, version 3 to 7; undefined for what is left to kafkajs. */
export function encodeProduce(
  { acks, timeout, compression = 0, transactionalId, producerId, topicData }: ProduceArguments,
):
  | Buffer
  | undefined {
  if (compression !== 0 || transactionalId != null || producerId !== NO_PRODUCER) return undefined;
  const topics = [];
  let total = 2 + 2 + 4 + 4;
  for (const { topic, partitions } of topicData) {
    const batches = [];
    total += 2 + bytesOf(topic) + 4;
    for (const { partition, messages, firstSequence } of partitions) {
      if ((firstSequence ?? 0) !== 0 || messages.length === 0) return undefined;
      const plain = unbundle(messages);
      if (!plain.every(isPlain)) return undefined;
      // kafkajs compares them as texts
      let first = plain[0]?.timestamp ?? "0", last = first;
      for (const { timestamp } of plain) {
        if (timestamp < first) first = timestamp;
        else if (timestamp > last) last = timestamp;
      }
      const since = Number(first);
      const deltas = plain.map(({ timestamp }) => Number(timestamp) - since);
      const sizes = plain.map((message, i) => bytesOfRecord(message, deltas[i] as number, i));
      const bytes = sizes.reduce((sum, size) => sum + bytesOfVarint(size) + size, BATCH_HEAD);
      total += 4 + 4 + bytes;
      batches.push({ partition: Number(partition), plain, since, last: Number(last), deltas, sizes, bytes });
    }
    topics.push({ topic, batches });
  }

  const writer = new Writer(total);
  writer.int16(-1);
  writer.int16(acks);
  writer.int32(timeout);
  writer.int32(topics.length);
  for (const { topic, batches } of topics) {
    writer.int16(bytesOf(topic));
    writer.offset += writer.buffer.write(topic, writer.offset, "utf8");
    writer.int32(batches.length);
    for (const { partition, plain, since, last, deltas, sizes, bytes } of batches) {
      writer.int32(partition);
      writer.int32(bytes);
      const start = writer.offset;
      writer.int64(0);
      writer.int32(bytes - 12);
      // leader epoch, magic byte, and room for the checksum
      writer.int32(0);
      writer.int8(2);
      writer.int32(0);
      // attributes, last offset, times; producer id, epoch and sequence: none
      writer.int16(0);
      writer.int32(plain.length - 1);
      writer.int64(since);
      writer.int64(last);
      writer.int64(NO_PRODUCER);
      writer.int16(0);
      writer.int32(0);
      writer.int32(plain.length);
      for (let i = 0; i < plain.length; i++) {
        const { key, value, headers } = plain[i] as PlainMessage;
        writer.varint(sizes[i] as number);
        writer.int8(0);
        writer.varint(deltas[i] as number);
        writer.varint(i);
        writer.text(key);
        writer.text(value);
        const names = Object.keys(headers);
        writer.varint(names.length);
        for (const name of names) {
          writer.text(name);
          writer.text(headers[name] as string);
        }
      }
      writer.buffer.writeUInt32BE(crc32c(writer.buffer, start + 21, writer.offset), start + 17);
    }
  }
  return writer.buffer;
}

/** A request as kafkajs hands it to a connection. */
interface Request {
  encode(): Promise<unknown>;
}

type Protocol = (args: ProduceArguments) => { readonly request: Request; readonly response: unknown };

/** Leaves everything to kafkajs, but takes bundles apart first. */
function withoutBundles(args: ProduceArguments): ProduceArguments {
  return {
    ...args,
    topicData: args.topicData.map(({ topic, partitions }) => ({
      topic,
      partitions: partitions.map((each) => ({ ...each, messages: unbundle(each.messages) })),
    })),
  };
}

let speedingUp: Promise<string | undefined> | undefined;

/**
 * Puts `encodeProduce()` into kafkajs; call it before the first send, again is harmless. Gives a sentence where that kafkajs
 * is another one than we know: bundles must not be sent then.
 */
export function speedUpKafkajs(): Promise<string | undefined> {
  return speedingUp ??= speedUp();
}

async function speedUp(): Promise<string | undefined> {
  const [about, produce, encoder] = await Promise.all([
    import("kafkajs/package.json", { with: { type: "json" } }),
    import("kafkajs/src/protocol/requests/produce/index.js"),
    import("kafkajs/src/protocol/encoder.js"),
  ]);
  const { version } = about.default;
  if (version !== KAFKAJS_VERSION) {
    return `Cannot speed up kafkajs as it must be version ${KAFKAJS_VERSION}: this is ${version}`;
  }
  const definition: { protocol(args: { version: number }): Protocol } = produce.default;
  const Encoder: new (bytes: number) => { buf: Buffer; offset: number } = encoder.default;
  const original = definition.protocol;
  definition.protocol = ({ version }) => {
    const make = original({ version });
    return (args) => {
      if (version < 3) return make(withoutBundles(args));
      const { request, response } = make(args);
      const encode = (): Promise<unknown> => {
        const bytes = encodeProduce(args);
        if (bytes === undefined) return make(withoutBundles(args)).request.encode();
        const encoded = new Encoder(1);
        encoded.buf = bytes;
        encoded.offset = bytes.length;
        return Promise.resolve(encoded);
      };
      return { request: { ...request, encode }, response };
    };
  };
  return undefined;
}
