// The store with its threads on real files, and what becomes of it when the file or the disk is in trouble.

import { assert, assertEquals, assertGreater, assertLess, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { SinkError } from "../../src/core/errors.ts";
import type { FeedEvent, Gap, GapName } from "../../src/core/record.ts";
import { openDatabase, openForReading } from "../../src/store/database.ts";
import { VERSION } from "../../src/store/schema.ts";
import { Store, type StoreOptions } from "../../src/store/store.ts";
import { makeGap, makeTick } from "../fakes/events.ts";
import { Notebook } from "../fakes/log.ts";
import { tickOf, ticksOf } from "../fakes/ticks.ts";
import { childSkipped, filesSkipped, namesIn, startChild, temporaryFolder } from "./files.ts";

const skipped = filesSkipped();
const mayRun = Deno.permissions.querySync({ name: "run" }).state === "granted" && skipped === undefined;
const never = new AbortController().signal;
const BTC = { exchange: "coinbase", product: "BTC-USD" };
const ALL = { limit: 1_000_000 };

/** One test with a folder of its own. */
function test(name: string, fn: (folder: string) => Promise<void>, why: string | undefined = skipped): void {
  Deno.test({
    name: `${name}${why === undefined ? "" : ` [skipped: ${why}]`}`,
    ignore: why !== undefined,
    async fn() {
      await using folder = await temporaryFolder();
      await fn(folder.path);
    },
  });
}

async function openStore(path: string, options: Partial<StoreOptions> = {}) {
  const log = new Notebook();
  const store = await Store.open(path, { ticksDays: 0, log, ...options });
  return { store, log, [Symbol.asyncDispose]: () => store.close() };
}

async function sequences(store: Store): Promise<number[]> {
  return (await store.ticks(BTC, ALL)).map(({ sequence }) => sequence);
}

/** Of what is written again and again until it is taken. */
async function writeUntilTaken(store: Store, batch: readonly FeedEvent[]): Promise<string[]> {
  const reasons: string[] = [];
  for (let i = 0; i < 100; i++) {
    try {
      await store.write(batch, never);
      return reasons;
    } catch (error) {
      assert(error instanceof SinkError && error.kind === "retry", String(error));
      reasons.push(error.message);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  throw new Error(`never taken: ${reasons.at(-1)}`);
}

test("a store keeps what was written for the next one, in a folder that it makes", async (folder) => {
  const path = `${folder}/new/folder/prices.sqlite`;
  const gap = makeGap({ to: 1_791_061_120 });
  {
    await using opened = await openStore(path);
    assertEquals(await opened.store.lastTicks(), []);
    assertEquals(await opened.store.write([...ticksOf("BTC-USD", 100), gap, ...ticksOf("BTC-USD", 5, 98)], never), 102);
    assertEquals(opened.log.lines, []);
  }
  // the last one out leaves one file
  assertEquals(await namesIn(`${folder}/new/folder`), [
    "prices.sqlite",
    "prices.sqlite.lock",
  ]);
  await using opened = await openStore(path);
  assertEquals(await opened.store.lastTicks(), [tickOf("BTC-USD", 102)]);
  assertEquals((await sequences(opened.store)).length, 102);
  assertEquals(await opened.store.gaps(undefined, ALL), [gap]);
  assertEquals(
    (await opened.store.candles(BTC, "1m", ALL, 61_000)).map((
      candle,
    ) => [candle.ticks, candle.running, candle.lastSequence]),
    [
      [59, false, 59],
      [43, true, 102],
    ],
  );
  assertEquals((await opened.store.since([BTC], 101_000, 10))?.length, 3);
  assertEquals(await opened.store.since([BTC], 0, 10), undefined);
});

test("since() puts gaps among the ticks by when they came", async (folder) => {
  await using opened = await openStore(`${folder}/prices.sqlite`);
  const now = Date.now();
  const early = makeTick({ sequence: 1, receivedTime: now - 1000 }),
    late = makeTick({ sequence: 2, receivedTime: now + 1000 });
  await opened.store.write([early, makeGap(), late], never);
  const events = await opened.store.since([BTC], now - 5000, 10);
  assertEquals(events?.map((event) => event.kind === "tick" ? event.sequence : "gap"), [1, "gap", 2]);
});

test("a second store on the same file is refused at once, and the message has the path", async (folder) => {
  const path = `${folder}/prices.sqlite`;
  await Deno.symlink(path, `${folder}/other-name.sqlite`);
  await using opened = await openStore(path);
  await opened.store.write(ticksOf("BTC-USD", 1), never);
  for (const name of [path, `${folder}/other-name.sqlite`]) {
    const before = performance.now();
    const error = await assertRejects(() => openStore(name), SinkError);
    assertLess(performance.now() - before, 4000);
    assertEquals(error.kind, "fatal");
    assertEquals(
      error.message,
      `Cannot use the store ${name}: another program (process ${Deno.pid}) is using it and holds ${path}.lock`,
    );
  }
  await opened.store.write(ticksOf("BTC-USD", 1, 2), never);
});

test("a store of another program is refused, and taken over at once when that program is killed", async (folder) => {
  const path = `${folder}/prices.sqlite`;
  await using child = startChild(["hold", path]);
  assertEquals(await child.line(), "open");
  const error = await assertRejects(() => openStore(path), SinkError, "another program (process ");
  assertEquals(error.kind, "fatal");
  // readers are welcome
  using reader = new DatabaseSync(path, { readOnly: true });
  assertEquals(reader.prepare("SELECT count(*) AS n FROM prices").get()?.n, 1);
  child.kill();
  await child.rest();
  await using opened = await openStore(path);
  assertEquals((await opened.store.lastTicks()).length, 1);
}, childSkipped());

test(
  "a store with a second name (a hard link) is refused under each, and nothing that was confirmed is lost",
  async (folder) => {
    const path = `${folder}/prices.sqlite`, name = `${folder}/other/prices.sqlite`;
    await Deno.mkdir(`${folder}/other`);
    await using first = startChild(["hold", path]);
    assertEquals(await first.line(), "open");
    await Deno.link(path, name);
    const refusal = (path: string) =>
      `Cannot use the store ${path}: expected one name, got 2 (hard links). The newest ticks are in a -wal file beside only one ` +
      "of them: remove the others (find -samefile)";
    const expectRefused = async () => {
      await using second = startChild(["once", name, "2"]);
      assertEquals(await second.line(), `fatal: ${refusal(name)}`);
      assertThrows(() => openForReading(name), SinkError, refusal(name));
      // neither lock nor WAL
      assertEquals(await namesIn(`${folder}/other`), ["prices.sqlite"]);
    };
    await expectRefused();
    first.kill();
    await first.rest();
    await expectRefused();
    const error = await assertRejects(() => openStore(path), SinkError, refusal(path));
    assertEquals(error.kind, "fatal");
    await Deno.remove(name);
    await using opened = await openStore(path);
    assertEquals((await opened.store.ticks({ exchange: "coinbase", product: "ETH-USD" }, ALL)).length, 1);
  },
  childSkipped(),
);

test("a store that another program has under another name (a bind mount) is refused", async (folder) => {
  const path = `${folder}/prices.sqlite`, name = `${folder}/other/prices.sqlite`;
  await Deno.mkdir(`${folder}/other`);
  await using first = startChild(["hold", path]);
  assertEquals(await first.line(), "open");
  await Deno.writeTextFile(name, "");
  assert(run("mount", "--bind", path, name));
  try {
    await using second = startChild(["once", name, "2"]);
    const said = await second.line();
    first.kill();
    await first.rest();
    await using opened = await openStore(path);
    const confirmed = said === "stored" ? 2 : 1;
    const key = { exchange: "coinbase", product: "ETH-USD" };
    const stored = (await opened.store.ticks(key, ALL)).length +
      (await opened.store.ticks({ ...key, product: "SOL-USD" }, ALL)).length;
    assertEquals(stored, confirmed);
    assertEquals(
      said,
      `fatal: Cannot use the store ${name}: another program is using the same file under another name (a bind mount). Stop ` +
        "that program, or set STORE_FILE to another file",
    );
    assertEquals(await namesIn(`${folder}/other`), ["prices.sqlite"]);
    // freed by the end of the first
    await opened.store.close();
    await using third = startChild(["once", name, "2"]);
    assertEquals(await third.line(), "stored");
  } finally {
    assert(run("umount", name));
  }
}, childSkipped() ?? mountSkipped());

test("a store leaves alone what lies where its lock would be", async (folder) => {
  const path = `${folder}/package`;
  await Deno.writeTextFile(`${path}.lock`, '{"name":"my-app"}');
  const error = await assertRejects(() => openStore(path), SinkError);
  assertEquals([error.kind, error.message], [
    "fatal",
    `Cannot use the store ${path}: expected ${path}.lock to be its lock file, got something else. It was not changed`,
  ]);
  assertEquals(await Deno.readTextFile(`${path}.lock`), '{"name":"my-app"}');
  assertEquals(await namesIn(folder), ["package.lock"]);
});

test(
  "a store that a sqlite3 held locked at its start is locked itself all the same, and not its name alone",
  async (folder) => {
    const path = `${folder}/prices.sqlite`;
    using other = new DatabaseSync(path);
    other.exec("BEGIN EXCLUSIVE");
    // longer than one attempt to open it waits, so that the second one succeeds
    setTimeout(() => other.exec("ROLLBACK"), 700);
    await using opened = await openStore(path);
    await writeUntilTaken(opened.store, ticksOf("BTC-USD", 1));
    // by another process: to close the file in this one would drop the locks of SQLite
    const script = `console.log(Deno.openSync(${JSON.stringify(path)}, { read: true, write: true }).tryLockSync(true))`;
    const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["eval", script], stderr: "null" }).output();
    assertEquals(new TextDecoder().decode(stdout).trim(), Deno.build.os === "linux" ? "false" : "true");
  },
  childSkipped(),
);

const SQLITE_COMMANDS: readonly (readonly [command: string, ...before: string[]])[] = [
  ["sqlite3"],
  ["python3", "-c", "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone()[0])"],
];

/** What a SQLite that is not ours answers to a question for one value; undefined: this machine has none. */
function askOutside(path: string, question: string): string | undefined {
  for (const [command, ...before] of SQLITE_COMMANDS) {
    try {
      const args = [...before, path, question];
      const { success, stdout } = new Deno.Command(command, { args, stderr: "null" }).outputSync();
      if (success) return new TextDecoder().decode(stdout).trim();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return undefined;
}

function outsideSkipped(): string | undefined {
  if (!mayRun) return "needs --allow-run, --allow-read and --allow-write";
  return askOutside(":memory:", "SELECT 1") === "1" ? undefined : "needs sqlite3 or python3";
}

test(
  "reading the store with sqlite3 removes nothing, also while the page reads it",
  async (folder) => {
    const path = `${folder}/prices.sqlite`;
    await using opened = await openStore(path);
    await opened.store.write(ticksOf("BTC-USD", 1), never);
    assertEquals((await opened.store.lastTicks()).length, 1);
    // SQLite 3.40 removes the WAL with the last connection that it sees: it must see ours
    assertEquals(askOutside(path, "SELECT count(*) FROM tick"), "1");
    await opened.store.write(ticksOf("BTC-USD", 5, 2), never);
    assertEquals(askOutside(path, "SELECT count(*) FROM tick"), "6");
  },
  outsideSkipped(),
);

for (
  const [what, target] of [["", "later.sqlite"], [" in a folder that is not there yet", "new/later.sqlite"]] as const
) {
  test(`a store whose name is a link to nothing yet${what} begins where the link leads`, async (folder) => {
    const path = `${folder}/prices.sqlite`;
    await Deno.symlink(target, path);
    await using opened = await openStore(path);
    await opened.store.write(ticksOf("BTC-USD", 1), never);
    await assertRejects(() => openStore(`${folder}/${target}`), SinkError, `holds ${folder}/${target}.lock`);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await opened.store.write(ticksOf("BTC-USD", 1, 2), never);
    assertEquals(opened.log.lines, []);
    assertEquals(await opened.store.gaps(undefined, ALL), []);
    assertEquals((await Deno.lstat(path)).isSymlink, true);
    assertEquals((await sequences(opened.store)).length, 2);
  });
}
test("a store names its newest gaps, so that a later run gives none of their names again", async (folder) => {
  await using opened = await openStore(`${folder}/prices.sqlite`);
  assertEquals(await opened.store.gapNames(10), []);
  const gaps = [30, 10, 20].map((at) => makeGap({ opened: at + 0.001, to: at }));
  await opened.store.write([...gaps, makeGap({ product: "ETH-USD", opened: 15.5 })], never);
  const names: GapName[] = [
    ["coinbase", "BTC-USD", 10.001],
    ["coinbase", "ETH-USD", 15.5],
    ["coinbase", "BTC-USD", 20.001],
    ["coinbase", "BTC-USD", 30.001],
  ];
  assertEquals(await opened.store.gapNames(10), names);
  assertEquals(await opened.store.gapNames(2), names.slice(-2));
});

for (
  const [what, make] of [
    ["a text", (path: string) => Deno.writeTextFileSync(path, "my diary\n".repeat(100))],
    ["a short text", (path: string) => Deno.writeTextFileSync(path, "x")],
    ["somebody else's database", (path: string) => {
      using db = new DatabaseSync(path);
      db.exec("PRAGMA journal_mode = WAL; CREATE TABLE diary (day TEXT)");
    }],
  ] as const
) {
  test(`${what} is not a store: it is refused and not changed`, async (folder) => {
    const path = `${folder}/prices.sqlite`;
    make(path);
    const before = await Deno.readFile(path);
    const error = await assertRejects(
      () => openStore(path),
      SinkError,
      "expected a store of this program, got another file. It was not changed",
    );
    assertEquals(error.kind, "fatal");
    assertEquals(await Deno.readFile(path), before);
    assertEquals((await namesIn(folder)).filter((name) => !/-shm$|-wal$/.test(name)), [
      "prices.sqlite",
    ]);
  });
}

for (
  const [what, place, why] of [
    ["a folder", (folder: string) => folder, "a folder"],
    ["a folder's name with its slash", (folder: string) => `${folder}/new/`, "a folder"],
    ["a device", () => "/dev/null", "a device"],
    ["below a file", (folder: string) => `${folder}/text/x/y`, "part of its path is not a folder"],
    ["below a device", () => "/dev/null/x", "part of its path is not a folder"],
  ] as const
) {
  test(`a store that is to be ${what} is a wrong setting: refused in words, and nothing is made`, async (folder) => {
    await Deno.writeTextFile(`${folder}/text`, "x");
    const path = place(folder);
    const error = await assertRejects(() => openStore(path), SinkError);
    assertEquals(error.kind, "fatal");
    const expected = why.startsWith("part")
      ? `Cannot open the store ${path}: ${why}`
      : `Cannot use the store ${path}: expected a regular file, got ${why}`;
    // without --allow-all, Deno does not even look below /dev
    const forbidden = `Cannot open the store ${path}: this program may not use "${path}"`;
    assert(
      error.message === expected || (path.startsWith("/dev/null/") && error.message.startsWith(forbidden)),
      error.message,
    );
    assertEquals(await namesIn(folder), ["text"]);
  });
}

test("a store in a place that Deno keeps from programs is refused in words", async (folder) => {
  await using child = startChild(["once", "/proc/x/y"]);
  assertEquals(
    await child.line(),
    'fatal: Cannot open the store /proc/x/y: this program may not use "/proc/x/y": choose a place outside of /proc, ' +
      "/dev and /sys",
  );
  assertEquals(await namesIn(folder), []);
}, childSkipped());

for (
  const [what, make] of [
    ["an empty file", (path: string) => Deno.writeFileSync(path, new Uint8Array())],
    ["an empty database", (path: string) => {
      using db = new DatabaseSync(path);
      db.exec("PRAGMA journal_mode = WAL");
    }],
  ] as const
) {
  test(`${what} becomes a store`, async (folder) => {
    make(`${folder}/prices.sqlite`);
    await using opened = await openStore(`${folder}/prices.sqlite`);
    assertEquals(await opened.store.write(ticksOf("BTC-USD", 1), never), 1);
  });
}

test("a store that a newer program wrote is refused with both versions", async (folder) => {
  const path = `${folder}/prices.sqlite`;
  await (await openStore(path)).store.close();
  {
    using db = new DatabaseSync(path);
    db.exec("PRAGMA user_version = 99");
  }
  const error = await assertRejects(() => openStore(path), SinkError);
  assertEquals(error.kind, "fatal");
  assertMatch(error.message, /: expected version \d+ or older, got 99, which a newer program wrote$/);
});

async function asides(folder: string): Promise<string[]> {
  return (await namesIn(folder)).filter((name) => /^prices\.sqlite\.damaged-[\dTZ-]+$/.test(name));
}

for (
  const [what, damage] of [
    ["begins with zeros", (file: Uint8Array) => file.fill(0, 0, 4096)],
    ["begins with junk", (file: Uint8Array) => file.fill(90, 0, 4096)],
    ["has a page of junk where the newest is", (file: Uint8Array) => file.fill(90, 4096)],
    ["was cut off", (file: Uint8Array) => file.subarray(0, 5000)],
  ] as const
) {
  test(`a store that ${what} at the start is moved aside, a new one begins, and both is said`, async (folder) => {
    const path = `${folder}/prices.sqlite`;
    {
      await using opened = await openStore(path);
      await opened.store.write([...ticksOf("BTC-USD", 5000), ...ticksOf("ETH-USD", 5000)], never);
    }
    await Deno.writeFile(path, damage(await Deno.readFile(path)));
    await using opened = await openStore(path);
    assertEquals(opened.log.find("The store was damaged: its file was moved aside, a new one begins").length, 1);
    assertEquals((await asides(folder)).length, 1);
    await opened.store.write(ticksOf("BTC-USD", 3, 6000), never);
    assertEquals(await sequences(opened.store), [6000, 6001, 6002]);
    assertEquals((await opened.store.gaps(BTC, ALL)).map(({ from, to, reason }) => [from, to, reason]), [[
      null,
      6000,
      "store-failed",
    ]]);
  });
}

test("two stores that are damaged within one second are both kept", async (folder) => {
  const path = `${folder}/prices.sqlite`;
  await Deno.writeTextFile(`${path}.lock`, "1\n");
  for (const content of ["first", "second"]) {
    await Deno.writeTextFile(path, content);
    openDatabase(path, { log: new Notebook(), now: () => 0 }).close();
  }
  const kept = (await asides(folder)).map((name) => Deno.readTextFile(`${folder}/${name}`));
  assertEquals(await Promise.all(kept), ["first", "second"]);
});

test("a store that is damaged while it runs is moved aside, what was being written is stored, and the loss is declared", async (folder) => {
  const path = `${folder}/prices.sqlite`;
  await using opened = await openStore(path, { syncEveryMs: 10 });
  await opened.store.write([...ticksOf("BTC-USD", 20_000), ...ticksOf("ETH-USD", 20_000)], never);
  await new Promise((resolve) => setTimeout(resolve, 300));
  {
    using file = await Deno.open(path, { write: true });
    await file.seek(4096, Deno.SeekMode.Start);
    await file.write(new Uint8Array((await file.stat()).size - 4096).fill(90));
  }
  {
    // a commit of another connection makes SQLite read its pages again
    using other = new DatabaseSync(path);
    other.exec(`PRAGMA user_version = ${VERSION}`);
  }
  let next = 20_001;
  for (; (await asides(folder)).length === 0; next += 1000) {
    assertLess(next, 200_000);
    await writeUntilTaken(opened.store, ticksOf("BTC-USD", 1000, next));
  }
  assertEquals(opened.log.find("error The store was damaged").length, 1);
  assertEquals(await sequences(opened.store), Array.from({ length: 1000 }, (_, i) => next - 1000 + i));
  assertEquals((await opened.store.gaps(BTC, ALL)).map(({ from, to, reason }) => [from, to, reason]), [[
    null,
    next - 1000,
    "store-failed",
  ]]);
});

for (const what of ["file", "file and lock", "folder"] as const) {
  test(`a store whose ${what} is deleted under it notices, says so and begins anew`, async (folder) => {
    const path = `${folder}/data/prices.sqlite`;
    const declared: Gap[] = [];
    await using opened = await openStore(path, { onGap: (gap) => void declared.push(gap) });
    await opened.store.write(ticksOf("BTC-USD", 10), never);
    if (what === "folder") await Deno.remove(`${folder}/data`, { recursive: true });
    else {
      await Deno.remove(path);
      if (what === "file and lock") await Deno.remove(`${path}.lock`);
    }
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await opened.store.write(ticksOf("BTC-USD", 3, 50), never);
    assertEquals(await sequences(opened.store), [50, 51, 52]);
    assertEquals(opened.log.find("error The store's file was lost, a new one begins").length, 1);
    assertEquals((await opened.store.gaps(BTC, ALL)).map(({ from, to, reason }) => [from, to, reason]), [[
      null,
      50,
      "store-failed",
    ]]);
    assertEquals(declared, await opened.store.gaps(BTC, ALL));
    // and the new file is locked as the old one was
    await assertRejects(() => openStore(path), SinkError, "another program");
  });
}

test("a store whose file was deleted while the program did not run says so and declares what is missing", async (folder) => {
  const path = `${folder}/prices.sqlite`;
  {
    await using opened = await openStore(path);
    await opened.store.write(ticksOf("BTC-USD", 10), never);
    assertEquals(opened.log.find("error").length, 0);
  }
  await Deno.remove(path);
  await using opened = await openStore(path);
  await opened.store.write(ticksOf("BTC-USD", 3, 50), never);
  assertEquals(opened.log.find("error The store's file was lost, a new one begins").length, 1);
  assertEquals((await opened.store.gaps(BTC, ALL)).map(({ from, to, reason }) => [from, to, reason]), [[
    null,
    50,
    "store-failed",
  ]]);
});

test("a file that was replaced while the program runs is used from then on", async (folder) => {
  const path = `${folder}/prices.sqlite`;
  {
    await using older = await openStore(`${folder}/older.sqlite`);
    await older.store.write(ticksOf("BTC-USD", 5), never);
  }
  await using opened = await openStore(path);
  await opened.store.write(ticksOf("BTC-USD", 10, 100), never);
  await Deno.rename(`${folder}/older.sqlite`, path);
  for (const suffix of ["-wal", "-shm"]) await Deno.remove(path + suffix);
  await new Promise((resolve) => setTimeout(resolve, 1100));
  await opened.store.write(ticksOf("BTC-USD", 1, 200), never);
  assertEquals(await sequences(opened.store), [1, 2, 3, 4, 5, 200]);
});

const setpriv = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"];

/** A command under which rights of files hold, also for root. */
function withoutRights(): readonly string[] | undefined {
  try {
    const { code } = new Deno.Command("setpriv", {
      args: [...setpriv.slice(1), "true"],
      stdout: "null",
      stderr: "null",
    }).outputSync();
    return code === 0 ? setpriv : undefined;
  } catch {
    return undefined;
  }
}

const rightless = mayRun ? withoutRights() : undefined;

test("a file or folder that may not be written to is said in words, and heals when it may", async (folder) => {
  const path = `${folder}/data/prices.sqlite`;
  const once = async () => {
    await using child = startChild(["once", path], rightless);
    const said = await child.line();
    // killed before its end, it would leave files beside the store that have the store's rights
    await child.rest();
    return said;
  };
  assertEquals(await once(), "stored");
  await Deno.chmod(path, 0o444);
  assertMatch(
    await once() ?? "",
    /^retry: Cannot (?:open|write to) the store .*prices\.sqlite: no permission to write to the file or its folder$/,
  );
  await Deno.chmod(path, 0o644);
  await Deno.remove(`${path}.lock`);
  await Deno.chmod(`${folder}/data`, 0o555);
  assertMatch(
    await once() ?? "",
    /^retry: Cannot open the store .*prices\.sqlite: no permission to write to the file or its folder$/,
  );
  await Deno.chmod(`${folder}/data`, 0o755);
  assertEquals(await once(), "stored");
}, rightless === undefined ? "needs setpriv and --allow-run" : childSkipped());

function run(command: string, ...args: string[]): boolean {
  return new Deno.Command(command, { args, stdout: "null", stderr: "null" }).outputSync().success;
}

function mountSkipped(): string | undefined {
  if (!mayRun) return "needs --allow-run, --allow-read and --allow-write";
  const folder = Deno.makeTempDirSync();
  try {
    if (!run("mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", folder)) {
      return "needs the right to mount a small disk";
    }
    run("umount", folder);
    return undefined;
  } catch {
    return "needs mount";
  } finally {
    Deno.removeSync(folder);
  }
}

test("a full disk is said in words, nothing confirmed is lost, and it heals when there is room", async (folder) => {
  assert(run("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder));
  try {
    await using opened = await openStore(`${folder}/prices.sqlite`, { syncEveryMs: 50 });
    await Deno.writeFile(`${folder}/ballast`, new Uint8Array(1_000_000));
    let next = 1;
    const error = await assertRejects(async () => {
      for (; next < 100_000; next += 500) await opened.store.write(ticksOf("BTC-USD", 500, next), never);
    }, SinkError);
    assertEquals(error.kind, "retry");
    assertEquals(error.message, `Cannot write to the store ${folder}/prices.sqlite: the disk is full`);
    await assertRejects(() => opened.store.write(ticksOf("BTC-USD", 500, next), never), SinkError, "the disk is full");
    assertEquals((await sequences(opened.store)).length, next - 1);
    await Deno.remove(`${folder}/ballast`);
    await writeUntilTaken(opened.store, ticksOf("BTC-USD", 500, next));
    assertEquals(await sequences(opened.store), Array.from({ length: next + 499 }, (_, i) => i + 1));
  } finally {
    run("umount", folder);
  }
}, mountSkipped());

test("a disk without room for the number in the lock does not lock the store out for ever", async (folder) => {
  assert(run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder));
  const path = `${folder}/prices.sqlite`;
  try {
    {
      await using opened = await openStore(path);
      await opened.store.write(ticksOf("BTC-USD", 10), never);
    }
    await Deno.truncate(`${path}.lock`);
    await assertRejects(() => Deno.writeFile(`${folder}/ballast`, new Uint8Array(2_000_000)), Error, "os error 28");
    await using opened = await openStore(path);
    await Deno.remove(`${folder}/ballast`);
    assertEquals(await writeUntilTaken(opened.store, ticksOf("BTC-USD", 1, 11)), []);
    assertEquals((await sequences(opened.store)).length, 11);
  } finally {
    run("umount", folder);
  }
}, mountSkipped());

test("a disk that is full or read-only at the start gives a store that fails in words and heals", async (folder) => {
  assert(run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder));
  try {
    await Deno.writeFile(`${folder}/ballast`, new Uint8Array(1_048_576 - 8192));
    await using opened = await openStore(`${folder}/prices.sqlite`);
    assertEquals(opened.log.find("error The store cannot be used for now").length, 1);
    assertMatch(opened.log.find("the disk is full").join(), /Cannot open the store/);
    await assertRejects(() => opened.store.lastTicks(), SinkError, "Cannot read the store");
    await Deno.remove(`${folder}/ballast`);
    assert(run("mount", "-o", "remount,ro", folder));
    const error = await assertRejects(() => opened.store.write(ticksOf("BTC-USD", 1), never), SinkError);
    assertMatch(error.message, /^Cannot open the store .*: (?:the disk is read-only|no permission to write .*)$/);
    assert(run("mount", "-o", "remount,rw", folder));
    await writeUntilTaken(opened.store, ticksOf("BTC-USD", 1));
    assertEquals(await sequences(opened.store), [1]);
  } finally {
    run("umount", folder);
  }
}, mountSkipped());

test("a long query delays no write, and returns one state of the file", async (folder) => {
  await using opened = await openStore(`${folder}/prices.sqlite`);
  const { store } = opened;
  for (let i = 0; i < 40; i++) await store.write(ticksOf("BTC-USD", 5000, i * 5000), never);
  const asking = store.ticks(BTC, ALL);
  let slowest = 0, written = 0;
  let isDone = false;
  const reading = asking.then((ticks) => {
    isDone = true;
    return ticks.length;
  });
  while (!isDone) {
    const before = performance.now();
    await store.write(ticksOf("ETH-USD", 10, written), never);
    slowest = Math.max(slowest, performance.now() - before);
    written += 10;
  }
  assertGreater(written, 10);
  assertEquals(await reading, 200_000);
});

test("old ticks are deleted, the file shrinks, and no write waits for that", async (folder) => {
  const path = `${folder}/prices.sqlite`;
  const now = Date.now();
  const at = (i: number, count: number, ageMs: number) => {
    const exchangeTimeUs = Math.floor(now - ageMs + i * (3_600_000 / count)) * 1000;
    return makeTick({
      sequence: i + (ageMs > 1e7 ? 0 : 1e9),
      exchangeTimeUs,
      recordTimeUs: exchangeTimeUs,
      receivedTime: now,
    });
  };
  const COUNT = 100_000;
  const old = Array.from({ length: COUNT }, (_, i) => at(i, COUNT, 5 * 86_400_000));
  const fresh = Array.from({ length: 1000 }, (_, i) => at(i, 1000, 3_600_000));
  {
    await using opened = await openStore(path);
    for (let i = 0; i < COUNT; i += 5000) await opened.store.write(old.slice(i, i + 5000), never);
    await opened.store.write(fresh, never);
  }
  const sizeBefore = (await Deno.stat(path)).size;
  await using opened = await openStore(path, { ticksDays: 1, cleanEveryMs: 200, syncEveryMs: 100 });
  const took: number[] = [];
  let sequence = 2e9;
  const deadline = Date.now() + 60_000;
  while ((await Deno.stat(path)).size > sizeBefore / 3) {
    assertLess(Date.now(), deadline, "the file never shrank");
    const before = performance.now();
    await opened.store.write(
      [makeTick({ sequence: sequence++, exchangeTimeUs: now * 1000, receivedTime: now })],
      never,
    );
    took.push(performance.now() - before);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assertEquals((await opened.store.ticks(BTC, ALL)).length, fresh.length + took.length);
  assertEquals(
    (await opened.store.candles(BTC, "1m", ALL, now)).reduce((sum, { ticks }) => sum + ticks, 0),
    COUNT + fresh.length + took.length,
  );
  assertEquals(opened.log.lines, []);
});

test("reading and writing after close() is rejected", async (folder) => {
  const { store } = await openStore(`${folder}/prices.sqlite`);
  const writing = store.write(ticksOf("BTC-USD", 10), never);
  await store.close();
  assertEquals(await writing, 10);
  await store.close();
  await assertRejects(() => store.lastTicks(), SinkError, "closed");
  await assertRejects(() => store.write(ticksOf("BTC-USD", 1), never), SinkError, "closed");
});
