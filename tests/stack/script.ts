// Runs the stack's shell scripts as they are, with an environment of the test's own.

/** What a script did: its exit code and all that it wrote. */
export interface ScriptRun {
  /** Exit code. */
  readonly code: number;
  /** stdout and stderr, one after the other. */
  readonly text: string;
}

/** Runs `bash SCRIPT` with this environment and a PATH. */
export async function runScript(script: string, env: Record<string, string>, ...args: string[]): Promise<ScriptRun> {
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: [script, ...args],
    clearEnv: true,
    env: { PATH: Deno.env.get("PATH") ?? "", ...env },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}
