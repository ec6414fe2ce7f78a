// `deno task page`: builds what the browser runs. The bundles are committed; a test compares them with a fresh build.

/** Entry file and bundle, relative to this file. */
export const BUNDLES: readonly (readonly [entry: string, bundle: string])[] = [
  ["page/main.ts", "page/dist/page.js"],
  ["page/stream_worker.ts", "page/dist/stream_worker.js"],
];

/** Bundles one entry of {@link BUNDLES} into the file `output`. The first `deno bundle` downloads its bundler from npm. */
export async function bundle(entry: string, output: string): Promise<void> {
  const root = new URL("../../", import.meta.url);
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    // paths relative to the project, so that the bundle does not depend on where it was built
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
