// The program itself by its status pages, its store as any reader opens it, and its page.

import { SinkError } from "../core/errors.ts";
import { seriesOf } from "../core/record.ts";
import { unpackTicks } from "../store/packing.ts";
import { openForReading } from "../store/database.ts";
import { Queries } from "../store/queries.ts";
import { pragma } from "../store/schema.ts";
import { closeQuietly, storeErrorOf } from "../store/store_error.ts";
import { briefly, lookAtFreshness, type Place, type Wish } from "./freshness.ts";
import { requestTrouble } from "./probe.ts";
import { broken, type Finding, ok, Trouble } from "./stage.ts";

/** What a program says that cannot write to its store as the disk is full; with what helps. */
const FULL_DISK = /\bstore (.+): the disk is full/;

function fullDisk(reasons: readonly string[]): { readonly cause: string; readonly cure: string } | undefined {
  for (const reason of reasons) {
    const [, store] = FULL_DISK.exec(reason) ?? [];
    if (store === undefined) continue;
    return {
      cause: "the disk of the store is full",
      cure: `make room on the disk of ${store} (df -h shows it); the program then goes on by itself`,
    };
  }
}

/** It answers and is ready. Puts what it lacks, in its words, into `reasons`. */
export async function lookAtProgram(
  url: string,
  isStack: boolean,
  reasons: string[],
  signal: AbortSignal,
): Promise<Finding> {
  const since = performance.now();
  const start = isStack
    ? "deno task stack:status, deno task stack:logs coinbase-producer"
    : "start it (deno task dev, or start), or look at PORT and PROGRAM_URL";
  let status: Record<string, unknown>;
  try {
    const response = await fetch(`${url}/api/status`, { signal });
    status = await response.json();
    if (!Array.isArray(status.sinks)) throw new SyntaxError("not as it would");
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw new Trouble(
        `${url} does not answer as the program does`,
        "another program has this port",
        "look at PORT and PROGRAM_URL",
      );
    }
    if (signal.aborted) {
      throw new Trouble(
        `${url} takes the connection and does not answer`,
        "the program hangs or is stopped (Ctrl-Z, a paused container), or another program has this port",
        `see its log; end it and start it again; ${start}`,
      );
    }
    throw new Trouble(`${url}: ${requestTrouble(error)}`, "the program does not run", start);
  }
  reasons.push(...(status.reasons as unknown[] | undefined ?? []).map(String));
  const sinks = status.sinks as {
    name: string;
    state: string;
    queueDepth: number;
    gapsTrouble?: string;
    throttled?: string;
  }[];
  const { received, sinks: counted } = Object(status.counters) as {
    received?: number;
    sinks?: Record<string, { dropped: number; lost: number }>;
  };
  const facts = { ready: status.ready, reasons, sinks, counters: status.counters };
  if (status.ready !== true) {
    const full = fullDisk(reasons);
    const isExchange = reasons.some((reason) => /^(?:no data from|nothing from)| sends no prices/.test(reason));
    const cause = isExchange
      ? "it has no data from the exchange, waits and tries again"
      : "one of the places that it writes to does not take what it has; it keeps and repeats it for as long as the queue lasts";
    return broken(
      `${url} is not ready: ${briefly(reasons, 4)}`,
      full?.cause ?? cause,
      full?.cure ?? "if a stage before this one is broken, that is why; else its log tells more",
      facts,
    );
  }
  const gone = Object.values(counted ?? {}).reduce((sum, { dropped, lost }) => sum + dropped + lost, 0);
  const waits = Math.max(0, ...sinks.map(({ queueDepth }) => queueDepth));
  const gaps = sinks.flatMap(({ name, gapsTrouble, throttled }) => [
    ...gapsTrouble === undefined ? [] : [`; gaps do not reach ${name}: ${gapsTrouble}`],
    ...throttled === undefined ? [] : [`; ${name} is throttled: ${throttled}`],
  ]);
  return ok(
    `${url} is ready after ${Math.round(performance.now() - since)} ms, to ${
      sinks.map(({ name }) => name).join(", ")
    }; ` +
      `${received ?? 0} ticks received, ${waits} waiting, ${gone} dropped or lost${gaps.join("")}`,
    facts,
  );
}

/** Larger ones are not read from end to end, bytes. */
const CHECKED_BYTES = 50e6;

/** A store that opens, is of our version, and is not damaged where one would notice. */
export async function lookAtStore(path: string): Promise<Finding> {
  // reading() says why, where it cannot be asked
  const size = await Deno.stat(path).then((stat) => stat.size, () => undefined);
  return reading(path, (db) => {
    const products = new Queries(db).products().length;
    const checked = (size ?? 0) <= CHECKED_BYTES;
    if (checked) {
      const said = Object.values(db.prepare("PRAGMA quick_check(1)").get() ?? {})[0];
      if (said !== "ok") {
        return broken(
          `the store ${path} is damaged: ${String(said).replace(/\s+/g, " ").slice(0, 200)}`,
          "its disk failed, or something else wrote into the file",
          DAMAGED,
        );
      }
    }
    const megabytes = ((size ?? 0) / 1e6).toFixed(1);
    return ok(
      `${path} opens: version ${pragma(db, "user_version")}, ${products} products, ${megabytes} MB, ${
        checked ? "whole" : "too large to be read from end to end"
      }`,
      { version: pragma(db, "user_version"), products, bytes: size },
    );
  });
}

const DAMAGED =
  "stop the program and start it again: it moves the file aside and begins a new one; or put a backup in its place " +
  "(deno task restore FILE)";

/**
 * The newest tick of each product in the store is not behind what the exchange says.
 *
 * @param reasons what the program lacks, in its words
 */
export function lookAtTicks(
  path: string,
  wish: Wish,
  reasons: readonly string[],
  signal: AbortSignal,
): Promise<Finding> {
  const place: Place = {
    name: path,
    onItsWayMs: 4000,
    look: () =>
      Promise.resolve(reading(path, (db) => ({
        newest: new Map(
          Array.from(
            unpackTicks(new Queries(db).lastTicks()),
            (tick) => [seriesOf(tick.exchange, tick.product), tick.exchangeTimeUs / 1e6],
          ),
        ),
      }))),
    trouble: () =>
      fullDisk(reasons) ?? {
        cause: "the program does not run, has no data from the exchange, or cannot write to its store",
        cure: "see its /api/status and its log; deno task dev starts it",
      },
  };
  return lookAtFreshness(place, wish, signal);
}

/** Opens, reads, closes; whatever fails becomes a Trouble. */
function reading<T>(path: string, read: (db: ReturnType<typeof openForReading>) => T): T {
  let db: ReturnType<typeof openForReading> | undefined;
  try {
    db = openForReading(path);
    return read(db);
  } catch (error) {
    const told = storeErrorOf(error, `read the store ${path}`);
    if (!(told instanceof SinkError)) throw told;
    const { message } = told;
    const [cause, cure] = /no such file/.test(message)
      ? [
        "the program has never run here, or keeps its store elsewhere",
        "deno task dev makes one; STORE_FILE names another place",
      ]
      : /locked/.test(message)
      ? ["another program holds it locked, perhaps a sqlite3 with an open transaction", "end that transaction"]
      : /expected a store of this program|damaged/.test(message)
      ? ["the file was overwritten or its disk failed", DAMAGED]
      : /hard links/.test(message)
      ? [
        "a hard link was made to it, perhaps as a backup: under another name the newest ticks are missing",
        `find the names (find / -xdev -samefile ${path}), keep the one with a -wal beside it, remove the others; ` +
        "deno task backup makes backups",
      ]
      : /deno task restore/.test(message)
      ? ["a backup was copied over the store by hand", `stop the program, then deno task restore ${path}`]
      : /expected version/.test(message)
      ? [
        "another version of the program has written it",
        "start that program once, it brings an older store to its own version",
      ]
      : ["the file or its folder cannot be read by this user", "look at its owner and rights"];
    throw new Trouble(message, cause, cure);
  } finally {
    if (db !== undefined) closeQuietly(db);
  }
}

/** The page and what it needs. */
export async function lookAtPage(url: string, signal: AbortSignal): Promise<Finding> {
  const get = async (path: string) => {
    try {
      const response = await fetch(`${url}${path}`, { signal });
      return { status: response.status, text: await response.text() };
    } catch (error) {
      signal.throwIfAborted();
      throw new Trouble(
        `${url}${path}: ${requestTrouble(error)}`,
        "the program does not run, or hung up",
        "see its log",
      );
    }
  };
  const page = await get("/");
  const assets = [...page.text.matchAll(/(?:src|href)="\/?([\w./-]+)"/g)].map(([, path]) => `/${path}`);
  if (page.status !== 200 || !/<html/i.test(page.text) || assets.length === 0) {
    throw new Trouble(
      `${url}/ is answered by ${page.status}`,
      "the program runs without a store, and then it has no page; or another program has this port",
      "start it with a store: STORE_FILE names it, deno task dev has one by itself",
    );
  }
  for (const path of assets) {
    const { status } = await get(path);
    if (status !== 200) {
      throw new Trouble(`${url}${path} is answered by ${status}`, "the page was not bundled", "deno task page");
    }
  }
  const products = await get("/api/products");
  if (products.status !== 200) {
    throw new Trouble(
      `${url}/api/products is answered by ${products.status}: ${products.text.trim().slice(0, 200)}`,
      "the program cannot read its store",
      "see the stage store, and its log",
    );
  }
  const count = (JSON.parse(products.text) as unknown[]).length;
  return ok(`${url}/ and its ${assets.length} files are there, ${count} products to show`, { products: count });
}
