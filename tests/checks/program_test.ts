// What the doctor says about a program and its store.

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { checkProgram, checkStore, checkTicks } from "../../src/checks/program.ts";
import { Problem } from "../../src/checks/stage.ts";
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

test("the doctor's cure for a full disk is to free space, for the program and for its ticks", async (store) => {
  const full = `sqlite is retrying: Cannot write to the store ${store} : the disk is full`;
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => {
    return Response.json({ ready: false, reasons: [full], sinks: [] });
  });
  const reasons: string[] = [];
  const signal = AbortSignal.timeout(30_000);
  const latest = new Map([["BTC-USD", Date.now() / 1000]]);
  // so late that nothing is waited for
  const now = () => Date.now() + 600_000;
  const expected = { products: ["BTC-USD"], productsRemark: "", latest, now };
  const checks = [
    () => checkProgram(`http://127.0.0.1:${server.addr.port}`, false, reasons, signal),
    () => checkTicks(store, expected, reasons, signal),
  ];
  for (const check of checks) {
    const { cause, cure } = await assertRejects(check, Problem);
    assertEquals(cause, "the disk of the store is full");
    assertStringIncludes(cure, `free space on the disk of ${store}`);
  }
});

test("the doctor says which name of a store with hard links to keep", async (store) => {
  await Deno.link(store, `${store}-2`);
  const error = await assertRejects(() => checkStore(store), Problem);
  assertStringIncludes(error.message, "expected one name, got 2 (hard links)");
  assertStringIncludes(error.cure, "keep the one with a -wal file beside it");
});
