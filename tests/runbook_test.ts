// Compares docs/runbook.md with the program: it has an entry for every alert, and for every warning, error and exit message.

import { assert, assertEquals } from "@std/assert";
import { SETTINGS } from "../src/config/config.ts";
import { type Alert, ALERTS, anchorOf } from "../src/stack/dashboards/alerts.ts";

const readable = Deno.permissions.querySync({ name: "read", path: "docs" }).state === "granted";
const skipped = readable ? "" : " [skipped: needs --allow-read]";
const root = new URL("../", import.meta.url);
const read = (path: string) => Deno.readTextFileSync(new URL(path, root));

function* filesIn(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(new URL(folder, root))) {
    if (isDirectory) yield* filesIn(`${folder}/${name}`);
    else if (name.endsWith(".ts")) yield `${folder}/${name}`;
  }
}

interface Literal {
  /** With … for every value. */
  readonly text: string;
  readonly end: number;
}

/** The string or template that begins at `at`, with those concatenated to it; undefined if there is none. */
function literalAt(code: string, at: number): Literal | undefined {
  const quote = code[at];
  if (quote !== '"' && quote !== "`") return undefined;
  let text = "";
  let i = at + 1;
  while (code[i] !== quote) {
    if (i >= code.length) throw new SyntaxError(`A text without end at ${code.slice(at, at + 40)}`);
    if (code[i] === "\\") {
      text += code[i + 1] === "n" ? "\n" : code[i + 1];
      i += 2;
    } else if (quote === "`" && code.startsWith("${", i)) {
      text += "…";
      i = endOfBraces(code, i + 1);
    } else {
      text += code[i++];
    }
  }
  i++;
  const added = /\s*\+\s*/y;
  added.lastIndex = i;
  const plus = added.exec(code);
  if (plus === null) return { text, end: i };
  const next = literalAt(code, i + plus[0].length);
  return next === undefined ? { text: `${text}…`, end: i } : { text: text + next.text, end: next.end };
}

/** The position after the brace that closes the one at `at`; strings may contain braces as well. */
function endOfBraces(code: string, at: number): number {
  let depth = 0;
  for (let i = at; i < code.length;) {
    if (code[i] === '"' || code[i] === "`") {
      i = literalAt(code, i)?.end ?? i + 1;
      continue;
    }
    if (code[i] === "{") depth++;
    if (code[i] === "}" && --depth === 0) return i + 1;
    i++;
  }
  throw new SyntaxError("A brace without end");
}

/** Adjacent values look like one value. */
const tidy = (text: string) => text.replace(/…+/g, "…").trim();

/** Calls and errors whose text a user may read. */
const SAYS: readonly RegExp[] = [
  /\.(?:warn|error)\(\s*/g,
  /\.often\(\s*"(?:warn|error)",\s*/g,
  /\btell\(\s*"(?:warn|error)",\s*/g,
  /\bnew SinkError\(\s*[^,()]+,\s*/g,
  /\bnew (?:RefusedError|ConnectionError)\(\s*/g,
  /\bnew DrainError\(\s*[^"`,]+,\s*/g,
  /#giveUp\(\s*/g,
  // texts that are logged or thrown elsewhere
  /\/[^/\n]+\/,\s+(?="the )/g,
  /(?<=[?:] )(?=`the upgrade was)/g,
  /#fail\((?=`)/g,
  /\bhints\.push\(\s*/g,
  /(?:\breturn|[?:=])\s+(?=`Kafka at )/g,
];

/** Of settings and arguments. Each says the attempt, the wish and the value, so one entry is enough for all of them. */
const SETTINGS_SAY: readonly RegExp[] = [/\bnew ConfigError\(\[\s*/g, /\bproblems\.push\(\s*/g];

/** Other messages: information, and errors of a command line. */
const ALSO_SAY: readonly RegExp[] = [...SETTINGS_SAY, /\.info\(\s*/g, /\btell\(\s*/g];

/** Those of them that need an action, and so an entry. */
const NEED_ENTRIES: readonly string[] = [
  "Cannot listen on …:…: expected PORT to be a free port, another program uses it",
  "Cannot listen on …:…: expected HOST to be an address of this machine: …",
  "Cannot replay …: expected a readable file of recorded frames (…)",
  "Nothing was read: … is empty",
  "No cursor yet: what was missed before this start is unknown",
];

/** The messages in a file, and expressions that this test cannot read. */
function messagesOf(path: string, source: string, patterns = SAYS): { said: Map<string, string>; unclear: string[] } {
  const code = source.replace(/^\s*\/\/.*$/gm, "").replace(/\/\*[\s\S]*?\*\//g, "");
  const said = new Map<string, string>();
  const unclear: string[] = [];
  for (const pattern of patterns) {
    for (const match of code.matchAll(pattern)) {
      const at = match.index + match[0].length;
      const literal = literalAt(code, at);
      if (literal === undefined) unclear.push(`${path}: ${/^\w*/.exec(code.slice(at))?.[0]}`);
      else said.set(tidy(literal.text), path);
    }
  }
  return { said, unclear };
}

/** The code in the first cell of each row of the tables of messages. */
function entriesOf(markdown: string): string[] {
  const tables = markdown.match(/^\| message .*\n(?:\|.*\n?)*/gm) ?? [];
  return [...tables.join("\n").matchAll(/^\| `` ?(.+?) ?`` +\||^\| `([^`]+)` +\|/gm)].map(([, double, single]) =>
    tidy(double ?? single ?? "")
  );
}

const PAGE = /^src\/web\/page\//;

Deno.test({
  name: `docs/runbook.md has an entry for every warning, error and exit message, and no other${skipped}`,
  ignore: !readable,
  fn() {
    const said = new Map<string, string>();
    const also = new Set<string>();
    const unclear: string[] = [];
    for (const path of ["main.ts", ...filesIn("src")]) {
      if (PAGE.test(path)) continue;
      const found = messagesOf(path, read(path));
      for (const [message, where] of found.said) said.set(message, where);
      unclear.push(...found.unclear);
      for (const message of messagesOf(path, read(path), ALSO_SAY).said.keys()) also.add(message);
    }
    assertEquals(NEED_ENTRIES.filter((message) => !also.has(message)), [], "no code has these");
    for (const message of NEED_ENTRIES) said.set(message, "NEED_ENTRIES");
    assert(said.size > 40, "messages were found");
    const entries = new Set(entriesOf(read("docs/runbook.md")));
    const lacking = [...said].filter(([message]) => !entries.has(message)).map(([message, path]) =>
      `${path}: ${message}`
    );
    assertEquals(lacking, [], "docs/runbook.md lacks these");
    assertEquals([...entries].filter((entry) => !said.has(entry)), [], "docs/runbook.md has these, but no code does");
    assertEquals(unclear.toSorted(), UNCLEAR.toSorted(), "texts that this test cannot read");
  },
});

Deno.test({
  name: `messages about settings and arguments name the attempt, what was expected, and the value${skipped}`,
  ignore: !readable,
  fn() {
    const said = ["main.ts", ...filesIn("src")].filter((path) => !PAGE.test(path)).flatMap((path) => [
      ...messagesOf(path, read(path), SETTINGS_SAY).said.keys(),
    ]);
    assert(said.length > 20, "messages were found");
    const form = /^(?:Cannot .+ (?:as|to) .+|(?:Cannot .+|…): .+)$/s;
    assertEquals(said.filter((message) => !form.test(message) || message.endsWith(".")), []);
    assert(read("docs/runbook.md").includes("Cannot X: expected Y, got Z"));
  },
});

/** Expressions whose text is found elsewhere. */
const UNCLEAR: string[] = [
  "src/commands/feed.ts: hint",
  "src/commands/feed.ts: reasonOf",
  "src/kafka/errors.ts: certificateTrouble",
  "src/pipeline/socket.ts: reason",
  "src/pipeline/websocket_source.ts: words",
  "src/pipeline/websocket_source.ts: words",
  "src/store/rpc.ts: message",
  "src/core/log.ts: message",
  "src/core/log.ts: message",
];

/** When an alert fires, as its entry must say. */
function firesWhen({ uid, severity, seconds, fires, forSeconds }: Alert): string {
  return `\`${uid}\`, ${severity}. Looks at the last ${seconds} s; fires when a value is ` +
    `${fires.type === "lt" ? "below" : "above"} ${fires.value}${
      forSeconds === undefined ? "" : ` for ${forSeconds} s`
    }.`;
}

Deno.test({
  name: `docs/runbook.md has an entry for each alert, in order, that says when it fires${skipped}`,
  ignore: !readable,
  fn() {
    const part = /<!-- alerts -->([\s\S]*?)<!-- \/alerts -->/.exec(read("docs/runbook.md"))?.[1] ?? "";
    const entries = part.split(/^### /m).slice(1).map((entry) => {
      const [, title, when, symptom, check, action] =
        /^(.*)\n\n([^]*?)\n\n\*\*Symptom:\*\* ([^]+?)\n\n\*\*Check:\*\*\n\n((?:- [^]+?\n)+)\n\*\*Action:\*\*\n\n((?:- [^]+?\n)+)$/
          .exec(entry) ?? [];
      assert(symptom && check && action, entry);
      return { title, when };
    });
    assertEquals(entries, ALERTS.map((alert) => ({ title: alert.title, when: firesWhen(alert) })));
  },
});

Deno.test({
  name: `docs/runbook.md names only settings, tasks and headings that exist${skipped}`,
  ignore: !readable,
  fn() {
    const runbook = read("docs/runbook.md");
    const settings = new Set(SETTINGS.map(({ name }) => name));
    // variables of Compose, Telegraf and Deno
    const elsewhere = ["ALERT_WEBHOOK_URL", "PRODUCER_METRICS", "TOPIC_RETENTION_MS"]
      .concat("DENO_CERT", "DENO_TLS_CA_STORE", "HTTP_PROXY", "HTTPS_PROXY");
    const named = [...runbook.matchAll(/`([A-Z]+_[A-Z_]+)(?:=[^`]*)?`/g)].map(([, name]) => name ?? "");
    assert(named.length > 20);
    assertEquals(named.filter((name) => !settings.has(name) && !elsewhere.includes(name) && name !== "NAME_FILE"), []);
    const { tasks } = JSON.parse(read("deno.json"));
    const commands = [...runbook.matchAll(/deno task ([a-z:]+)/g)].map(([, name]) => name ?? "");
    assertEquals(commands.filter((name) => !Object.hasOwn(tasks, name)), []);
    const anchors = [...runbook.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => anchorOf(heading ?? ""));
    const links = [...runbook.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor]) => anchor ?? "");
    assertEquals(links.filter((anchor) => !anchors.includes(anchor)), []);
  },
});

Deno.test({
  name: `docs/runbook.md has the command of the task start, and the message of exit 5${skipped}`,
  ignore: !readable,
  fn() {
    const runbook = read("docs/runbook.md");
    const command = /<!-- start -->\s*```sh\n(.*)\n```\s*<!-- \/start -->/.exec(runbook)?.[1];
    assertEquals(command, JSON.parse(read("deno.json")).tasks.start.command);
    const words = [
      ...messagesOf("", read("src/pipeline/pipeline.ts"), [/\bnew DrainError\(\s*[^"`,]+,\s*/g]).said.keys(),
    ];
    assertEquals(words.length, 1);
    assert(runbook.split("\n").some((line) => line.startsWith("| 5 ") && line.includes(`\`${words[0]}\``)));
  },
});

Deno.test("messagesOf() reads texts with … for their values", () => {
  const code = [
    'log.warn(`Cannot ${a ? `x${"}"}` : "y"} it`, {});',
    'log.often("error", "One " +\n  "two", {});',
    'throw new SinkError("retry", `${a}${b} is \\`gone\\``);',
    "// log.warn('no', {})",
    "log.error(words);",
  ].join("\n");
  const { said, unclear } = messagesOf("a.ts", code);
  assertEquals([...said.keys()].toSorted(), ["Cannot … it", "One two", "… is `gone`"]);
  assertEquals(unclear, ["a.ts: words"]);
  assertEquals(
    entriesOf("| other | x |\n| `z` | b |\n\n| message | x |\n| `a …` | b |\n| ``a `b` c``   | d |\n| no | `e` |"),
    ["a …", "a `b` c"],
  );
});
