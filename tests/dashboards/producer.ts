// What the producer and Telegraf tell of themselves, as Telegraf stores it: known data for the queries of *Pipeline* and of the
// alerts.

/** One number of one series at one moment. */
export interface Sample {
  /** Seconds since the epoch. */
  readonly at: number;
  readonly field: string;
  readonly value: number;
  readonly tags?: Readonly<Record<string, string>>;
}

const escaped = (text: string) => text.replace(/[ ,=]/g, "\\$&");
const tagsOf = (tags: Readonly<Record<string, string>>) =>
  Object.entries(tags).map(([name, value]) => `,${name}=${escaped(value)}`).join("");

/** The address of the producer of the stack; the tag `url` of what another one tells is given with the other tags. */
export const PRODUCER = "http://coinbase-producer:8000/metrics";

/** Line protocol, as inputs.prometheus makes it: every number a float. */
export function metricLine({ at, field, value, tags = {} }: Sample): string {
  return `prometheus${tagsOf({ url: PRODUCER, ...tags })} ${field}=${value} ${Math.round(at * 1000)}000000`;
}

/** Line protocol, as inputs.internal makes it: whole numbers. */
export function telegrafLine({ at, field, value, tags = {} }: Sample): string {
  return `internal_write${
    tagsOf({ alias: "records", output: "influxdb_v2", version: "1.39.3", ...tags })
  } ${field}=${value}i ${Math.round(at * 1000)}000000`;
}

/** Line protocol, as inputs.internal makes it of an input: how many errors it has had so far. */
export function gatherLine(at: number, input: string, errors: number): string {
  return `internal_gather${tagsOf({ input, version: "1.39.3" })} errors=${errors}i ${Math.round(at * 1000)}000000`;
}

/** Line protocol, as telegraf.conf makes it where it compares what is read with what the producer told. */
export function readLine(at: number, product: string, behind: number, telegraf?: string): string {
  const tags = tagsOf({ product, ...telegraf === undefined ? {} : { telegraf } });
  return `feed_read${tags} behind_seconds=${behind} ${Math.round(at * 1000)}000000`;
}

/** Line protocol, as telegraf.conf makes it of a record that is none. */
export function rejectedLine(at: number, reason: string): string {
  return `ticker_rejected reason=${JSON.stringify(reason)},record="x" ${Math.round(at * 1000)}000000`;
}

/** A tick as a stored point. */
export function tickLine(at: number, product: string, price = 1): string {
  return `kafka_consumer,product=${escaped(product)} price=${price} ${Math.round(at * 1e6)}000`;
}
