// Serves the files of the page from page/. Each is read once.

import { CHART_STYLE_HASH } from "./page/csp.ts";

/** The source in `style-src` that allows the page's inline style. */
export const PAGE_STYLE_SOURCE = `'${CHART_STYLE_HASH}'`;

const JAVASCRIPT = "text/javascript; charset=utf-8";

/** By path: the content type and the file in page/. */
const FILES: ReadonlyMap<string, readonly [type: string, file: string]> = new Map([
  ["/", ["text/html; charset=utf-8", "index.html"]],
  ["/style.css", ["text/css; charset=utf-8", "style.css"]],
  ["/page.js", [JAVASCRIPT, "dist/page.js"]],
  ["/stream_worker.js", [JAVASCRIPT, "dist/stream_worker.js"]],
  ["/icon.svg", ["image/svg+xml", "icon.svg"]],
  ["/notices.txt", ["text/plain; charset=utf-8", "notices.txt"]],
]);

/** The paths of all files. */
export const PAGE_PATHS: readonly string[] = [...FILES.keys()];

/** Text and entity tag by file. */
const contents = new Map<string, Promise<{ readonly text: string; readonly tag: string }>>();

async function read(file: string) {
  const text = await Deno.readTextFile(new URL(`page/${file}`, import.meta.url));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return { text, tag: `"${new Uint8Array(digest).slice(0, 12).toHex()}"` };
}

/** One of the files, or status 304 if the browser has it. Browsers must ask each time: a new program has a new page. */
export async function pageFile(path: string, request: Request): Promise<Response> {
  const known = FILES.get(path);
  if (known === undefined) throw new TypeError(`No file ${path} in the page`);
  const [type, file] = known;
  let content = contents.get(file);
  if (content === undefined) contents.set(file, content = read(file));
  const { text, tag } = await content;
  const headers = { "content-type": type, "cache-control": "no-cache", etag: tag };
  // compression makes the tag a weak one
  const tags = request.headers.get("if-none-match")?.split(",").map((each) => each.trim().replace(/^W\//, ""));
  if (tags?.includes(tag) || tags?.includes("*")) return new Response(null, { status: 304, headers });
  return new Response(text, { headers });
}
