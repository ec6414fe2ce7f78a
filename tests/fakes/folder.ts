// A temporary folder for a test.

/** Runs `fn` with a new folder, which is removed in any case. */
export async function inTempDir(run: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await run(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}
