import { assert, assertEquals, assertLess } from "@std/assert";
import { Cursor, readCursor } from "../src/cursor.ts";
import type { Position } from "../src/record.ts";
import { FakeClock } from "./fakes/clock.ts";
import { Notebook } from "./fakes/log.ts";

const permitted = (["read", "write"] as const).every((name) =>
  Deno.permissions.querySync({ name }).state === "granted"
);

function test(name: string, fn: (path: string) => Promise<void>): void {
  Deno.test({
    name: permitted ? name : `${name} [skipped: needs --allow-read --allow-write]`,
    ignore: !permitted,
    async fn() {
      const folder = await Deno.makeTempDir();
      try {
        await fn(`${folder}/cursor.json`);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
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
