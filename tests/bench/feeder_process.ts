// The feeder as a process of its own, for the benches of the road.

/** Where it listens; disposing kills it. */
export interface FeederProcess extends AsyncDisposable {
  /** On the loopback address; the path of a connection says how many frames a second, 0 for all it can. */
  readonly port: number;
}

/** Starts it; resolves once it listens. */
export async function startFeeder(): Promise<FeederProcess> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-net=127.0.0.1", new URL("feeder.ts", import.meta.url).pathname],
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  return {
    port: Number(new TextDecoder().decode(value)),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.status;
      await reader.cancel();
    },
  };
}
