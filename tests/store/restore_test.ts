// A store that is replaced with a backup, by `deno task restore` or by hand: nothing is mixed, and nothing is lost.

import { assert, assertEquals, assertGreater, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { markCandles } from "../../src/core/candle.ts";
import { ConfigError, SinkError } from "../../src/core/errors.ts";
import { backUp, restore } from "../../src/store/copy.ts";
import { openDatabase, openForReading } from "../../src/store/database.ts";
import { inspectHeader } from "../../src/store/file.ts";
import { Queries } from "../../src/store/queries.ts";
import { APPLICATION_ID, OLD_BACKUP_ID, pragma, VERSION } from "../../src/store/schema.ts";
import { Store } from "../../src/store/store.ts";
import { backupStore } from "../../src/commands/backup.ts";
import { exportStore } from "../../src/commands/export.ts";
import { RESTORE_USAGE, restoreStore } from "../../src/commands/restore.ts";
import { Notebook } from "../fakes/log.ts";
import { Random } from "../fakes/random.ts";
import { ticksOf } from "../fakes/ticks.ts";
import { numbered } from "./child.ts";
import { childSkipped, filesSkipped, type Folder, namesIn, startChild, temporaryFolder } from "./files.ts";
import { foldCandles } from "../fakes/candles.ts";

const never = new AbortController().signal;
const silent = { write: () => Promise.resolve(), tell: () => {} };
const mayRun = childSkipped() === undefined;

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

function kindOf(path: string): string | undefined {
  using file = Deno.openSync(path);
  return inspectHeader(file, true);
}

/** All that can be compared of two stores. */
function contentOf(db: DatabaseSync): unknown {
  return ["product", "tick", "gap", "candle_5s", "candle_1m", "candle_1h"].map((table) =>
    db.prepare(`SELECT * FROM ${table}`).all()
  );
}

/** Opens a store as the program does, without a line in the log. */
function openQuietly(path: string) {
  const log = new Notebook();
  const open = openDatabase(path, { log, now: Date.now });
  assertEquals([log.lines, open.replaces], [[], false]);
  return { db: open.db, [Symbol.dispose]: open.close };
}

function assertWhole(db: DatabaseSync): void {
  assertEquals(db.prepare("PRAGMA integrity_check").all().map((row) => row.integrity_check), ["ok"]);
  const queries = new Queries(db);
  for (const key of queries.products()) {
    const ticks = [...queries.tickPages(key, {})].flat();
    for (const tick of ticks) assertEquals(tick, numbered(tick.sequence));
    for (const interval of ["5s", "1m", "1h"] as const) {
      assertEquals(
        queries.candles(key, interval, { limit: 1e6 }, 0).map(({ lastSequence: _, ...candle }) => candle),
        markCandles(foldCandles(ticks, interval), 0),
        `${interval} of ${key.product}`,
      );
    }
  }
}

function countOf(db: DatabaseSync): number {
  return Number(db.prepare("SELECT count(*) AS n FROM tick").get()?.n);
}

/** A store whose program has ended, and a backup of it. */
async function ended(folder: string): Promise<{ path: string; copy: string }> {
  const path = `${folder}/prices.sqlite`, copy = `${folder}/copy.sqlite`;
  await using store = await Store.open(path, { ticksDays: 0, log: new Notebook() });
  await store.write(ticksOf("BTC-USD", 100), never);
  await backUp(path, copy);
  return { path, copy };
}

/** A store whose program was killed after more ticks, and a backup from before: both as they are then. */
async function killed(folder: string): Promise<{ path: string; copy: string; confirmed: number }> {
  const path = `${folder}/prices.sqlite`, copy = `${folder}/copy.sqlite`;
  await using child = startChild(["load", path, "0", "7"]);
  let confirmed = 0;
  const until = async (count: number) => {
    for (; confirmed < count; confirmed = Number(await child.line())) assert(!Number.isNaN(confirmed));
  };
  await until(4000);
  await backUp(path, copy);
  await until(20_000);
  child.kill();
  confirmed = Number((await child.rest()).filter((line) => /^\d+$/.test(line)).at(-1) ?? confirmed);
  assertGreater((await Deno.stat(`${path}-wal`)).size, 0);
  return { path, copy, confirmed };
}

/** Makes a backup what one of an earlier version is. */
function makeOld(copy: string): void {
  using db = new DatabaseSync(copy);
  db.exec(`PRAGMA application_id = ${OLD_BACKUP_ID}`);
}

for (const [what, make] of [["a backup", () => {}], ["a backup of an earlier version", makeOld]] as const) {
  test(
    `restore: ${what} replaces a store after kill -9, and the store is kept with its -wal`,
    childSkipped(),
    async (folder) => {
      const { path, copy, confirmed } = await killed(folder);
      make(copy);
      const reference = `${folder}/reference.sqlite`;
      await Deno.copyFile(copy, reference);
      const told: string[] = [];
      await restoreStore([copy], path, { ...silent, tell: (text) => void told.push(text) }, () => 0);
      const aside = `${path}.replaced-1970-01-01T00-00-00Z`;
      assertEquals(told.map((line) => line.replace(/[\d.]+ MB/, "n MB")), [
        `${path}: restored from ${copy}, n MB\n`,
        `${aside}: the store that was there before\n`,
      ]);
      assertEquals((await namesIn(folder)).filter((name) => name.startsWith("prices")), [
        "prices.sqlite",
        "prices.sqlite.lock",
        "prices.sqlite.replaced-1970-01-01T00-00-00Z",
        "prices.sqlite.replaced-1970-01-01T00-00-00Z-shm",
        "prices.sqlite.replaced-1970-01-01T00-00-00Z-wal",
      ]);
      {
        using open = openQuietly(path);
        assertWhole(open.db);
        using expected = new DatabaseSync(reference, { readOnly: true });
        assertGreater(countOf(expected), 3999);
        assertEquals(contentOf(open.db), contentOf(expected));
      }
      assertEquals(kindOf(path), "store");
      // and back again
      await restore(aside, path, Date.now);
      using open = openQuietly(path);
      assertWhole(open.db);
      assertGreater(countOf(open.db), confirmed - 1);
    },
  );

  for (const how of ["cp", "mv"] as const) {
    test(
      `${what} put beside another store's -wal with ${how} is refused, and restore puts it right`,
      childSkipped(),
      async (folder) => {
        const { path, copy, confirmed } = await killed(folder);
        make(copy);
        const reference = `${folder}/reference.sqlite`, old = `${folder}/old.sqlite`;
        await Deno.copyFile(copy, reference);
        await Deno.copyFile(path, old);
        await Deno.copyFile(`${path}-wal`, `${old}-wal`);
        if (how === "cp") await Deno.copyFile(copy, path);
        else await Deno.rename(copy, path);
        const before = await Deno.readFile(path);

        const refusal =
          `Cannot use the store ${path}: expected no other file beside this backup, got ${path}-wal, which belongs ` +
          `to the store that was here before. Run: deno task restore ${path}`;
        assertEquals(assertThrows(() => openForReading(path), SinkError).message, refusal);
        const error = assertThrows(() => openDatabase(path, { log: new Notebook(), now: Date.now }), SinkError);
        assertEquals([error.kind, error.message], ["fatal", refusal]);
        await using again = startChild(["once", path]);
        assertEquals(await again.line(), `fatal: ${refusal}`);
        assertEquals(await Deno.readFile(path), before);
        assertEquals(await Deno.readFile(`${path}-wal`), await Deno.readFile(`${old}-wal`));

        await restoreStore([path], path, silent, Date.now);
        {
          using open = openQuietly(path);
          assertWhole(open.db);
          using expected = new DatabaseSync(reference, { readOnly: true });
          assertEquals(contentOf(open.db), contentOf(expected));
        }
        using open = openQuietly(old);
        assertGreater(countOf(open.db), confirmed - 1);
      },
    );
  }

  test(
    `${what} copied by hand to a place with nothing beside it becomes a store, across kill -9 as well`,
    childSkipped(),
    async (folder) => {
      const { path, copy } = await killed(folder);
      make(copy);
      for (const suffix of ["", "-wal", "-shm"]) await Deno.remove(path + suffix);
      await Deno.copyFile(copy, path);
      {
        await using child = startChild(["load", path, "50000", "8"]);
        for (let line = await child.line(); Number(line) < 53_000; line = await child.line()) {
          assert(line !== undefined);
        }
        child.kill();
        await child.rest();
      }
      // now the -wal is of this file
      assertEquals(kindOf(path), "store");
      using open = openQuietly(path);
      assertEquals(pragma(open.db, "application_id"), APPLICATION_ID);
      assertWhole(open.db);
      const { n } = open.db.prepare("SELECT count(*) AS n FROM tick WHERE sequence >= 50000").get() ?? {};
      assertGreater(Number(n), 2999);
    },
  );
}

const KILLS = 25;

test(
  `restore: killed ${KILLS} times, it leaves the whole store, the whole backup, or a refusal that says what to do`,
  childSkipped(),
  async (folder) => {
    await Deno.mkdir(`${folder}/origin`);
    const { path: origin, copy, confirmed } = await killed(`${folder}/origin`);
    const expected = (() => {
      using db = new DatabaseSync(copy, { readOnly: true });
      return countOf(db);
    })();
    const seed = Date.now() % 1e6;
    const random = new Random(seed);
    const seen = new Set<string>();
    for (let kill = 0; kill < KILLS; kill++) {
      const home = `${folder}/${kill}`;
      const path = `${home}/prices.sqlite`;
      await Deno.mkdir(home);
      for (const suffix of ["", "-wal", "-shm", ".lock"]) await Deno.copyFile(origin + suffix, path + suffix);
      await using child = startChild(["restore", path, copy]);
      assertEquals(await child.line(), "start");
      for (let n = random.int(0, 2); n > 0; n--) await child.line();
      await new Promise((resolve) => setTimeout(resolve, random.int(0, 100)));
      child.kill();
      await child.rest();

      // what was there before is whole, under its name or the first one that it was given
      const asides = (await namesIn(home)).filter((name) => /\.replaced-[\dTZ-]+$/.test(name));
      const old = `${home}/old.sqlite`;
      const first = asides.length === 0 ? path : `${home}/${asides[0]}`;
      for (const suffix of ["", "-wal"]) await Deno.copyFile(first + suffix, old + suffix);
      {
        using open = openQuietly(old);
        assertGreater(countOf(open.db), confirmed - 1, `seed ${seed}, kill ${kill}: ${first}`);
      }
      try {
        using open = openQuietly(path);
        const count = countOf(open.db);
        assert(count === expected || count >= confirmed, `seed ${seed}, kill ${kill}: ${count}`);
        seen.add(count === expected ? "backup" : "store");
      } catch (error) {
        assert(error instanceof SinkError && error.kind === "fatal", `seed ${seed}, kill ${kill}: ${error}`);
        assertMatch(error.message, /deno task restore|hard links/);
        seen.add("refusal");
      }
      // a second attempt completes it
      await restore(copy, path, Date.now);
      using open = openQuietly(path);
      assertEquals(countOf(open.db), expected);
      assertEquals((await namesIn(home)).filter((name) => name.includes("restoring")), []);
    }
    assert(seen.size >= 2, `every kill came at the same moment: ${[...seen]}`);
  },
);

/** Each state in which the end can come between two steps. */
for (
  const [state, make] of [
    ["while it copies", (path: string) => Deno.writeTextFileSync(`${path}.restoring`, "half")],
    ["after the new names", (path: string) => {
      for (const suffix of ["", "-wal"]) Deno.linkSync(path + suffix, `${path}.replaced-x${suffix}`);
    }],
    ["after the copy is in place", (path: string, copy: string) => {
      for (const suffix of ["", "-wal"]) Deno.linkSync(path + suffix, `${path}.replaced-x${suffix}`);
      Deno.copyFileSync(copy, `${path}.restoring`);
      Deno.renameSync(`${path}.restoring`, path);
    }],
  ] as const
) {
  test(
    `restore: after an end ${state} the program mixes nothing, and a second restore completes it`,
    childSkipped(),
    async (folder) => {
      const { path, copy, confirmed } = await killed(folder);
      make(path, copy);
      if (state === "while it copies") {
        using open = openQuietly(path);
        assertGreater(countOf(open.db), confirmed - 1);
      } else {
        const error = assertThrows(() => openDatabase(path, { log: new Notebook(), now: Date.now }), SinkError);
        assertMatch(error.message, state === "after the new names" ? /2 \(hard links\)/ : /Run: deno task restore/);
      }
      await restore(copy, path, Date.now);
      using open = openQuietly(path);
      assertWhole(open.db);
      assert(countOf(open.db) < confirmed);
    },
  );
}

test("restore is refused while a program uses the store, under any of its names", childSkipped(), async (folder) => {
  const path = `${folder}/prices.sqlite`, copy = `${folder}/copy.sqlite`;
  await using child = startChild(["hold", path]);
  assertEquals(await child.line(), "open");
  await backUp(path, copy);
  await Deno.symlink(path, `${folder}/alias.sqlite`);
  await Deno.link(path, `${folder}/link.sqlite`);
  const before = await namesIn(folder);
  for (const name of ["prices", "alias", "link"]) {
    const error = await assertRejects(() => restore(copy, `${folder}/${name}.sqlite`, Date.now), SinkError);
    assertEquals(error.kind, "fatal");
    assertMatch(error.message, /^Cannot use the store .*: another program /);
  }
  assertEquals(await namesIn(folder), before);
});

test("restore as a task: exit 4 while the program uses the store, then 0", childSkipped(), async (folder) => {
  const path = `${folder}/prices.sqlite`, copy = `${folder}/copy.sqlite`;
  await using child = startChild(["hold", path]);
  assertEquals(await child.line(), "open");
  await backUp(path, copy);
  const root = new URL("../../", import.meta.url);
  const { command } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root))).tasks.restore;
  const run = async () => {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...(command as string).split(" ").slice(1, -2),
        "--no-prompt",
        "--config",
        new URL("deno.json", root).pathname,
      ]
        .concat(new URL("main.ts", root).pathname, "restore", copy),
      cwd: folder,
      env: { STORE_FILE: path },
    }).output();
    return { code, said: new TextDecoder().decode(stderr) };
  };
  const refused = await run();
  assertEquals(refused.code, 4, refused.said);
  assertMatch(
    refused.said,
    /^Cannot use the store .*: another program \(process \d+\) is using it and holds .*\.lock\n$/,
  );
  child.kill();
  await child.rest();
  const { code, said } = await run();
  assertEquals(code, 0, said);
  assertMatch(
    said,
    /^.*prices\.sqlite: restored from .*copy\.sqlite, [\d.]+ MB\n.*\.replaced-.*Z: the store that was there before\n$/,
  );
});

test("restore makes a store where there was none, and its folder", filesSkipped(), async (folder) => {
  const { copy } = await ended(folder);
  const path = `${folder}/new/prices.sqlite`;
  const told: string[] = [];
  await restoreStore(["--file", path, copy], "", { ...silent, tell: (text) => void told.push(text) }, Date.now);
  assertEquals(told.length, 1);
  assertEquals(await namesIn(`${folder}/new`), ["prices.sqlite", "prices.sqlite.lock"]);
  using open = openQuietly(path);
  assertEquals(countOf(open.db), 100);
});

test("restore refuses what is no sound store, and leaves everything as it is", filesSkipped(), async (folder) => {
  const { path, copy } = await ended(folder);
  const make = async (name: string, change: (bytes: Uint8Array) => Uint8Array) => {
    await Deno.writeFile(`${folder}/${name}`, change(await Deno.readFile(copy)));
  };
  await make("cut", (bytes) => bytes.subarray(0, 5000));
  await make("junk", (bytes) => bytes.fill(90, 8192));
  await make("empty", () => new Uint8Array());
  await make("text", () => new TextEncoder().encode("my diary\n".repeat(100)));
  {
    using db = new DatabaseSync(`${folder}/diary`);
    db.exec("CREATE TABLE diary (day TEXT)");
    await Deno.copyFile(copy, `${folder}/newer`);
    using newer = new DatabaseSync(`${folder}/newer`);
    newer.exec("PRAGMA user_version = 99");
  }
  const before = await namesIn(folder), content = await Deno.readFile(path);
  for (
    const [name, said] of [
      ["cut", "Cannot restore $: "],
      ["junk", "Cannot restore $: "],
      ["empty", "Cannot restore $: expected a store, got an empty file"],
      ["text", "Cannot use the store $: expected a store of this program, got another file. It was not changed"],
      ["diary", "Cannot use the store $: expected a store of this program, got another file. It was not changed"],
      ["newer", `Cannot restore $: expected version ${VERSION} or older, got 99, which a newer program wrote`],
      ["missing", "Cannot read the store $: no such file"],
      ["", "Cannot read the store $: expected a regular file, got a folder"],
      ["prices.sqlite", "Cannot restore $: expected a backup or another store, got the store itself"],
    ] as const
  ) {
    const from = `${folder}/${name}`;
    for (const to of [path, `${folder}/none/prices.sqlite`]) {
      if (name === "prices.sqlite" && to !== path) continue;
      await assertRejects(() => restore(from, to, Date.now), SinkError, said.replace("$", from));
    }
  }
  await Deno.remove(`${folder}/none`);
  // and a file of somebody else is not replaced
  await assertRejects(
    () => restore(copy, `${folder}/text`, Date.now),
    SinkError,
    "got another file. It was not changed",
  );
  assertEquals(await namesIn(folder), before);
  assertEquals(await Deno.readFile(path), content);
  for (
    const [args, store, said] of [
      [[], "x", 'Cannot restore: expected the name of one backup, got ""'],
      [["a", "b"], "x", 'Cannot restore: expected the name of one backup, got "a b"'],
      [["~/a"], "x", 'Cannot use FILE: expected a path that does not begin with "~"'],
      [["a", "--overwrite"], "x", "Cannot use --overwrite"],
      [["a"], "", "Cannot restore"],
    ] as const
  ) await assertRejects(() => restoreStore(args, store, silent, Date.now), ConfigError, said);
  let help = "";
  await restoreStore(["--help"], "", { ...silent, write: (text) => Promise.resolve(void (help += text)) }, Date.now);
  assertEquals(help, RESTORE_USAGE);
});

test("restore brings an old version back, which the program migrates", filesSkipped(), async (folder) => {
  const { path, copy } = await ended(folder);
  {
    using db = new DatabaseSync(copy);
    for (const length of ["5s", "1m", "1h"]) db.exec(`DROP TABLE candle_${length}`);
    db.exec("DROP VIEW candles; PRAGMA user_version = 1");
  }
  await restore(copy, path, Date.now);
  const log = new Notebook();
  const open = openDatabase(path, { log, now: Date.now });
  try {
    assertEquals(log.find("info The store was migrated to a newer version").length, 1);
    assertEquals(countOf(open.db), 100);
  } finally {
    open.close();
  }
});

test("restore to a full or read-only disk says so, and leaves the store as it is", mountSkipped(), async (folder) => {
  const small = `${folder}/small`;
  await Deno.mkdir(small);
  const { copy } = await ended(folder);
  {
    await using store = await Store.open(`${folder}/large.sqlite`, { ticksDays: 0, log: new Notebook() });
    await store.write(ticksOf("BTC-USD", 20_000), never);
  }
  await backUp(`${folder}/large.sqlite`, `${folder}/large-copy.sqlite`);
  assert(mount("-t", "tmpfs", "-o", "size=600k", "tmpfs", small));
  try {
    const path = `${small}/prices.sqlite`;
    await restore(copy, path, Date.now);
    const before = await namesIn(small), content = await Deno.readFile(path);
    for (const from of [`${folder}/large-copy.sqlite`, `${folder}/large.sqlite`]) {
      const error = await assertRejects(() => restore(from, path, Date.now), SinkError);
      assertEquals(error.message, `Cannot restore the store ${path}: the disk is full`);
      assertEquals(await namesIn(small), before);
      assertEquals(await Deno.readFile(path), content);
    }
    assert(mount("-o", "remount,ro", small));
    const error = await assertRejects(() => restore(copy, path, Date.now), SinkError);
    assertEquals(error.message, `Cannot restore the store ${path}: the disk is read-only`);
  } finally {
    new Deno.Command("umount", { args: [small] }).outputSync();
  }
});

function mount(...args: string[]): boolean {
  return new Deno.Command("mount", { args, stdout: "null", stderr: "null" }).outputSync().success;
}

function mountSkipped(): string | undefined {
  if (!mayRun || Deno.permissions.querySync({ name: "run" }).state !== "granted") return "needs --allow-run";
  const folder = Deno.makeTempDirSync();
  try {
    if (!mount("-t", "tmpfs", "-o", "size=100k", "tmpfs", folder)) return "needs the right to mount a small disk";
    new Deno.Command("umount", { args: [folder] }).outputSync();
    return undefined;
  } catch {
    return "needs mount";
  } finally {
    Deno.removeSync(folder);
  }
}

test(
  "a backup is one file, which can be read, exported and backed up like a store, and nothing is left beside it",
  filesSkipped(),
  async (folder) => {
    const { copy } = await ended(folder);
    let text = "";
    await exportStore([], copy, { ...silent, write: (more) => Promise.resolve(void (text += more)) }, 0);
    assertEquals(text.split("\n").length, 102);
    await backupStore([`${folder}/again.sqlite`], copy, silent);
    assertEquals(await namesIn(folder), ["again.sqlite", "copy.sqlite", "prices.sqlite", "prices.sqlite.lock"]);
    for (const name of [copy, `${folder}/again.sqlite`]) {
      assertEquals(kindOf(name), "backup");
      using db = new DatabaseSync(name, { readOnly: true });
      assertEquals(pragma(db, "application_id"), APPLICATION_ID);
      assertEquals(db.prepare("PRAGMA journal_mode").get()?.journal_mode, "delete");
      assertEquals(countOf(db), 100);
    }
    for (const suffix of ["-wal", "-journal"]) {
      await Deno.writeTextFile(copy + suffix, "");
      await assertRejects(() => exportStore([], copy, silent, 0), SinkError, `got ${copy}${suffix}, which belongs`);
      await Deno.remove(copy + suffix);
    }
  },
);
