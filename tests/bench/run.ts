// Runs helper programs of a bench.

/** Returns the program's output. Throws with its stderr if it fails; otherwise stderr is noise, such as kafkajs's timer warnings. */
export async function run(command: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(command, { args: [...args], stdin: "null" }).output();
  const decoder = new TextDecoder();
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}:\n${decoder.decode(stderr)}`);
  return decoder.decode(stdout);
}

/** Runs a file of this folder with Deno. */
export async function runScript(file: string, args: readonly string[]): Promise<string> {
  const path = new URL(file, import.meta.url).pathname;
  return await run(Deno.execPath(), ["run", "--quiet", "--allow-net", "--allow-env", "--allow-read", path, ...args]);
}
