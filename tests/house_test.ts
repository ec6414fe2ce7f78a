// The layers of src/: imports point down, never up, and each external package is imported in one place.

import { assert, assertEquals } from "@std/assert";

const readable = Deno.permissions.querySync({ name: "read", path: "src" }).state === "granted";
const skipped = readable ? "" : " [skipped: needs --allow-read]";
const root = new URL("../", import.meta.url);

interface Import {
  /** `src/sinks/kafka.ts` */
  readonly from: string;
  /** `src/record.ts`, `kafkajs`, `node:timers` */
  readonly to: string;
  readonly typeOnly: boolean;
}

/** All imports in the text of a file: static, dynamic, of types, and re-exports. */
function importsOf(from: string, source: string): Import[] {
  const code = source.replace(/\/\*[\s\S]*?\*\/|(?<!["'`:])\/\/.*$/gm, "");
  const statements = [
    /^import\s+(type\s+)?(?:[\w*{][^;"']*?\sfrom\s+)?["']([^"']+)["']/gm,
    /^export\s+(type\s+)?(?:\*[^;"']*?|\{[^}]*\}\s*)from\s+["']([^"']+)["']/gm,
  ];
  const dynamic = /\bimport\s*\(\s*["'`]([^"'`]+)["'`]/g;
  const resolve = (to: string) => to.startsWith(".") ? new URL(to, new URL(from, "file:///")).pathname.slice(1) : to;
  return [
    ...statements.flatMap((statement) => [...code.matchAll(statement)]).map((match) => ({
      from,
      to: resolve(match[2] ?? ""),
      typeOnly: match[1] !== undefined,
    })),
    ...[...code.matchAll(dynamic)].map((match) => ({ from, to: resolve(match[1] ?? ""), typeOnly: false })),
  ];
}

function* filesIn(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(new URL(folder, root))) {
    if (isDirectory) yield* filesIn(`${folder}/${name}`);
    else if (name.endsWith(".ts")) yield `${folder}/${name}`;
  }
}

/** From the lowest to the highest. A file may import its own layer and lower ones. */
const LAYERS: readonly { readonly name: string; readonly files: RegExp }[] = [
  { name: "core", files: /^src\/core\/(?!log\.ts$)/ },
  { name: "exchanges", files: /^src\/exchanges\// },
  // created by a command and passed down: lower layers may import only their types
  { name: "settings and log", files: /^src\/(?:config\/|core\/log\.ts$)/ },
  { name: "store and kafka", files: /^src\/(?:store|kafka)\// },
  { name: "pipeline", files: /^src\/pipeline\// },
  { name: "web, simulator and stack", files: /^src\/(?:web|simulator|stack)\// },
  { name: "checks", files: /^src\/checks\// },
  { name: "demo", files: /^src\/demo\// },
  { name: "commands", files: /^src\/commands\// },
  { name: "main", files: /^main\.ts$/ },
];

function layerOf(file: string): number {
  return LAYERS.findIndex(({ files }) => files.test(file));
}

/** The part that runs in the browser. */
const PAGE = "src/web/page/";

/** The files that may import each package. */
const IMPORTERS: Readonly<Record<string, readonly string[]>> = {
  "@std/log": ["src/core/log.ts"],
  "@std/dotenv": ["src/config/environment.ts"],
  "kafkajs": [
    "src/kafka/sink.ts",
    "src/kafka/kafkajs_internals.ts",
    "src/kafka/produce_request.ts",
    "src/kafka/admin.ts",
    "src/kafka/connection.ts",
  ],
  "lightweight-charts": ["src/web/page/chart.ts"],
  "grafana-provisioning": ["src/stack/dashboards/queries.ts"],
  "docs": ["src/stack/dashboards/pipeline.ts"],
};

/** `kafkajs` of `kafkajs/src/index.js`, `@std/log` of itself. */
function packageOf(to: string): string {
  return to.split("/", to.startsWith("@") ? 2 : 1).join("/");
}

/** Restrictions within the layers. */
const RULES: readonly { readonly rule: string; readonly breaks: (each: Import) => boolean }[] = [
  {
    rule: "every file has a layer",
    breaks: ({ from, to }) => layerOf(from) < 0 || (to.startsWith("src/") && /\.ts$/.test(to) && layerOf(to) < 0),
  },
  {
    rule: "imports never point up",
    breaks: ({ from, to }) => layerOf(to) > layerOf(from),
  },
  {
    rule: "a sink imports nothing of the pipeline",
    breaks: ({ from, to }) =>
      /^src\/(?:kafka\/|store\/|pipeline\/stdout\.ts$|web\/live\.ts$)/.test(from) && to.startsWith("src/pipeline/"),
  },
  {
    rule: "core and exchanges import no package, and no type of settings or log",
    breaks: ({ from, to }) => layerOf(from) <= 1 && !to.startsWith("src/"),
  },
  {
    rule: "kafka and pipeline import only types of settings and log",
    breaks: ({ from, to, typeOnly }) => /^src\/(?:kafka|pipeline)\//.test(from) && layerOf(to) === 2 && !typeOnly,
  },
  {
    rule: "the simulator imports only the errors of the program, and only its command and the demo import it",
    breaks: ({ from, to }) =>
      from.startsWith("src/simulator/")
        ? to.startsWith("src/") && !to.startsWith("src/simulator/") && to !== "src/core/errors.ts"
        : to.startsWith("src/simulator/") && !/^src\/(?:commands\/simulate\.ts$|demo\/)/.test(from),
  },
  {
    rule: "the page runs in a browser: it imports only pure code and types of the program",
    breaks: ({ from, to, typeOnly }) =>
      from.startsWith(PAGE) && !typeOnly && to.startsWith("src/") && !to.startsWith(PAGE) &&
      !/^src\/core\/(?:record|candle|backoff|duration)\.ts$/.test(to),
  },
  {
    rule: "the program uses the built page, and imports only the content security policy of its source",
    breaks: ({ from, to }) =>
      !from.startsWith(PAGE) && to.startsWith(PAGE) && to.endsWith(".ts") && to !== "src/web/page/csp.ts",
  },
  {
    rule: "node:sqlite blocks its caller, so only the store uses it, in worker threads",
    breaks: ({ from, to }) => to === "node:sqlite" && !from.startsWith("src/store/"),
  },
  {
    rule: "each package is imported only where it may be",
    breaks: ({ from, to }) =>
      !/^(?:src\/|main\.ts$|node:)/.test(to) && IMPORTERS[packageOf(to)]?.includes(from) !== true,
  },
];

function broken(imports: readonly Import[]): string[] {
  return RULES.flatMap(({ rule, breaks }) =>
    imports.filter(breaks).map(({ from, to }) => `${from} imports ${to}: ${rule}`)
  );
}

Deno.test({
  name: `imports: none breaks a rule${skipped}`,
  ignore: !readable,
  fn() {
    const files = ["main.ts", ...filesIn("src")];
    const imports = files.flatMap((file) => importsOf(file, Deno.readTextFileSync(new URL(file, root))));
    assert(imports.length > files.length, "imports were found");
    assertEquals(broken(imports), []);
    // an unused entry or an empty layer would check nothing
    for (const [name, importers] of Object.entries(IMPORTERS)) {
      assertEquals(
        importers.filter((from) => !imports.some((each) => each.from === from && packageOf(each.to) === name)),
        [],
      );
    }
    assertEquals(LAYERS.filter(({ files: layer }) => !files.some((file) => layer.test(file))), []);
  },
});

/** Network, files, environment, clock, randomness: everything that makes a result depend on more than the arguments. */
const OUTSIDE =
  /\b(?:Deno\.|globalThis\b|fetch\(|WebSocket\b|console\.|process\.|localStorage|setTimeout\(|setInterval\(|Date\.now\(|new Date\(\)|performance\.|Math\.random\()/;

Deno.test({
  name: `imports: core and exchanges use no network, file, environment, clock or randomness${skipped}`,
  ignore: !readable,
  fn() {
    const files = [...filesIn("src")].filter((file) => layerOf(file) >= 0 && layerOf(file) <= 1);
    const reaching = files.filter((file) => {
      const code = Deno.readTextFileSync(new URL(file, root)).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
      return OUTSIDE.test(code);
    });
    // the only access to the time
    assertEquals(reaching, ["src/core/clock.ts"]);
  },
});

Deno.test({
  // one file with `/// <reference lib="dom" />` makes the browser's types available in all files
  name: `imports: only the page uses document, localStorage and sessionStorage${skipped}`,
  ignore: !readable,
  fn() {
    const knowing = [...filesIn("src")].filter((file) => {
      if (file.startsWith(PAGE)) return false;
      const code = Deno.readTextFileSync(new URL(file, root)).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
      return /\b(?:document|localStorage|sessionStorage)\./.test(code);
    });
    assertEquals(knowing, []);
  },
});

/** The exported names that no doc comment explains, as `file:line`. */
function undocumented(file: string, source: string): string[] {
  const lines = source.split("\n");
  return lines.flatMap((line, i) => {
    if (!/^export (?:abstract |async |declare )?(?:class|const|enum|function|interface|let|type) /.test(line)) {
      return [];
    }
    // a comment that turns a lint rule off may stand between
    const above = lines.slice(0, i).findLast((each) => !each.startsWith("// deno-lint-ignore")) ?? "";
    return above.endsWith("*/") ? [] : [`${file}:${i + 1}`];
  });
}

Deno.test({
  name: `every exported name in src has a doc comment${skipped}`,
  ignore: !readable,
  fn() {
    const files = [...filesIn("src")].filter((file) => !file.includes("/dist/"));
    assertEquals(files.flatMap((file) => undocumented(file, Deno.readTextFileSync(new URL(file, root)))), []);
  },
});

Deno.test("the check for doc comments finds a name that has none", () => {
  const source = "/** One. */\nexport const a = 1;\nexport const b = 2;\n// not a doc comment\nexport type C = string;";
  assertEquals(undocumented("x.ts", source), ["x.ts:3", "x.ts:5"]);
});

const WRONG: [from: string, source: string][] = [
  ["src/core/record.ts", 'import { tick } from "../exchanges/coinbase.ts";'],
  ["src/core/record.ts", 'import type { Logger } from "./log.ts";'],
  ["src/exchanges/coinbase.ts", 'import { z } from "npm:zod";'],
  ["src/exchanges/coinbase.ts", 'import { readFileSync } from "node:fs";'],
  ["src/kafka/sink.ts", 'import type { Source } from "../pipeline/source.ts";'],
  ["src/store/sink.ts", 'import { Intake } from "../pipeline/intake.ts";'],
  ["src/kafka/sink.ts", 'import { createLogger } from "../core/log.ts";'],
  ["src/pipeline/stdout.ts", 'const { default: kafka } = await import("kafkajs");'],
  ["src/pipeline/stdout.ts", 'export { Pipeline } from "./pipeline.ts";'],
  ["src/pipeline/pipeline.ts", 'import {\n  serve,\n} from "../web/server.ts";'],
  ["src/web/server.ts", 'import kafka from "kafkajs";'],
  ["src/web/server.ts", 'import { run } from "../../main.ts";'],
  ["src/pipeline/replay.ts", 'import "../simulator/server.ts";'],
  ["src/simulator/server.ts", 'import { coinbase } from "../exchanges/coinbase.ts";'],
  ["src/simulator/past.ts", 'import { readHistory } from "../demo/history.ts";'],
  ["src/web/demo_api.ts", 'import { LeverPanel } from "../demo/levers.ts";'],
  ["src/demo/demo.ts", 'import { run } from "../../main.ts";'],
  ["src/web/page/main.ts", 'import { now } from "../../core/clock.ts";'],
  ["src/web/page/main.ts", 'import { createChart } from "lightweight-charts";'],
  ["src/web/server.ts", 'import { PipelineView } from "./page/pipeline_view.ts";'],
  ["src/pipeline/sqlite.ts", 'import { DatabaseSync } from "node:sqlite";'],
  ["src/helpers.ts", 'import { Tick } from "./record.ts";'],
];
for (const [from, source] of WRONG) {
  Deno.test(`imports: ${from} must not contain ${source.replace(/\s+/g, " ")}`, () => {
    assertEquals(broken(importsOf(from, source)).length > 0, true);
  });
}
