// The bundles that are committed are those of the sources.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { bundle, BUNDLES } from "../../../src/web/bundle.ts";
import { CHART_STYLE_HASH } from "../../../src/web/page/csp.ts";

const root = new URL("../../../src/web/", import.meta.url);
const granted = (descriptor: Deno.PermissionDescriptor) => Deno.permissions.querySync(descriptor).state === "granted";
const readable = granted({ name: "read", path: root.pathname });
const missing = !readable || !granted({ name: "run" }) || !granted({ name: "write" })
  ? "needs --allow-read, --allow-write and --allow-run"
  : undefined;

for (const [entry, output] of BUNDLES) {
  Deno.test({
    name: `page bundle: ${output} is what ${entry} gives; deno task page makes it so${
      missing ? ` [skipped: ${missing}]` : ""
    }`,
    ignore: missing !== undefined,
    async fn(t) {
      const folder = await Deno.makeTempDir();
      try {
        const fresh = `${folder}/fresh.js`;
        const trouble = await bundle(entry, fresh).then(() => undefined, (error: Error) => error.message);
        // the bundler itself comes from npm
        const unreachable = trouble !== undefined && /registry|npm|esbuild|network|dns|connect/i.test(trouble);
        await t.step({
          name: unreachable ? `the bundler is there [skipped: ${trouble}]` : "the bundler is there",
          ignore: unreachable,
          fn: async () => {
            assertEquals(trouble, undefined);
            const [made, committed] = await Promise.all([
              Deno.readTextFile(fresh),
              Deno.readTextFile(new URL(output, root)),
            ]);
            assert(made === committed, `${output} is not what its sources give: run deno task page`);
          },
        });
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

Deno.test({
  name: `page bundle: the one inline style that is allowed is the chart's${
    readable ? "" : " [skipped: needs --allow-read]"
  }`,
  ignore: !readable,
  async fn() {
    const page = await Deno.readTextFile(new URL("page/dist/page.js", root));
    const [style = ""] = /a#tv-attr-logo\{--fill[^`"']+/.exec(page) ?? [];
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(style)));
    assertEquals(CHART_STYLE_HASH, `sha256-${digest.toBase64()}`);
  },
});

Deno.test({
  name: `page bundle: names nobody's machine, and is small${readable ? "" : " [skipped: needs --allow-read]"}`,
  ignore: !readable,
  async fn() {
    for (const [, output] of BUNDLES) {
      const text = await Deno.readTextFile(new URL(output, root));
      assertEquals(/file:\/\/|\/home\/|\/root\/|\/Users\//.exec(text), null);
      const gzip = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
      const bytes = (await new Response(gzip).bytes()).length;
      assert(bytes < 90_000, `${output}: ${bytes} bytes compressed`);
    }
    const notices = await Deno.readTextFile(new URL("page/notices.txt", root));
    const { imports } = JSON.parse(await Deno.readTextFile(new URL("../../deno.json", root)));
    assertStringIncludes(notices, `lightweight-charts ${imports["lightweight-charts"].split("@").at(-1)}`);
  },
});
