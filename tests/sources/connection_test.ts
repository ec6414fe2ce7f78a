import { assertEquals, assertRejects } from "@std/assert";
import { ConnectionError } from "../../src/errors.ts";
import { openTls } from "../../src/sources/connection.ts";

const permitted = Deno.permissions.querySync({ name: "net" }).state === "granted";

Deno.test({
  name: `openTls() says of a server that answers without TLS what to look at${
    permitted ? "" : " [skipped: needs --allow-net]"
  }`,
  ignore: !permitted,
  async fn() {
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      () => new Response("hello"),
    );
    const error = await assertRejects(
      () => openTls("127.0.0.1", server.addr.port, AbortSignal.timeout(30_000)),
      ConnectionError,
      "the server does not speak TLS (does its address begin with ws:// and not wss://?): ",
    );
    assertEquals(error.cause instanceof Error, true);
  },
});
