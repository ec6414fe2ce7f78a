import { assert, assertEquals, assertRejects } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { SinkError } from "../../src/core/errors.ts";
import { toRecord } from "../../src/core/record.ts";
import { SqliteSink } from "../../src/store/sink.ts";
import { Store } from "../../src/store/store.ts";
import { sinkContract } from "../contracts/sink.ts";
import { makeGap } from "../fakes/events.ts";
import { Notebook } from "../fakes/log.ts";
import { ticksOf } from "../fakes/ticks.ts";
import { filesSkipped, temporaryFolder } from "./files.ts";

const skipped = filesSkipped();
const title = (name: string) => `${name}${skipped === undefined ? "" : ` [skipped: ${skipped}]`}`;
const never = new AbortController().signal;

sinkContract("SqliteSink", async () => {
  const folder = await temporaryFolder();
  const path = `${folder.path}/prices.sqlite`;
  const store = new Store(path, { ticksDays: 0, log: new Notebook() });
  let other: DatabaseSync | undefined;
  return {
    sink: new SqliteSink(store),
    async stored() {
      const looking = new Store(path, { log: new Notebook() });
      try {
        const ticks = await looking.ticks({ exchange: "coinbase", product: "BTC-USD" }, { limit: 10_000 });
        return ticks.map(toRecord);
      } finally {
        await looking.close();
      }
    },
    stall() {
      other = new DatabaseSync(path);
      other.exec("BEGIN IMMEDIATE");
      return Promise.resolve();
    },
    async cleanUp() {
      other?.close();
      await folder[Symbol.asyncDispose]();
    },
  };
}, { skipped });

Deno.test({
  name: title("SqliteSink says who holds the file locked, and stores once it is free"),
  ignore: skipped !== undefined,
  async fn() {
    await using folder = await temporaryFolder();
    const store = new Store(`${folder.path}/prices.sqlite`, { ticksDays: 0, log: new Notebook() });
    await using sink = new SqliteSink(store);
    await sink.connect(never);
    using other = new DatabaseSync(store.path);
    other.exec("BEGIN IMMEDIATE");
    const error = await assertRejects(() => sink.write(ticksOf("BTC-USD", 1), never), SinkError, "has locked it");
    assertEquals(error.kind, "retry");
    assert(error.message.includes(store.path), error.message);
    other.exec("COMMIT");
    await sink.write(ticksOf("BTC-USD", 1), never);
    assertEquals((await store.lastTicks()).length, 1);
  },
});

Deno.test({
  name: title("SqliteSink stores the same batch once, however often it is written"),
  ignore: skipped !== undefined,
  async fn() {
    await using folder = await temporaryFolder();
    const store = new Store(`${folder.path}/prices.sqlite`, { ticksDays: 0, log: new Notebook() });
    await using sink = new SqliteSink(store);
    const batch = [...ticksOf("BTC-USD", 3), makeGap(), makeGap({ to: 1_791_061_120 })];
    for (let i = 0; i < 3; i++) await sink.write(batch, never);
    const key = { exchange: "coinbase", product: "BTC-USD" };
    assertEquals((await store.candles(key, "1m", { limit: 10 }, Date.now())).map(({ ticks }) => ticks), [3]);
    assertEquals(await store.gaps(key, { limit: 10 }), [makeGap({ to: 1_791_061_120 })]);
  },
});

Deno.test("SqliteSink calls what its queue sheds store-failed", () => {
  assertEquals(new SqliteSink(new Store("nowhere", { log: new Notebook() })).dropReason, "store-failed");
});
