// What run.ts does besides asking Docker and Grafana: when a picture is taken.

import { assertEquals, assertRejects } from "@std/assert";
import { Chromium, chromiumMissing } from "../browser/chromium.ts";
import { panelsDrawn } from "./run.ts";

const missing = chromiumMissing();

/** A page like a dashboard's: long after its last request it asks for a panel, and paints it later still. */
const DASHBOARD = `<!doctype html><link rel="icon" href="data:,">
<script>
  const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  (async () => {
    await later(1000);
    document.body.innerHTML = '<div aria-label="Panel loading bar"></div>';
    await later(200);
    document.body.innerHTML = "<canvas width=40 height=20></canvas><canvas width=40 height=20></canvas>";
    for (const canvas of document.querySelectorAll("canvas")) {
      await later(200);
      canvas.getContext("2d").fillRect(5, 5, 1, 1);
      document.title += " painted";
    }
  })();
</script>`;

Deno.test({
  name: `run: a picture waits until every chart in view is painted${missing ? ` [skipped: ${missing}]` : ""}`,
  ignore: missing !== undefined,
  async fn() {
    const pages: Record<string, string> = { "/": DASHBOARD, "/empty": "<!doctype html><link rel=icon href=data:,>" };
    const headers = { "content-type": "text/html" };
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      (request) => new Response(pages[new URL(request.url).pathname] ?? "", { headers }),
    );
    await using chromium = await Chromium.start();
    await using visitor = await chromium.open();
    const page = await visitor.context.newPage();
    await page.goto(`http://127.0.0.1:${server.addr.port}/`);
    await panelsDrawn(page);
    assertEquals(await page.title(), "painted painted");

    await page.goto(`http://127.0.0.1:${server.addr.port}/empty`);
    await assertRejects(() => panelsDrawn(page, 500), Error, "Timeout 500ms exceeded");
  },
});
