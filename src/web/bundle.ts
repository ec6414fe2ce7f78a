// Builds what the browser runs: `deno task page`. The bundles are committed, and a test holds them equal to a fresh build.

/** Entry, relative to this file, and the bundle that is made from it. */
export const BUNDLES: readonly (readonly [entry: string, bundle: string])[] = [
  ["page/main.ts", "page/dist/page.js"],
  ["page/stream_worker.ts", "page/dist/stream_worker.js"],
];

/**
 * Bundles one entry. `deno bundle` brings its bundler from npm at the first time. Rejects with what it says when it fails.
 *
 * @param entry as in {@link BUNDLES}
 * @param output path of the file to write
 */
export async function bundle(entry: string, output: string): Promise<void> {
  const root = new URL("../../", import.meta.url);
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    // paths from the root of the project, so that nothing of this machine gets into the bundle
    args: ["bundle", "--platform", "browser", "--minify", "--quiet", "-o", output, `src/web/${entry}`],
    cwd: root,
    env: { NO_COLOR: "1" },
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) throw new Error(`Cannot bundle ${entry}: ${new TextDecoder().decode(stderr).trim()}`);
}

if (import.meta.main) {
  for (const [entry, output] of BUNDLES) {
    const file = new URL(output, import.meta.url);
    await bundle(entry, file.pathname);
    const { size } = await Deno.stat(file);
    Deno.stdout.writeSync(new TextEncoder().encode(`src/web/${output}: ${(size / 1000).toFixed(1)} kB\n`));
  }
}
