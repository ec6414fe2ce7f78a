import { assert, assertEquals, assertLess, assertMatch, assertThrows } from "@std/assert";
import { Cursor, lockCursor, readCursor } from "../src/cursor.ts";
import { SinkError } from "../src/errors.ts";
import type { Position } from "../src/record.ts";
import { FakeClock } from "./fakes/clock.ts";
import { inTempDir } from "./fakes/folder.ts";
import { Notebook } from "./fakes/log.ts";

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
  assertEquals(await readCursor(path, log), positions);
  positions = [at("BTC-USD", 2), at("ETH-USD", 7)];
  await cursor.write();
  assertEquals(await readCursor(path, log), positions);
  const files = await Array.fromAsync(Deno.readDir(path.replace(/\/[^/]*$/, "")), ({ name }) => name);
  assertEquals(files, ["cursor.json"]);
  assertEquals(log.lines, []);
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
    ["another version", '{"version":2,"positions":[]}'],
    ["a text as price", JSON.stringify({ version: 1, positions: [{ ...at("A", 1), price: "1" }] })],
    [
      "a sequence that is no whole number",
      JSON.stringify({ version: 1, positions: [{ ...at("A", 1), sequence: 1.5 }] }),
    ],
    [
      "a record's time that is not its tick's",
      JSON.stringify({ version: 1, positions: [{ ...at("A", 1), recordTimeUs: 1_995_961_259_092_469 }] }),
    ],
    ["null", "null"],
    ["null among its positions", '{"version":1,"positions":[null]}'],
  ] as const
) {
  test(`a cursor that holds ${what} is told of, and taken for unknown`, async (path) => {
    const log = new Notebook();
    await Deno.writeTextFile(path, content);
    assertEquals(await readCursor(path, log), undefined);
    assertEquals(log.lines.map(({ level, fields }) => [level, fields.path]), [["warn", path]]);
  });
}

test("a cursor is of one program alone, as long as that runs", async (path) => {
  const first = lockCursor(path);
  assertThrows(() => lockCursor(path), SinkError, `Cannot use the cursor ${path} as it must be of this program alone`);
  first?.close();
  lockCursor(path)?.close();
  assertEquals(lockCursor(`${path}/no-folder/cursor`), undefined);
  await Promise.resolve();
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
    "The cursor stays behind: the gap of the next start begins too early",
  ]);
});

test("a cursor that is missing is no trouble", async (path) => {
  const log = new Notebook();
  assertEquals(await readCursor(path, log), undefined);
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
  assertEquals((await readCursor(path, log))?.[0]?.sequence, 1);
  await Deno.remove(`${path}.part`);
  await cursor.write();
  assertEquals((await readCursor(path, log))?.[0]?.sequence, 2);
});

test("a cursor where Deno lets nobody write is told of in words that lead on", async () => {
  const log = new Notebook();
  const path = "/proc/foo/cursor.json";
  const cursor = new Cursor({ path, positions: () => [at("BTC-USD", 1)], clock: new FakeClock(), log });
  await readCursor(path, log);
  await cursor.write();
  const said = JSON.stringify([...log.find("Cannot use the cursor"), ...log.find("Cannot write the cursor")]);
  assertEquals([said.includes("allow-all"), said.split("choose a place outside of /proc").length], [false, 3], said);
  // with --allow-all Deno has no word about it
}, permitted ? { permissions: { read: true, write: true } } : {});
