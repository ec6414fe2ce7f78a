// The real program, with the descriptors of an ordinary shell, under connections that send nothing.

import { assert, assertEquals, assertLess } from "@std/assert";
import { Simulator } from "../../src/simulator/server.ts";
import { Program } from "../browser/program.ts";
import { until } from "../integration/feed.ts";

const mayRun = Deno.permissions.querySync({ name: "run" }).state === "granted";

interface Status {
  readonly warnings: readonly string[];
  readonly counters: { readonly received: number; readonly reconnects: number };
}

/** Connections that send nothing, oldest first, and which of them the program has closed. */
class Silent implements Disposable {
  readonly closed = new Set<number>();
  readonly #conns: Deno.TcpConn[] = [];

  async open(url: string, count: number): Promise<void> {
    const { hostname, port } = new URL(url);
    for (let i = 0; i < count; i++) {
      const conn = await Deno.connect({ hostname, port: Number(port) });
      const number = this.#conns.push(conn) - 1;
      conn.read(new Uint8Array(1)).catch(() => {}).then(() => this.closed.add(number));
    }
  }

  [Symbol.dispose](): void {
    for (const conn of this.#conns) conn.close();
  }
}

for (
  const [limit, descriptors, flood] of [
    ["1,024 descriptors", 1024, 2000],
    ["descriptors for few connections", 140, 300],
  ] as const
) {
  Deno.test({
    name: `${flood} silent connections and ${limit}: the feed drops nothing, /healthz answers${
      mayRun ? "" : " [skipped: needs --allow-run]"
    }`,
    ignore: !mayRun,
    async fn() {
      await using simulator = await Simulator.start({ ticksPerSecond: 20 });
      await using program = await Program.start({ simulator, descriptors });
      const status = () => program.get<Status>("/api/status");
      await until("ticks come", async () => (await status()).counters.received > 0);
      const stream = await fetch(`${program.url}/api/stream?everyMs=250`);
      const reader = stream.body?.getReader();
      using silent = new Silent();
      await silent.open(program.url, flood);
      await until("the oldest connections are closed", () => silent.closed.has(0));

      for (let i = 0; i < 5; i++) {
        const response = await fetch(`${program.url}/healthz`, { signal: AbortSignal.timeout(10_000) });
        assertEquals([response.status, await response.json()], [200, { alive: true }]);
      }
      assert(!silent.closed.has(flood - 1), "the newest connection is open");
      const { closed } = silent;
      await until("those that are closed are the oldest", () => Math.max(...closed) === closed.size - 1);
      assertLess(flood - closed.size, descriptors);

      // the stream goes on, whatever it had sent before
      const before = simulator.sent().length;
      await until("more ticks were sent", () => simulator.sent().length > before + 200);
      let text = "";
      const decoder = new TextDecoder();
      await until("the open stream brings what was sent since", async () => {
        const { value, done } = await reader?.read() ?? { done: true };
        assert(!done, "the stream has ended");
        return (text += decoder.decode(value, { stream: true })).includes("event: tick");
      });
      await reader?.cancel();

      for (const product of simulator.products) simulator.levers.quiet(product, true);
      const sent = simulator.sent().length;
      await until("all ticks were received", async () => (await status()).counters.received === sent);
      const { warnings, counters } = await status();
      assertEquals(counters.reconnects, 0);
      const gaps = await program.get<{ from: number | null }[]>("/api/gaps?limit=100");
      // where the first run began nothing is known of the time before
      assertEquals(gaps.filter(({ from }) => from !== null), []);
      const hasRunOut = warnings.some((warning) => warning.includes("Too many open files"));
      assertEquals(hasRunOut, descriptors < 256, warnings.join());
    },
  });
}
