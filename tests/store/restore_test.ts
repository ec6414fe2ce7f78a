// A backup put where the store was, as its help says: whatever a dead program left beside it is not of this file.

import { assert, assertEquals, assertGreater, assertRejects, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { foldCandles, markCandles } from "../../src/core/candle.ts";
import { SinkError } from "../../src/core/errors.ts";
import { openDatabase, openForReading } from "../../src/store/database.ts";
import { adoptBackup, BACKUP_ID, headerOf, SQLITE_SUFFIXES } from "../../src/store/header.ts";
import { Queries } from "../../src/store/queries.ts";
import { APPLICATION_ID } from "../../src/store/schema.ts";
import { Store } from "../../src/store/store.ts";
import { backupStore } from "../../src/commands/backup.ts";
import { exportStore } from "../../src/commands/export.ts";
import { Notebook } from "../fakes/log.ts";
import { ticksOf } from "../fakes/ticks.ts";
import { numbered } from "./child.ts";
import { childSkipped, filesSkipped, type Folder, namesIn, startChild, temporaryFolder } from "./files.ts";

const never = new AbortController().signal;
const silent = { write: () => Promise.resolve(), tell: () => {} };

function test(name: string, why: string | undefined, fn: (folder: string) => Promise<void>): void {
  Deno.test({
    name: `${name}${why === undefined ? "" : ` [skipped: ${why}]`}`,
    ignore: why !== undefined,
    async fn() {
      await using folder: Folder = await temporaryFolder();
      await fn(folder.path);
    },
  });
}

function applicationIdOf(path: string): number {
  using file = Deno.openSync(path);
  return headerOf(file).applicationId;
}

/** All that can be compared of two stores. */
function contentOf(db: DatabaseSync): unknown {
  return ["product", "tick", "gap", "candle_5s", "candle_1m", "candle_1h"].map((table) =>
    db.prepare(`SELECT * FROM ${table}`).all()
  );
}

function assertWhole(db: DatabaseSync): void {
  assertEquals(db.prepare("PRAGMA integrity_check").all().map((row) => row.integrity_check), ["ok"]);
  const queries = new Queries(db);
  for (const key of queries.products()) {
    const ticks = [...queries.tickPages(key, {})].flat();
    for (const tick of ticks) assertEquals(tick, numbered(tick.sequence));
    for (const interval of ["5s", "1m", "1h"] as const) {
      assertEquals(
        queries.candles(key, interval, { limit: 1e6 }, 0).map(({ origin: _, lastSequence: __, ...candle }) => candle),
        markCandles(foldCandles(ticks, interval), 0),
        `${interval} of ${key.product}`,
      );
    }
  }
}

/** A store whose program has ended, and a backup of it. */
async function ended(folder: string): Promise<{ path: string; copy: string }> {
  const path = `${folder}/prices.sqlite`, copy = `${folder}/copy.sqlite`;
  await using store = await Store.open(path, { ticksDays: 0, log: new Notebook() });
  await store.write(ticksOf("BTC-USD", 100), never);
  await backupStore([copy], path, silent);
  return { path, copy };
}

/** A store whose program was killed, and a backup from before: both as they lie there. */
async function killed(folder: string): Promise<{ path: string; copy: string }> {
  const path = `${folder}/prices.sqlite`, copy = `${folder}/copy.sqlite`;
  await using child = startChild(["load", path, "0", "7"]);
  const until = async (count: number) => {
    for (let line = await child.line(); Number(line) < count; line = await child.line()) assert(line !== undefined);
  };
  await until(4000);
  await backupStore([copy], path, silent);
  await until(20_000);
  child.kill();
  await child.rest();
  assertGreater((await Deno.stat(`${path}-wal`)).size, 0);
  return { path, copy };
}

for (const how of ["cp", "mv"] as const) {
  test(`a backup put back with ${how} after kill -9 is exactly what was backed up`, childSkipped(), async (folder) => {
    const { path, copy } = await killed(folder);
    const reference = `${folder}/reference.sqlite`;
    await Deno.copyFile(copy, reference);
    if (how === "cp") await Deno.copyFile(copy, path);
    else await Deno.rename(copy, path);

    // SQLite would read the old -wal into it: whoever asks before the program has run is told so
    const error = assertThrows(() => openForReading(path), SinkError, "it is a backup that was put there");
    assertEquals(error.kind, "retry");
    const log: string[] = [];
    const open = openDatabase(
      path,
      true,
      Date.now,
      (level, message, fields) => log.push(`${level} ${message}`, String(fields?.removed)),
    );
    try {
      assertEquals(log, [
        "info A backup was put in place of the store: it is the store from now on",
        [`${path}-wal`, `${path}-shm`].join(", "),
      ]);
      assertEquals(open.replaces, false);
      assertWhole(open.db);
      using expected = new DatabaseSync(reference, { readOnly: true });
      assertGreater(Number(expected.prepare("SELECT count(*) AS n FROM tick").get()?.n), 3999);
      assertEquals(contentOf(open.db), contentOf(expected));
    } finally {
      open.close();
    }
    assertEquals(applicationIdOf(path), APPLICATION_ID);
  });
}

test("a backup that is the store goes on as one, across kill -9 as well", childSkipped(), async (folder) => {
  const { path, copy } = await killed(folder);
  await Deno.copyFile(copy, path);
  {
    await using child = startChild(["load", path, "50000", "8"]);
    for (let line = await child.line(); Number(line) < 53_000; line = await child.line()) assert(line !== undefined);
    child.kill();
    await child.rest();
  }
  // now the -wal is of this file, and must not go
  const open = openDatabase(path, true, Date.now, (level, message) => {
    throw new Error(`${level}: ${message}`);
  });
  try {
    assertWhole(open.db);
    const { n } = open.db.prepare("SELECT count(*) AS n FROM tick WHERE sequence >= 50000").get() ?? {};
    assertGreater(Number(n), 2999);
  } finally {
    open.close();
  }
});

test(
  "a backup keeps its mark until nothing foreign is left beside it, whenever the end comes",
  filesSkipped(),
  async (folder) => {
    const { path, copy } = await ended(folder);
    assertEquals(applicationIdOf(copy), BACKUP_ID);
    await Deno.copyFile(copy, path);
    await Deno.writeTextFile(`${path}-wal`, "old");
    using file = await Deno.open(path, { read: true, write: true });
    // what cannot be removed ends it in the middle
    await Deno.mkdir(`${path}-journal/x`, { recursive: true });
    assertThrows(() => adoptBackup(path, file));
    assertEquals(applicationIdOf(path), BACKUP_ID);
    assertEquals((await namesIn(folder)).includes("prices.sqlite-wal"), false);
    const broken = new Notebook();
    {
      await using _store = await Store.open(path, { ticksDays: 0, log: broken });
      assertEquals(broken.find("error The store cannot be used for now").length, 1);
    }
    await Deno.remove(`${path}-journal`, { recursive: true });
    assertEquals(adoptBackup(path, file), []);
    assertEquals(applicationIdOf(path), APPLICATION_ID);
    // and a store is left alone
    await Deno.writeTextFile(`${path}-wal`, "its own");
    assertEquals(adoptBackup(path, file), []);
    assertEquals(await Deno.readTextFile(`${path}-wal`), "its own");
  },
);

test(
  "a backup is one file, which is read, exported and backed up as a store is, and nothing is left beside it",
  filesSkipped(),
  async (folder) => {
    const { copy } = await ended(folder);
    let text = "";
    await exportStore([], copy, { ...silent, write: (more) => Promise.resolve(void (text += more)) }, 0);
    assertEquals(text.split("\n").length, 102);
    await backupStore([`${folder}/again.sqlite`], copy, silent);
    assertEquals(await namesIn(folder), ["again.sqlite", "copy.sqlite", "prices.sqlite", "prices.sqlite.lock"]);
    for (const name of [copy, `${folder}/again.sqlite`]) {
      assertEquals(applicationIdOf(name), BACKUP_ID);
      using db = new DatabaseSync(name, { readOnly: true });
      assertEquals(db.prepare("PRAGMA journal_mode").get()?.journal_mode, "delete");
      assertEquals(db.prepare("SELECT count(*) AS n FROM tick").get()?.n, 100);
    }
    for (const suffix of SQLITE_SUFFIXES) {
      await Deno.writeTextFile(copy + suffix, "");
      await assertRejects(() => exportStore([], copy, silent, 0), SinkError, "it is a backup that was put there");
      await Deno.remove(copy + suffix);
    }
  },
);
