// A folder of a test's own.

/** Runs it in a new folder, which is gone afterwards however it ends. */
export async function inTempDir(run: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await run(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}
