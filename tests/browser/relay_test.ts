// The line between browser and program: without a browser.

import { assertEquals } from "@std/assert";
import { granted } from "../servers/process.ts";
import { Relay } from "./relay.ts";

const refused = !granted({ name: "net" });

Deno.test({
  name: `the relay counts requests, and its line can be cut and joined${
    refused ? " [skipped: needs --allow-net]" : ""
  }`,
  ignore: refused,
  async fn() {
    await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => new Response("up"));
    await using relay = new Relay(`http://127.0.0.1:${server.addr.port}`);
    const ask = async () => await (await fetch(relay.url)).text();
    assertEquals(await ask(), "up");
    assertEquals(relay.requests, ["GET /"]);
    assertEquals(relay.open("/"), 1);
    await relay.cut();
    assertEquals(relay.open("/"), 0);
    assertEquals(await ask().catch(() => "gone"), "gone");
    relay.join();
    assertEquals(await ask(), "up");
  },
});
