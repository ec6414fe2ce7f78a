// What the doctor says of a program and its store.

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { lookAtProgram, lookAtStore, lookAtTicks } from "../../src/checks/program.ts";
import { Trouble } from "../../src/checks/stage.ts";
import { openDatabase } from "../../src/store/database.ts";
import { Notebook } from "../fakes/log.ts";
import { inTempDir } from "../fakes/folder.ts";

const may = (["net", "read", "write"] as const).every((name) =>
  Deno.permissions.querySync({ name }).state === "granted"
);

function test(name: string, fn: (store: string) => Promise<void>): void {
  Deno.test({
    name: may ? name : `${name} [skipped: needs --allow-net --allow-read --allow-write]`,
    ignore: !may,
    fn: () =>
      inTempDir((folder) => {
        const store = `${folder}/prices.sqlite`;
        openDatabase(store, { log: new Notebook(), now: Date.now }).close();
        return fn(store);
      }),
  });
}

test("the doctor's cure for a full disk is room on it, at the program and at its ticks", async (store) => {
  const full = `sqlite is retrying: Cannot write to the store ${store}: the disk is full`;
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => {
    return Response.json({ ready: false, reasons: [full], sinks: [] });
  });
  const reasons: string[] = [];
  const signal = AbortSignal.timeout(30_000);
  const program = await lookAtProgram(`http://127.0.0.1:${server.addr.port}`, false, reasons, signal);
  const happened = new Map([["BTC-USD", Date.now() / 1000]]);
  // as late as can be, so that nothing is waited for
  const now = () => Date.now() + 600_000;
  const ticks = await lookAtTicks(store, { products: ["BTC-USD"], whose: "", happened, now }, reasons, signal);
  for (const { state, cause, cure } of [program, ticks]) {
    assertEquals([state, cause], ["broken", "the disk of the store is full"]);
    assertStringIncludes(cure ?? "", `make room on the disk of ${store}`);
  }
});

test("the doctor says of a store with several names which to keep", async (store) => {
  await Deno.link(store, `${store}-2`);
  const error = await assertRejects(() => lookAtStore(store), Trouble);
  assertStringIncludes(error.words, "expected one name, got 2 (hard links)");
  assertStringIncludes(error.cure, "keep the one with a -wal beside it");
});
