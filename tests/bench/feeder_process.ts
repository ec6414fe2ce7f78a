// Starts the feeder as a separate process.

/** Disposing kills it. */
export interface FeederProcess extends AsyncDisposable {
  /** On the loopback address. The path of a request sets the frames per second, 0 for as many as possible. */
  readonly port: number;
}

/** Resolves when it listens. */
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
