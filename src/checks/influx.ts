// InfluxDB 2 by its HTTP API, only reading, and the stages that check it.

import { systemClock } from "../core/clock.ts";
import { AHEAD_SECONDS, checkFreshness, type Expected } from "./freshness.ts";
import { request } from "./http.ts";
import type { InfluxServer } from "./servers.ts";
import { type Finding, ok, Problem } from "./stage.ts";

/** InfluxDB has answered a request with an error. */
export class InfluxRefusal extends Error {
  override name = "InfluxRefusal";
  /** Status of the HTTP answer. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** A bucket as InfluxDB describes it. */
export interface Bucket {
  /** Sixteen hexadecimal digits. */
  readonly id: string;
  readonly name: string;
  /** How long points are kept; without a rule forever. */
  readonly retentionRules?: readonly { readonly everySeconds?: number }[];
}

interface Permission {
  readonly action: string;
  readonly resource: { readonly type: string; readonly id?: string };
}

/** One server, read with one token. */
export class Influx {
  readonly server: InfluxServer;

  constructor(server: InfluxServer) {
    this.server = server;
  }

  /** The answer, with its body still open. Throws an InfluxRefusal, or a Problem if there is no answer. */
  async open(
    path: string,
    signal: AbortSignal,
    init: RequestInit = {},
    token: string = this.server.token,
  ): Promise<Response> {
    const { url } = this.server;
    const response = await request(
      `${url}${path}`,
      {
        name: `InfluxDB at ${url}`,
        cause: "InfluxDB is not running, or has another address",
        cure:
          "start InfluxDB (the stack: deno task stack:status, deno task stack:logs influxdb), or correct INFLUX_URL",
      },
      signal,
      { ...init, headers: { "authorization": `Token ${token}`, "content-type": "application/json" } },
    );
    if (response.ok) return response;
    const text = await response.text();
    let words = text.trim().slice(0, 200);
    try {
      words = String(JSON.parse(text).message ?? words);
    } catch {
      // not JSON: shown as it is
    }
    throw new InfluxRefusal(response.status, `${response.status} ${words}`);
  }

  /** Undefined: there is no such bucket, or the token may not see it. */
  async bucket(signal: AbortSignal): Promise<Bucket | undefined> {
    const { bucket: name, org } = this.server;
    try {
      const response = await this.open(`/api/v2/buckets?${new URLSearchParams({ name, org })}`, signal);
      const { buckets } = await response.json() as { buckets?: readonly Bucket[] };
      return buckets?.find((each) => each.name === name);
    } catch (error) {
      if (error instanceof InfluxRefusal && error.status === 404) return undefined;
      throw error;
    }
  }

  /**
   * Runs a Flux query on the bucket. The answer is CSV, still open: before each table there is a line of column names.
   *
   * @param flux what follows `from(bucket: ...)`
   */
  async query(flux: string, signal: AbortSignal): Promise<Response> {
    const { org, bucket } = this.server;
    const query = `from(bucket: ${fluxText(bucket)}) ${flux}`;
    const body = JSON.stringify({ query, dialect: { header: true, annotations: [], delimiter: "," } });
    return await this.open(`/api/v2/query?${new URLSearchParams({ org })}`, signal, { method: "POST", body });
  }

  /** The same for small answers: one object per row, by column name. */
  async rows(flux: string, signal: AbortSignal): Promise<Record<string, string>[]> {
    const rows: Record<string, string>[] = [];
    let names: readonly string[] | undefined;
    for (const cells of csvOf(await (await this.query(flux, signal)).text())) {
      if (cells.length === 1 && cells[0] === "") names = undefined;
      else if (names === undefined) names = cells;
      else {
        const row = Object.fromEntries(names.map((name, at) => [name, cells[at] ?? ""]));
        if (row.error !== undefined && row.reference !== undefined) throw new InfluxRefusal(200, row.error);
        rows.push(row);
      }
    }
    return rows;
  }
}

/** A text in Flux, with its quotes. */
export function fluxText(text: string): string {
  return `"${text.replace(/[\\"]/g, "\\$&").replaceAll("${", "\\${")}"`;
}

/** RFC 4180: quoted cells may contain commas, line ends and doubled quotes. */
function* csvOf(text: string): Generator<string[]> {
  let cells: string[] = [];
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/y;
  while (cell.lastIndex < text.length) {
    const match = cell.exec(text);
    if (match === null) return;
    cells.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? "");
    if (match[3] === ",") continue;
    yield cells;
    cells = [];
  }
}

/** It is running. */
export async function checkInflux(influx: Influx, signal: AbortSignal): Promise<Finding> {
  const { url } = influx.server;
  const since = systemClock.elapsed();
  try {
    const { status, version } = await (await influx.open("/health", signal)).json();
    if (status !== "pass") throw new InfluxRefusal(200, `its health is ${status}`);
    return ok(`${url} answers after ${Math.round(systemClock.elapsed() - since)} ms, version ${version}`, { version });
  } catch (error) {
    if (!(error instanceof InfluxRefusal) && !(error instanceof SyntaxError)) throw error;
    throw new Problem(
      `${url}: ${error.message}`,
      "this is not InfluxDB, or InfluxDB is not healthy",
      "correct INFLUX_URL, or look at InfluxDB's log",
    );
  }
}

/** Our token may read the bucket, and Telegraf's and Grafana's have the rights they need, as far as we can see them. */
export async function checkToken(influx: Influx, isStack: boolean, signal: AbortSignal): Promise<Finding> {
  const { bucket: name, org, tokenFrom, writeToken } = influx.server;
  const words = [`the token of ${tokenFrom} may read ${name}`];
  let bucket: Bucket | undefined;
  try {
    bucket = await influx.bucket(signal);
    await influx.rows("|> range(start: -1m) |> limit(n: 1)", signal);
  } catch (error) {
    if (!(error instanceof InfluxRefusal)) throw error;
    const isUnknown = error.status === 401;
    throw new Problem(
      `the token of ${tokenFrom} may not read the bucket ${name} of ${org}: ${error.message}`,
      isUnknown
        ? "InfluxDB does not know the token: it was changed or deleted, or the file was changed after InfluxDB's first start"
        : "there is no such bucket, or the token may not read it (InfluxDB does not say which)",
      isUnknown
        ? 'use a token that InfluxDB knows; the stack: docs/stack.md, "Changed passwords"'
        : "correct INFLUX_ORG and INFLUX_BUCKET, or create a token that may read it: influx auth create --read-bucket ID",
    );
  }
  if (writeToken !== undefined) {
    try {
      // an empty write needs the right to write, and writes nothing
      const path = `/api/v2/write?${new URLSearchParams({ org, bucket: name })}`;
      await (await influx.open(path, signal, { method: "POST", body: "" }, writeToken)).body?.cancel();
      words.push("Telegraf's may write to it");
    } catch (error) {
      if (!(error instanceof InfluxRefusal)) throw error;
      throw new Problem(
        `the token of INFLUX_WRITE_TOKEN may not write to ${name}: ${error.message}`,
        "it was deleted, or created for another bucket or only for reading; Telegraf keeps its records and retries forever",
        "create a token that may write to it: influx auth create --write-bucket ID; the stack: deno task stack",
      );
    }
  }
  const rights = isStack && bucket !== undefined ? await stackRights(influx, bucket, signal) : undefined;
  if (rights !== undefined) {
    const missing = ["telegraf may write", "grafana may read"].filter((right) => !rights.has(right));
    if (missing.length > 0) {
      throw new Problem(
        missing.map((right) => `InfluxDB has no active token with which ${right} ${name}`).join("; "),
        "the token was deleted or deactivated, or the bucket was created again, which deletes its tokens",
        "deno task stack (it creates a new token)",
      );
    }
    words.push("Telegraf's may write, Grafana's may read");
  }
  return ok(words.join("; "));
}

/** What the tokens made by init-influx may do with the bucket: `telegraf may write`. Undefined: we may not see them. */
async function stackRights(influx: Influx, bucket: Bucket, signal: AbortSignal): Promise<Set<string> | undefined> {
  try {
    const { authorizations = [] } = await (await influx.open("/api/v2/authorizations?limit=1000", signal)).json() as {
      authorizations?: { status: string; description?: string; permissions?: readonly Permission[] }[];
    };
    return new Set(authorizations.flatMap(({ status, description = "", permissions = [] }) => {
      const [, owner] = /^(telegraf|grafana), made by init-influx$/.exec(description) ?? [];
      if (owner === undefined || status !== "active") return [];
      return permissions.filter(({ resource }) => resource.type === "buckets" && resource.id === bucket.id)
        .map(({ action }) => `${owner} may ${action}`);
    }));
  } catch (error) {
    if (error instanceof InfluxRefusal && [401, 403, 404].includes(error.status)) return undefined;
    throw error;
  }
}

/** The newest point of each product is not behind the earlier stages. */
export function checkPoints(influx: Influx, expected: Expected, signal: AbortSignal): Promise<Finding> {
  // reads only the index and the end of each series; without `stop` a time in the future would hide the newest one
  const flux = `|> range(start: -7d, stop: ${AHEAD_SECONDS}s)
    |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price")
    |> last() |> keep(columns: ["_time", "product"])`;
  const readFrom = expected.now() / 1000 - 7 * 86_400;
  return checkFreshness(
    {
      name: influx.server.bucket,
      // Telegraf writes once a second
      delayMs: 5000,
      async read() {
        const newest = new Map<string, number>();
        for (const { product, _time: time = "" } of await influx.rows(flux, signal)) {
          if (product !== undefined) newest.set(product, Math.max(newest.get(product) ?? 0, Date.parse(time) / 1000));
        }
        return { newest, readFrom };
      },
      explain: (isEmpty) => ({
        cause: isEmpty
          ? "Telegraf has never written to this bucket, or InfluxDB rejects its points"
          : "Telegraf is not running, its token may not write, or InfluxDB rejects its points",
        cure:
          "look at Telegraf's log (the stack: deno task stack:logs telegraf), and compare INFLUX_BUCKET with its bucket",
      }),
    },
    expected,
    signal,
  );
}
