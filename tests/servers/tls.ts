// A TLS proxy in front of a server without TLS.

/** Accepts encrypted connections and forwards their content to a plain port, like a load balancer. */
export function terminateTls(cert: string, key: string, port: number): { port: number } & AsyncDisposable {
  const listener = Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert, key });
  const conns = new Set<Deno.Conn>();
  const pipes: Promise<unknown>[] = [];
  const accepting = (async () => {
    for await (const outer of listener) {
      const inner = await Deno.connect({ hostname: "127.0.0.1", port });
      conns.add(outer).add(inner);
      pipes.push(outer.readable.pipeTo(inner.writable).catch(() => {}));
      pipes.push(inner.readable.pipeTo(outer.writable).catch(() => {}));
    }
  })().catch(() => {});
  return {
    port: listener.addr.port,
    async [Symbol.asyncDispose]() {
      listener.close();
      for (const conn of conns) {
        try {
          conn.close();
        } catch {
          // the pipe has closed it already
        }
      }
      await Promise.all([accepting, ...pipes]);
    },
  };
}
