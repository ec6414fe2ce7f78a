import { assert, assertEquals, assertLess, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { basename, dirname } from "node:path";
import { Cursor, lockCursor, readCursor, sharedFile } from "../../src/pipeline/cursor.ts";
import { exitCodeFor, SinkError } from "../../src/core/errors.ts";
import { GapTimes, type Position } from "../../src/core/record.ts";
import { FakeClock } from "../fakes/clock.ts";
import { inTempDir } from "../fakes/folder.ts";
import { Notebook } from "../fakes/log.ts";

const mayRun = Deno.permissions.querySync({ name: "run", command: "mkfifo" }).state === "granted";
const permitted = (["read", "write"] as const).every((name) =>
  Deno.permissions.querySync({ name }).state === "granted"
);

function test(name: string, fn: (path: string) => Promise<void>, options: Partial<Deno.TestDefinition> = {}): void {
  Deno.test({
    ...options,
    name: permitted ? name : `${name} [skipped: needs --allow-read --allow-write]`,
    ignore: !permitted,
    fn: () => inTempDir((folder) => fn(`${folder}/cursor.json`)),
  });
}

/** What is in the folder of the cursor. */
async function namesIn(path: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(dirname(path)), ({ name }) => name)).sort();
}

function at(product: string, sequence: number): Position {
  return {
    exchange: "coinbase",
    product,
    sequence,
    price: 37_000.12,
    exchangeTimeUs: 1_700_000_000_123_456,
    receivedTime: 1_700_000_000_130,
    recordTimeUs: 1_700_000_000_123_457,
    tradeId: 5,
  };
}

test("a cursor gives back what it was told, and leaves nothing else behind", async (path) => {
  const log = new Notebook();
  let positions = [at("BTC-USD", 1)];
  const cursor = new Cursor({ path, positions: () => positions, clock: new FakeClock(), log });
  await cursor.write();
  assertEquals((await readCursor(path, log)).positions, positions);
  positions = [at("BTC-USD", 2), at("ETH-USD", 7)];
  await cursor.write();
  assertEquals((await readCursor(path, log)).positions, positions);
  assertEquals(await namesIn(path), ["cursor.json"]);
  assertEquals(log.lines, []);
});

test("a cursor notes the newest gaps, so that a later run gives none of their names again", async (path) => {
  const log = new Notebook();
  const gapTimes = new GapTimes();
  for (let i = 0; i < 300; i++) gapTimes.next(1_700_000_000_000, "coinbase", "BTC-USD");
  const positions = [at("BTC-USD", 1)];
  const gapNames = (count: number) => gapTimes.newest(count);
  const cursor = new Cursor({ path, positions: () => positions, gapNames, clock: new FakeClock(), log });
  await cursor.write();
  assertEquals((await readCursor(path, log)).positions, positions);
  const { gapNames: names } = await readCursor(path, log);
  assertEquals([names.length, names.at(-1)], [200, ["coinbase", "BTC-USD", 1_700_000_000.299]]);
  const later = new GapTimes(names);
  assertEquals(later.next(1_700_000_000_250, "coinbase", "BTC-USD"), 1_700_000_000.3);
  assertEquals(later.next(1_700_000_000_250, "coinbase", "ETH-USD"), 1_700_000_000.25);
  // cursors of earlier versions name none, and no file none either
  await Deno.writeTextFile(path, JSON.stringify({ version: 1, positions, gaps: [5, ["a"], ["a", "b", "c"]] }));
  assertEquals(await readCursor(path, log), { positions, gapNames: [] });
  assertEquals(await readCursor(`${path}.missing`, log), { positions: undefined, gapNames: [] });
});

test("a cursor is written once a second at most, and only when something has changed", async (path) => {
  const clock = new FakeClock();
  let asked = 0;
  const cursor = new Cursor({
    path,
    positions: () => [at("BTC-USD", Math.floor(asked++ / 2))],
    clock,
    log: new Notebook(),
  });
  const stop = new AbortController();
  const running = cursor.run(stop.signal);
  const changes = new Set<number | undefined>();
  for (let i = 0; i < 100; i++) {
    await clock.advance(100);
    await new Promise((resolve) => setTimeout(resolve, 1));
    changes.add((await Deno.stat(path).catch(() => undefined))?.ino ?? undefined);
  }
  stop.abort();
  await running;
  assertLess(asked, 13);
  assert(asked > 5, String(asked));
  assertLess(changes.size, 9);
});

for (
  const [what, content] of [
    ["nothing", ""],
    ["half of it", '{"version":1,"positions":[{"exchange":"coinb'],
    ["what a disk without power leaves", "\0".repeat(4096)],
    ["a text as price", JSON.stringify({ version: 1, positions: [{ ...at("A", 1), price: "1" }] })],
    [
      "a sequence that is no whole number",
      JSON.stringify({ version: 1, positions: [{ ...at("A", 1), sequence: 1.5 }] }),
    ],
    [
      "a record's time that is not its tick's",
      JSON.stringify({ version: 1, positions: [{ ...at("A", 1), recordTimeUs: 1_995_961_259_092_469 }] }),
    ],
    ["null among its positions", '{"version":1,"positions":[null]}'],
  ] as const
) {
  test(`a cursor that holds ${what} is told of, and taken for unknown`, async (path) => {
    const log = new Notebook();
    await Deno.writeTextFile(path, content);
    assertEquals(await readCursor(path, log), { positions: undefined, gapNames: [] });
    assertEquals(log.lines.map(({ level, fields }) => [level, fields.path]), [["warn", path]]);
  });
}

for (
  const [what, content] of [
    ["a text", "# Notes\n"],
    ["settings", "KAFKA_PASSWORD=secret\n"],
    ["other JSON", '{"version":"1.0.0","name":"my-app"}'],
    ["a cursor of a newer version", '{"version":2,"positions":[]}'],
    ["null", "null"],
    ["a database", "SQLite format 3\0".repeat(4000)],
    ["a text behind much white space", `${"\n".repeat(500)}# Notes\n`],
  ] as const
) {
  test(`a cursor never replaces ${what}, neither at its path nor where it writes before`, async (path) => {
    for (const name of [path, `${path}.part`]) {
      await Deno.writeTextFile(name, content);
      const error = assertThrows(() => lockCursor(path), SinkError);
      assertEquals([error.kind, exitCodeFor(error), error.message], [
        "fatal",
        4,
        `Cannot use the cursor ${name} (CURSOR_FILE): expected a file that this program wrote, or none, found something ` +
        "else; it was not changed",
      ]);
      if (name === path) await assertRejects(() => readCursor(path, new Notebook()), SinkError, error.message);
      assertEquals(await Deno.readTextFile(name), content);
      assertEquals(await namesIn(path), [basename(name)]);
      await Deno.remove(name);
    }
  });
}

test("a cursor is never a pipe or a device, which could be read for ever, nor a huge file", async (path) => {
  const refused = (what: string) => {
    const message =
      `Cannot use the cursor ${path} (CURSOR_FILE): expected a file that this program wrote, or none, found `;
    assertThrows(() => lockCursor(path), SinkError, `${message}${what}; it was not changed`);
  };
  await Deno.symlink("/dev/zero", path);
  assertThrows(() => lockCursor(path), SinkError, "found a device");
  await Deno.remove(path);
  new Deno.Command("mkfifo", { args: [path] }).outputSync();
  refused("a pipe");
  await Deno.remove(path);
  await Deno.writeTextFile(path, '{"version":1,"positions":[');
  await Deno.truncate(path, 400e6);
  const before = Deno.memoryUsage().rss;
  refused("one of 400 MB");
  await assertRejects(() => readCursor(path, new Notebook()), SinkError, "found one of 400 MB");
  assertLess(Deno.memoryUsage().rss - before, 50e6);
  assertEquals(await namesIn(path), ["cursor.json"]);
}, { ignore: Deno.build.os === "windows" || !mayRun });

test("a cursor has its folder made, as a store has", async (path) => {
  const inside = `${dirname(path)}/a/b/cursor.json`, log = new Notebook();
  using _lock = lockCursor(inside);
  await new Cursor({ path: inside, positions: () => [at("BTC-USD", 1)], clock: new FakeClock(), log }).write();
  assertEquals([(await readCursor(inside, log)).positions?.length, log.lines], [1, []]);
});

test("a cursor and a store with one file between them are told", async (path) => {
  const store = `${dirname(path)}/prices.sqlite`, link = `${dirname(path)}/link`;
  await Deno.writeTextFile(store, "");
  await Deno.symlink(store, link);
  for (const name of [store, link, `${dirname(path)}/./prices.sqlite`]) assertEquals(sharedFile(name, store), store);
  assertEquals(sharedFile(`${store}-wal`, link), `${store}-wal`);
  assertEquals(sharedFile(`${store}.cursor`, store), undefined);
});

test("a cursor is no folder, and a half of one that was being written is no trouble", async (path) => {
  assertThrows(() => lockCursor(dirname(path)), SinkError, "found a folder");
  const log = new Notebook();
  await Deno.writeTextFile(`${path}.part`, '{\n "version": 1,\n "posit');
  assertEquals(await readCursor(path, log), { positions: undefined, gapNames: [] });
  await new Cursor({ path, positions: () => [at("BTC-USD", 1)], clock: new FakeClock(), log }).write();
  assertEquals((await readCursor(path, log)).positions?.length, 1);
});

test("a cursor that is a link is written where the link leads, and has one lock with it", async (path) => {
  const link = `${path}-link`;
  await Deno.symlink(path, link);
  const log = new Notebook();
  await new Cursor({ path: link, positions: () => [at("BTC-USD", 1)], clock: new FakeClock(), log }).write();
  assertEquals((await Deno.lstat(link)).isSymlink, true);
  assertEquals((await readCursor(path, log)).positions?.length, 1);
  using _first = lockCursor(path);
  assertThrows(() => lockCursor(link), SinkError, "another program is using it");
});

test("a cursor is of one program alone, as long as that runs", async (path) => {
  const first = lockCursor(path);
  assertThrows(() => lockCursor(path), SinkError, `Cannot use the cursor ${path}: another program is using it.`);
  first?.close();
  lockCursor(path)?.close();
  await Deno.writeTextFile(path, "");
  assertEquals(lockCursor(`${path}/no-folder/cursor`), undefined);
});

test("a cursor that cannot be written says why, and at the end what comes of it", async (path) => {
  const log = new Notebook();
  const cursor = new Cursor({
    path: `${path}/no-folder`,
    positions: () => [at("BTC-USD", 1)],
    clock: new FakeClock(),
    log,
  });
  assertEquals(cursor.trouble, undefined);
  await cursor.finish();
  assertMatch(cursor.trouble ?? "", /No such file|Not a directory/);
  assertEquals(log.lines.map(({ message }) => message), [
    "Cannot write the cursor, trying again",
    "The cursor is out of date: the gap of the next start will begin too early",
  ]);
});

test("a cursor that is missing is no trouble", async (path) => {
  const log = new Notebook();
  assertEquals(await readCursor(path, log), { positions: undefined, gapNames: [] });
  assertEquals(log.lines.map(({ level }) => level), ["info"]);
});

test("a cursor whose disk fails is told of and tried again, and the old file stays whole", async (path) => {
  const log = new Notebook();
  let positions = [at("BTC-USD", 1)];
  const cursor = new Cursor({ path, positions: () => positions, clock: new FakeClock(), log });
  await cursor.write();
  await Deno.mkdir(`${path}.part`);
  positions = [at("BTC-USD", 2)];
  await cursor.write();
  assertEquals(log.lines.map(({ level, fields }) => [level, fields.path]), [["warn", path]]);
  assertEquals((await readCursor(path, log)).positions?.[0]?.sequence, 1);
  await Deno.remove(`${path}.part`);
  await cursor.write();
  assertEquals((await readCursor(path, log)).positions?.[0]?.sequence, 2);
});

test("a cursor where Deno lets nobody write is told of in words that lead on", async () => {
  const log = new Notebook();
  const path = "/proc/foo/cursor.json";
  const cursor = new Cursor({ path, positions: () => [at("BTC-USD", 1)], clock: new FakeClock(), log });
  await readCursor(path, log);
  await cursor.write();
  const said = JSON.stringify([...log.find("Cannot read the cursor"), ...log.find("Cannot write the cursor")]);
  assertEquals([said.includes("allow-all"), said.split("choose a place outside of /proc").length], [false, 3], said);
  // with --allow-all Deno has no word about it
}, permitted ? { permissions: { read: true, write: true } } : {});
