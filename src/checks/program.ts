// The program by its status page, its store as any reader opens it, and its page.

import { systemClock } from "../core/clock.ts";
import { SinkError } from "../core/errors.ts";
import { seriesOf } from "../core/record.ts";
import { openForReading } from "../store/database.ts";
import { unpackTicks } from "../store/packing.ts";
import { Queries } from "../store/queries.ts";
import { pragma } from "../store/schema.ts";
import { closeQuietly, storeErrorOf } from "../store/store_error.ts";
import { briefly, checkFreshness, type Expected } from "./freshness.ts";
import { request } from "./http.ts";
import { type Finding, ok, Problem } from "./stage.ts";

/** Cause and cure if the program says that it cannot write to its store because the disk is full. */
function fullDisk(reasons: readonly string[]): { readonly cause: string; readonly cure: string } | undefined {
  const [, store] = /\bstore (.+): the disk is full/.exec(reasons.join("\n")) ?? [];
  return store === undefined ? undefined : {
    cause: "the disk of the store is full",
    cure: `free space on the disk of ${store} (df -h shows it); the program then continues by itself`,
  };
}

/** What is used of /api/status. */
interface Status {
  readonly ready: boolean;
  readonly reasons?: readonly string[];
  readonly sinks: readonly {
    readonly name: string;
    readonly queueDepth: number;
    readonly gapsTrouble?: string;
    readonly throttled?: string;
  }[];
  readonly counters?: {
    readonly received: number;
    readonly sinks: Readonly<Record<string, { readonly dropped: number; readonly lost: number }>>;
  };
}

/**
 * It answers and is ready.
 *
 * @param reasons receives the program's own reasons for not being ready
 */
export async function checkProgram(
  url: string,
  isStack: boolean,
  reasons: string[],
  signal: AbortSignal,
): Promise<Finding> {
  const since = systemClock.elapsed();
  const cure = isStack
    ? "deno task stack:status, deno task stack:logs coinbase-producer"
    : "start it (deno task dev, or deno task start), or correct PORT or PROGRAM_URL";
  let status: Status;
  try {
    const response = await request(
      `${url}/api/status`,
      { name: url, cause: "the program is not running", cure },
      signal,
    );
    status = await response.json();
    if (!Array.isArray(status.sinks)) throw new SyntaxError("not a status of the program");
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw new Problem(
        `${url} does not answer as the program does`,
        "another program uses this port",
        "correct PORT or PROGRAM_URL",
      );
    }
    if (!signal.aborted) throw error;
    throw new Problem(
      `${url} accepts the connection but does not answer`,
      "the program hangs or is suspended (Ctrl-Z, a paused container), or another program uses this port",
      `look at its log, stop it and start it again: ${cure}`,
    );
  }
  const { ready, sinks, counters } = status;
  reasons.push(...(status.reasons ?? []).map(String));
  const facts = { ready, reasons, sinks, counters };
  if (ready !== true) {
    const isExchange = reasons.some((reason) => /^(?:no data from|nothing from)| sends no prices/.test(reason));
    const { cause, cure } = fullDisk(reasons) ?? {
      cause: isExchange
        ? "it gets no data from the exchange and keeps trying"
        : "it cannot write to Kafka or its store; it keeps the ticks in its queue and retries",
      cure: "fix earlier broken stages first; if there are none, look at the program's log",
    };
    throw new Problem(`${url} is not ready: ${briefly(reasons, 4)}`, cause, cure, facts);
  }
  const lost = Object.values(counters?.sinks ?? {}).reduce((sum, { dropped, lost }) => sum + dropped + lost, 0);
  const waiting = Math.max(0, ...sinks.map(({ queueDepth }) => queueDepth));
  const remarks = sinks.flatMap(({ name, gapsTrouble, throttled }) => [
    ...gapsTrouble === undefined ? [] : [`gaps do not reach ${name}: ${gapsTrouble}`],
    ...throttled === undefined ? [] : [`${name} is throttled: ${throttled}`],
  ]);
  return ok(
    [
      `${url} is ready after ${Math.round(systemClock.elapsed() - since)} ms, to ${
        sinks.map(({ name }) => name).join(", ")
      }`,
      `${counters?.received ?? 0} ticks received, ${waiting} waiting, ${lost} dropped or lost`,
      ...remarks,
    ].join("; "),
    facts,
  );
}

/** A larger store is not read completely, bytes. */
const MAX_CHECKED_BYTES = 50e6;
const REPLACE_DAMAGED =
  "stop the program and start it again: it moves the damaged file away and creates a new one; or restore a " +
  "backup: deno task restore FILE";

/** The store can be opened, has our version, and is not visibly damaged. */
export async function checkStore(path: string): Promise<Finding> {
  // if the file is not there, opening it says so
  const bytes = await Deno.stat(path).then(({ size }) => size, () => 0);
  return readStore(path, (db) => {
    const products = new Queries(db).products().length;
    const isChecked = bytes <= MAX_CHECKED_BYTES;
    const [damage] = isChecked ? Object.values(db.prepare("PRAGMA quick_check(1)").get() ?? {}) : ["ok"];
    if (damage !== "ok") {
      throw new Problem(
        `the store ${path} is damaged: ${String(damage).replace(/\s+/g, " ").slice(0, 200)}`,
        "its disk failed, or another program wrote to the file",
        REPLACE_DAMAGED,
      );
    }
    const version = pragma(db, "user_version");
    return ok(
      `${path} can be opened: version ${version}, ${products} products, ${(bytes / 1e6).toFixed(1)} MB, ${
        isChecked ? "undamaged" : "too large to be read completely"
      }`,
      { version, products, bytes },
    );
  });
}

/**
 * The newest tick of each product in the store is not behind the exchange.
 *
 * @param reasons why the program is not ready, in its own words
 */
export function checkTicks(
  path: string,
  expected: Expected,
  reasons: readonly string[],
  signal: AbortSignal,
): Promise<Finding> {
  return checkFreshness(
    {
      name: path,
      delayMs: 4000,
      read: () =>
        readStore(path, (db) => ({
          newest: new Map(
            Array.from(
              unpackTicks(new Queries(db).lastTicks()),
              (tick) => [seriesOf(tick.exchange, tick.product), tick.exchangeTimeUs / 1e6],
            ),
          ),
        })),
      explain: () =>
        fullDisk(reasons) ?? {
          cause: "the program is not running, has no data from the exchange, or cannot write to its store",
          cure: "start it (deno task dev), or look at its log and /api/status",
        },
    },
    expected,
    signal,
  );
}

/** What the message of a failed opening means; STORE stands for its path. */
const STORE_PROBLEMS: readonly { readonly message: RegExp; readonly cause: string; readonly cure: string }[] = [
  {
    message: /no such file/,
    cause: "the program has never run here, or its store is elsewhere",
    cure: "run deno task dev, which creates it, or set STORE_FILE to the right path",
  },
  {
    message: /locked/,
    cause: "another program has locked it, perhaps a sqlite3 with an open transaction",
    cure: "end that transaction",
  },
  {
    message: /deno task restore/,
    cause: "a backup was copied over the store by hand",
    cure: "stop the program, then deno task restore STORE",
  },
  {
    message: /expected version/,
    cause: "another version of the program wrote it",
    cure: "start the current program once: it upgrades an older store",
  },
  {
    message: /expected a store of this program|damaged/,
    cause: "the file was overwritten, or its disk failed",
    cure: REPLACE_DAMAGED,
  },
  {
    message: /hard links/,
    cause: "somebody made a hard link to it, perhaps as a backup; under the wrong name the newest ticks are missing",
    cure:
      "find its names (find / -xdev -samefile STORE), keep the one with a -wal file beside it, and remove the others; " +
      "deno task backup makes backups",
  },
  { message: /^/, cause: "this user may not read the file or its folder", cure: "check their owner and permissions" },
];

/** Opens the store for one read. Throws a Problem if that fails. */
function readStore<T>(path: string, read: (db: ReturnType<typeof openForReading>) => T): T {
  let db: ReturnType<typeof openForReading> | undefined;
  try {
    db = openForReading(path);
    return read(db);
  } catch (error) {
    const failure = error instanceof Problem ? error : storeErrorOf(error, `read the store ${path}`);
    if (!(failure instanceof SinkError)) throw failure;
    const { cause = "", cure = "" } = STORE_PROBLEMS.find(({ message }) => message.test(failure.message)) ?? {};
    throw new Problem(failure.message, cause, cure.replace("STORE", path));
  } finally {
    if (db !== undefined) closeQuietly(db);
  }
}

/** The page and its files are there. */
export async function checkPage(url: string, signal: AbortSignal): Promise<Finding> {
  const get = async (path: string) => {
    const response = await request(
      `${url}${path}`,
      { name: `${url}${path}`, cause: "the program is not running, or closed the connection", cure: "look at its log" },
      signal,
    );
    return { status: response.status, text: await response.text() };
  };
  const page = await get("/");
  const files = [...page.text.matchAll(/(?:src|href)="\/?([\w./-]+)"/g)].map(([, path]) => `/${path}`);
  if (page.status !== 200 || !/<html/i.test(page.text) || files.length === 0) {
    throw new Problem(
      `${url}/ answers ${page.status}`,
      "the program runs without a store, so it has no page; or another program uses this port",
      "start it with a store: deno task dev, or set STORE_FILE",
    );
  }
  for (const path of files) {
    const { status } = await get(path);
    if (status !== 200) {
      throw new Problem(`${url}${path} answers ${status}`, "the page was not bundled", "deno task page");
    }
  }
  const products = await get("/api/products");
  if (products.status !== 200) {
    throw new Problem(
      `${url}/api/products answers ${products.status}: ${products.text.trim().slice(0, 200)}`,
      "the program cannot read its store",
      "fix the stage store first; otherwise look at the program's log",
    );
  }
  const count = (JSON.parse(products.text) as unknown[]).length;
  return ok(`${url}/ and its ${files.length} files are there, ${count} products to show`, { products: count });
}
