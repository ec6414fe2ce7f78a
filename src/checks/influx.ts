// InfluxDB 2 by its HTTP API: asked, never changed. Beside that, the stages that look into it.

import { AHEAD_SECONDS, lookAtFreshness, type Place, type Wish } from "./freshness.ts";
import type { InfluxPlace } from "./places.ts";
import { requestTrouble } from "./probe.ts";
import { type Finding, ok, Trouble } from "./stage.ts";

/** An answer that says no. */
export class InfluxRefusal extends Error {
  /** Its class. */
  override name = "InfluxRefusal";
  /** Of the HTTP answer. */
  readonly status: number;

  /** What it said. */
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** As InfluxDB tells of it. */
export interface Bucket {
  /** Sixteen hexadecimal digits. */
  readonly id: string;
  /** As a person knows it. */
  readonly name: string;
  /** Whose it is. */
  readonly orgID: string;
  /** How long points are kept. */
  readonly retentionRules?: readonly { readonly everySeconds?: number }[];
}

interface Permission {
  readonly action: string;
  readonly resource: { readonly type: string; readonly id?: string };
}

/** One server with one token. */
export class Influx {
  readonly #place: InfluxPlace;

  /** Asks nothing yet. */
  constructor(place: InfluxPlace) {
    this.#place = place;
  }

  /** A request; the answer is open and says yes. Throws an InfluxRefusal, or a Trouble where nobody answers. */
  async open(
    path: string,
    signal: AbortSignal,
    { method = "GET", body, token = this.#place.token }: { method?: string; body?: string; token?: string } = {},
  ): Promise<Response> {
    const { url } = this.#place;
    let response: Response;
    try {
      response = await fetch(`${url}${path}`, {
        method,
        headers: { "authorization": `Token ${token}`, "content-type": "application/json" },
        signal,
        ...(body === undefined ? {} : { body }),
      });
    } catch (error) {
      signal.throwIfAborted();
      throw new Trouble(
        `InfluxDB at ${url}: ${requestTrouble(error)}`,
        "InfluxDB does not run, or its address is another one",
        "start it (the stack: deno task stack:status, deno task stack:logs influxdb); look at INFLUX_URL",
      );
    }
    if (response.ok) return response;
    const text = await response.text();
    let words = text.trim().slice(0, 200);
    try {
      words = String(JSON.parse(text).message ?? words);
    } catch {
      // it is no JSON: as it came
    }
    throw new InfluxRefusal(response.status, `${response.status} ${words}`);
  }

  /** The bucket; undefined: there is none, or the token may not see it. */
  async bucket(signal: AbortSignal): Promise<Bucket | undefined> {
    const { bucket: name, org } = this.#place;
    try {
      const response = await this.open(`/api/v2/buckets?${new URLSearchParams({ name, org })}`, signal);
      const { buckets } = await response.json() as { buckets?: readonly Bucket[] };
      return buckets?.find((each) => each.name === name);
    } catch (error) {
      if (error instanceof InfluxRefusal && error.status === 404) return undefined;
      throw error;
    }
  }

  /** How long the bucket keeps points, seconds; 0: for ever; undefined: we may not see it. */
  async retentionSeconds(signal: AbortSignal): Promise<number | undefined> {
    const found = await this.bucket(signal);
    return found === undefined ? undefined : found.retentionRules?.[0]?.everySeconds ?? 0;
  }

  /** Asks in Flux; the answer is CSV with a line of names before each table, open. */
  async query(flux: string, signal: AbortSignal): Promise<Response> {
    const body = JSON.stringify({ query: flux, dialect: { header: true, annotations: [], delimiter: "," } });
    const org = encodeURIComponent(this.#place.org);
    return await this.open(`/api/v2/query?org=${org}`, signal, { method: "POST", body });
  }

  /** Asks in Flux for a few rows, by column name, as text. */
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

/** RFC 4180: quoted cells may hold commas, line ends and doubled quotes. */
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

/** It runs. */
export async function lookAtInflux({ url }: InfluxPlace, influx: Influx, signal: AbortSignal): Promise<Finding> {
  const since = performance.now();
  try {
    const { status, version } = await (await influx.open("/health", signal)).json();
    if (status !== "pass") throw new InfluxRefusal(200, `its health is ${status}`);
    return ok(`${url} answers after ${Math.round(performance.now() - since)} ms, version ${version}`, { version });
  } catch (error) {
    if (!(error instanceof InfluxRefusal) && !(error instanceof SyntaxError)) throw error;
    throw new Trouble(
      `${url}: ${error.message}`,
      "something answers there that is no InfluxDB, or one that is not well",
      "look at INFLUX_URL, and at its log",
    );
  }
}

/** The token may read the bucket; Telegraf's and Grafana's may what they must, as far as that can be seen. */
export async function lookAtToken(
  place: InfluxPlace,
  influx: Influx,
  isStack: boolean,
  signal: AbortSignal,
): Promise<Finding> {
  const { bucket: name, org, tokenFrom, writeToken } = place;
  const words: string[] = [];
  let bucket: Bucket | undefined;
  try {
    bucket = await influx.bucket(signal);
    await influx.rows(`from(bucket: ${JSON.stringify(name)}) |> range(start: -1m) |> limit(n: 1)`, signal);
    words.push(`the token of ${tokenFrom} may read ${name}`);
  } catch (error) {
    if (!(error instanceof InfluxRefusal)) throw error;
    const unknown = error.status === 401;
    throw new Trouble(
      `the token of ${tokenFrom} may not read the bucket ${name} of ${org}: ${error.message}`,
      unknown
        ? "InfluxDB does not know the token: it was changed or deleted, or the file was changed after InfluxDB's first start"
        : "there is no such bucket, or the token has no right to read it; InfluxDB does not tell one from the other",
      unknown
        ? 'put in a token that it knows; the stack: docs/stack.md, "Changed passwords"'
        : "look at INFLUX_ORG and INFLUX_BUCKET; make a token that may read it: influx auth create --read-bucket ID",
    );
  }
  if (writeToken !== undefined) {
    try {
      // an empty write is allowed and writes nothing
      const names = new URLSearchParams({ org, bucket: name });
      await (await influx.open(`/api/v2/write?${names}`, signal, { method: "POST", body: "", token: writeToken })).body
        ?.cancel();
      words.push("Telegraf's may write to it");
    } catch (error) {
      if (!(error instanceof InfluxRefusal)) throw error;
      throw new Trouble(
        `the token of INFLUX_WRITE_TOKEN may not write to ${name}: ${error.message}`,
        "it was deleted, or made for another bucket, or for reading: Telegraf keeps what it has and tries again for ever",
        "make a token that may write to it: influx auth create --write-bucket ID; the stack: deno task stack",
      );
    }
  }
  const rights = isStack && bucket !== undefined ? await rightsOf(influx, bucket, signal) : undefined;
  if (rights !== undefined) {
    const wanted = [["telegraf", "write"], ["grafana", "read"]] as const;
    const lacking = wanted.filter(([who, right]) => rights.get(who)?.has(right) !== true);
    if (lacking.length > 0) {
      throw new Trouble(
        lacking.map(([who, right]) => `InfluxDB has no active token with which ${who} may ${right} ${name}`).join("; "),
        "it was deleted or switched off, or the bucket was made anew: its tokens went with it",
        "deno task stack makes a new one",
      );
    }
    words.push("Telegraf's may write, Grafana's may read");
  }
  return ok(words.join("; "));
}

/** What the tokens of init-influx may do with the bucket, by whose they are; undefined: we may not see them. */
async function rightsOf(
  influx: Influx,
  bucket: Bucket,
  signal: AbortSignal,
): Promise<Map<string, Set<string>> | undefined> {
  try {
    const { authorizations } = await (await influx.open("/api/v2/authorizations?limit=1000", signal)).json() as {
      authorizations?: { status: string; description?: string; permissions?: readonly Permission[] }[];
    };
    const rights = new Map<string, Set<string>>();
    for (const { status, description = "", permissions = [] } of authorizations ?? []) {
      const [, who] = /^(telegraf|grafana), made by init-influx$/.exec(description) ?? [];
      if (who === undefined || status !== "active") continue;
      const own = rights.get(who) ?? new Set();
      rights.set(who, own);
      for (const { action, resource } of permissions) {
        if (resource.type === "buckets" && resource.id === bucket.id) own.add(action);
      }
    }
    return rights;
  } catch (error) {
    if (error instanceof InfluxRefusal && [401, 403, 404].includes(error.status)) return undefined;
    throw error;
  }
}

/** The newest point of each product is not behind what is known to have happened. */
export function lookAtPoints(
  { bucket }: InfluxPlace,
  influx: Influx,
  wish: Wish,
  signal: AbortSignal,
): Promise<Finding> {
  // one read of the index and of the end of each series; what is of a time that has not come yet must not hide it
  const flux = `from(bucket: ${JSON.stringify(bucket)}) |> range(start: -7d, stop: ${AHEAD_SECONDS}s)
    |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price")
    |> last() |> keep(columns: ["_time", "product"])`;
  const seenFrom = wish.now() / 1000 - 7 * 86_400;
  const place: Place = {
    name: bucket,
    // Telegraf writes once a second
    onItsWayMs: 5000,
    async look() {
      const newest = new Map<string, number>();
      for (const { product, _time: time = "" } of await influx.rows(flux, signal)) {
        if (product !== undefined) newest.set(product, Math.max(newest.get(product) ?? 0, Date.parse(time) / 1000));
      }
      return { newest, seenFrom };
    },
    trouble: (isEmpty) => ({
      cause: isEmpty
        ? "Telegraf has never written to this bucket, or to another one, or InfluxDB refuses what it writes"
        : "Telegraf does not write what it reads: it does not run, its token lacks the right, or InfluxDB refuses the points",
      cure: "see Telegraf's log (the stack: deno task stack:logs telegraf), and compare INFLUX_BUCKET with its own",
    }),
  };
  return lookAtFreshness(place, wish, signal);
}
