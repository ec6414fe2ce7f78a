// Encodes Produce requests faster than kafkajs 2.2.4, which allocates a buffer for each number of variable length and copies all
// messages of a partition once for each of them. The bytes are the same; a test compares them. Requests with compression or
// transactions, and messages that are not bundles, are left to kafkajs.
// The format: https://kafka.apache.org/documentation/#recordbatch

import { Buffer } from "node:buffer";
import type kafkajs from "kafkajs";

/** A message as our sink makes it. */
export interface PlainMessage {
  /** Decides the partition. */
  readonly key: string;
  /** The record. */
  readonly value: string;
  /** ms since the epoch, as decimal text. */
  readonly timestamp: string;
  /** Names and values. */
  readonly headers: Readonly<Record<string, string>>;
}

/** All messages with the same key as one message for kafkajs, which then has to choose a partition only once for each key. */
interface Bundle extends kafkajs.Message {
  readonly bundled: PlainMessage[];
  /** The index of each among all messages of the request. */
  readonly indexes: number[];
}

/** A Produce request of kafkajs. */
export interface ProduceArguments {
  /** -1: all in-sync replicas. */
  readonly acks: number;
  /** Ms. */
  readonly timeout: number;
  /** 0: none. */
  readonly compression?: number;
  /** Set in a transaction. */
  readonly transactionalId?: string | null | undefined;
  /** Set by an idempotent producer. */
  readonly producerId?: unknown;
  /** Set by an idempotent producer. */
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

/** Returns one bundle for each key; `encodeProduce()` restores the order of the messages within a partition. */
export function bundle(messages: readonly PlainMessage[]): kafkajs.Message[] {
  const byKey = new Map<string, Bundle>();
  messages.forEach((message, index) => {
    const { key } = message;
    let same = byKey.get(key);
    if (same === undefined) byKey.set(key, same = { key, value: "", bundled: [], indexes: [] });
    same.bundled.push(message);
    same.indexes.push(index);
  });
  return [...byKey.values()];
}

/** The messages of one partition in their order; undefined if they are not bundles. */
function unbundle(messages: readonly (kafkajs.Message | Bundle)[]): PlainMessage[] | undefined {
  let count = 0;
  for (const message of messages) {
    if (!("bundled" in message)) return undefined;
    count = Math.max(count, (message.indexes.at(-1) ?? 0) + 1);
  }
  const ordered = new Array<PlainMessage | undefined>(count).fill(undefined);
  for (const { bundled, indexes } of messages as readonly Bundle[]) {
    for (let i = 0; i < bundled.length; i++) ordered[indexes[i] as number] = bundled[i];
  }
  // the bundles of other partitions leave holes
  return ordered.filter((message) => message !== undefined);
}

/** The request with plain messages, which kafkajs can encode. */
export function withoutBundles(args: ProduceArguments): ProduceArguments {
  return {
    ...args,
    topicData: args.topicData.map(({ topic, partitions }) => ({
      topic,
      partitions: partitions.map((each) => ({ ...each, messages: unbundle(each.messages) ?? each.messages })),
    })),
  };
}

/** Table `n` (256 entries from `n * 256` on) is for a byte that `n` more bytes follow. */
const CRC_TABLES = crcTables();

function crcTables(): Uint32Array {
  const tables = new Uint32Array(8 * 256);
  for (let i = 0; i < 256; i++) {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82F63B78 : crc >>> 1;
    tables[i] = crc;
  }
  for (let i = 256; i < tables.length; i++) {
    const crc = tables[i - 256] as number;
    tables[i] = (crc >>> 8) ^ (tables[crc & 255] as number);
  }
  return tables;
}

/** CRC-32C of the bytes from `start` (included) to `end` (excluded), eight bytes at a time. */
function crc32c(bytes: Uint8Array, start: number, end: number): number {
  const at = (i: number) => bytes[i] as number;
  const table = (n: number, byte: number) => CRC_TABLES[n * 256 + (byte & 255)] as number;
  let crc = -1;
  let i = start;
  for (; i + 8 <= end; i += 8) {
    crc ^= at(i) | at(i + 1) << 8 | at(i + 2) << 16 | at(i + 3) << 24;
    crc = table(7, crc) ^ table(6, crc >>> 8) ^ table(5, crc >>> 16) ^ table(4, crc >>> 24) ^
      table(3, at(i + 4)) ^ table(2, at(i + 5)) ^ table(1, at(i + 6)) ^ table(0, at(i + 7));
  }
  for (; i < end; i++) crc = (crc >>> 8) ^ table(0, crc ^ at(i));
  return ~crc >>> 0;
}

/** Length of a text in UTF-8, bytes. */
function utf8Length(text: string): number {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 127) return Buffer.byteLength(text);
  }
  return text.length;
}

/** Writes values one after the other into a buffer that grows. */
class Writer {
  buffer: Buffer;
  offset = 0;

  constructor(bytes: number) {
    this.buffer = Buffer.allocUnsafe(bytes);
  }

  #makeRoom(bytes: number): void {
    const needed = this.offset + bytes;
    if (needed <= this.buffer.length) return;
    const larger = Buffer.allocUnsafe(needed * 2);
    this.buffer.copy(larger, 0, 0, this.offset);
    this.buffer = larger;
  }

  int8(value: number): void {
    this.#makeRoom(1);
    this.offset = this.buffer.writeInt8(value, this.offset);
  }

  int16(value: number): void {
    this.#makeRoom(2);
    this.offset = this.buffer.writeInt16BE(value, this.offset);
  }

  int32(value: number): void {
    this.#makeRoom(4);
    this.offset = this.buffer.writeInt32BE(value, this.offset);
  }

  int64(value: number): void {
    this.#makeRoom(8);
    this.offset = this.buffer.writeBigInt64BE(BigInt(value), this.offset);
  }

  /** Kafka's varint: zigzag, seven bits a byte. */
  varint(value: number): void {
    this.#makeRoom(10);
    let rest = value >= 0 ? value * 2 : -value * 2 - 1;
    while (rest >= 128) {
      this.buffer[this.offset++] = rest % 128 | 128;
      rest = Math.floor(rest / 128);
    }
    this.buffer[this.offset++] = rest;
  }

  /** The bytes alone, in UTF-8. */
  utf8(text: string, length: number): void {
    this.#makeRoom(length);
    const { buffer, offset } = this;
    if (length !== text.length) buffer.write(text, offset, length, "utf8");
    else for (let i = 0; i < length; i++) buffer[offset + i] = text.charCodeAt(i);
    this.offset += length;
  }

  /** The length as varint, then the text. */
  text(text: string): void {
    const length = utf8Length(text);
    this.varint(length);
    this.utf8(text, length);
  }

  /** All bytes of another writer. */
  append({ buffer, offset }: Writer): void {
    this.#makeRoom(offset);
    buffer.copy(this.buffer, this.offset, 0, offset);
    this.offset += offset;
  }
}

/** The producer id of a producer that is not idempotent. */
const NO_PRODUCER = -1;
/** Usual length of one of our records, bytes. */
const USUAL_RECORD = 160;

/** The payload of a Produce request with bundles, versions 3 to 7; undefined if kafkajs must encode it. */
export function encodeProduce(args: ProduceArguments): Buffer | undefined {
  const { acks, timeout, compression = 0, transactionalId, producerId, topicData } = args;
  if (compression !== 0 || transactionalId != null || producerId !== NO_PRODUCER) return undefined;
  const topics = topicData.map(({ topic, partitions }) => ({
    topic,
    batches: partitions.map(({ partition, messages, firstSequence = 0 }) => ({
      partition: Number(partition),
      messages: firstSequence === 0 ? unbundle(messages) ?? [] : [],
    })),
  }));
  const batches = topics.flatMap((topic) => topic.batches);
  if (batches.some(({ messages }) => messages.length === 0)) return undefined;

  const writer = new Writer(1000 + batches.reduce((sum, { messages }) => sum + messages.length * USUAL_RECORD, 0));
  // no transactional id
  writer.int16(-1);
  writer.int16(acks);
  writer.int32(timeout);
  writer.int32(topics.length);
  for (const { topic, batches } of topics) {
    const length = utf8Length(topic);
    writer.int16(length);
    writer.utf8(topic, length);
    writer.int32(batches.length);
    for (const { partition, messages } of batches) {
      writer.int32(partition);
      const before = writer.offset;
      writer.int32(0);
      writeBatch(writer, messages);
      writer.buffer.writeInt32BE(writer.offset - before - 4, before);
    }
  }
  return writer.buffer.subarray(0, writer.offset);
}

function writeBatch(writer: Writer, messages: readonly PlainMessage[]): void {
  // compared as texts, as in kafkajs
  let first = messages[0]?.timestamp ?? "0", last = first;
  for (const { timestamp } of messages) {
    if (timestamp < first) first = timestamp;
    else if (timestamp > last) last = timestamp;
  }
  const firstMs = Number(first);
  const start = writer.offset;
  writer.int64(0);
  // the length, set below; leader epoch, magic byte; the checksum, set below
  writer.int32(0);
  writer.int32(0);
  writer.int8(2);
  writer.int32(0);
  // attributes, last offset, times; no producer id, epoch and sequence
  writer.int16(0);
  writer.int32(messages.length - 1);
  writer.int64(firstMs);
  writer.int64(Number(last));
  writer.int64(NO_PRODUCER);
  writer.int16(0);
  writer.int32(0);
  writer.int32(messages.length);
  const record = new Writer(2 * USUAL_RECORD);
  for (let i = 0; i < messages.length; i++) {
    const { key, value, timestamp, headers } = messages[i] as PlainMessage;
    record.offset = 0;
    record.int8(0);
    record.varint(Number(timestamp) - firstMs);
    record.varint(i);
    record.text(key);
    record.text(value);
    const names = Object.keys(headers);
    record.varint(names.length);
    for (const name of names) {
      record.text(name);
      record.text(headers[name] as string);
    }
    writer.varint(record.offset);
    writer.append(record);
  }
  writer.buffer.writeInt32BE(writer.offset - start - 12, start + 8);
  writer.buffer.writeUInt32BE(crc32c(writer.buffer, start + 21, writer.offset), start + 17);
}
