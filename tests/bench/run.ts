// Programs that run to their end beside a bench.

/** What it wrote; throws with its complaints when it failed. They are noise otherwise: kafkajs as it comes warns of its own timers. */
export async function run(command: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(command, { args: [...args], stdin: "null" }).output();
  const decoder = new TextDecoder();
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}:\n${decoder.decode(stderr)}`);
  return decoder.decode(stdout);
}

/** The same of a file of this folder. */
export async function runScript(file: string, args: readonly string[]): Promise<string> {
  const path = new URL(file, import.meta.url).pathname;
  return await run(Deno.execPath(), ["run", "--quiet", "--allow-net", "--allow-env", "--allow-read", path, ...args]);
}
