// The watching itself: a browser test that sees nothing wrong is worth something only if the browser would have told.

import { assertEquals, assertStringIncludes } from "@std/assert";
import { until } from "../integration/feed.ts";
import { Chromium, chromiumMissing } from "./chromium.ts";

const missing = chromiumMissing();

const FILES: Readonly<Record<string, string>> = {
  "/": '<!doctype html><link rel="icon" href="data:,"><h1>up</h1>',
  "/worker.js": 'onconnect = () => { fetch("http://worker.example/").catch(() => {}); throw new Error("worker fell") }',
};

function serve(): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { pathname } = new URL(request.url);
    const text = FILES[pathname];
    const type = pathname.endsWith(".js") ? "text/javascript" : "text/html";
    return text === undefined
      ? new Response("none", { status: 404 })
      : new Response(text, { headers: { "content-type": type } });
  });
}

Deno.test({
  name: `the watched browser tells of errors, warnings and foreign requests of pages and workers${
    missing ? ` [skipped: ${missing}]` : ""
  }`,
  ignore: missing !== undefined,
  async fn() {
    await using server = serve();
    await using chromium = await Chromium.start();
    await using visitor = await chromium.open();
    const tab = await visitor.visit(`http://127.0.0.1:${server.addr.port}/`);
    assertEquals([tab.troubles, tab.foreign, chromium.foreign], [[], [], []]);

    await tab.page.evaluate(`console.warn("careful"); setTimeout(() => { throw new Error("page fell") })`);
    await tab.page.evaluate(`fetch("/nothing"); new SharedWorker("/worker.js").port.start()`);
    await tab.page.evaluate(`fetch("http://page.example/x").catch(() => {})`);
    await until(
      "all is told",
      () =>
        tab.troubles.length >= 4 && tab.foreign.length === 1 && chromium.workerErrors.length > 0 &&
        chromium.foreign.length >= 2,
    );
    const told = tab.troubles.join("\n");
    for (const each of ["warning: careful", "thrown: Error: page fell", "404: ", "page.example"]) {
      assertStringIncludes(told, each);
    }
    assertEquals(tab.foreign, ["http://page.example/x"]);
    assertStringIncludes(chromium.workerErrors.join("\n"), "worker fell");
    assertEquals(chromium.foreign.map((line) => line.split(" ")[1]).toSorted(), [
      "http://page.example/x",
      "http://worker.example/",
    ]);
    assertEquals((await chromium.sharedWorkers()).length, 1);
  },
});
