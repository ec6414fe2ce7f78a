// `deno task test`: all that can run on this machine, one stage after the other, and one line of counts at the end. What
// lacks a server is skipped aloud by its test.

const encoder = new TextEncoder();

function say(text: string): void {
  Deno.stdout.writeSync(encoder.encode(`${text}\n`));
}

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** `ok | 12 passed (3 steps) | 0 failed | 2 ignored (5s)`, the last line of `deno test`. */
function countsOf(output: string): Counts | undefined {
  // deno-lint-ignore no-control-regex -- the colours of a terminal
  const plain = output.replace(/\x1b\[[0-9;]*m/g, "");
  const line = plain.split("\n").findLast((each) => /^(?:ok|FAILED) \| \d+ passed/.test(each));
  if (line === undefined) return undefined;
  const count = (word: string) => Number(new RegExp(`(\\d+) ${word}`).exec(line)?.[1] ?? 0);
  return { passed: count("passed"), failed: count("failed"), skipped: count("ignored") };
}

/** Runs one command, shows what it prints, and gives its output and success. */
async function run(args: string[], jobs?: number): Promise<{ success: boolean; output: string }> {
  const env = jobs === undefined ? {} : { DENO_JOBS: String(jobs) };
  const child = new Deno.Command(Deno.execPath(), { args, env, stdin: "null", stdout: "piped", stderr: "piped" })
    .spawn();
  const decoder = new TextDecoder();
  let output = "";
  const show = async (stream: ReadableStream<Uint8Array>) => {
    for await (const chunk of stream) {
      Deno.stdout.writeSync(chunk);
      output += decoder.decode(chunk, { stream: true });
    }
  };
  const [, , { success }] = await Promise.all([show(child.stdout), show(child.stderr), child.status]);
  return { success, output };
}

/** What `deno test` reports of its failures, from each heading to the next summary; "" if nothing failed. */
function failuresIn(output: string): string {
  // deno-lint-ignore no-control-regex -- the colours of a terminal
  const lines = output.replace(/\x1b\[[0-9;]*m/g, "").split("\n");
  const start = lines.findIndex((line) => /^ ?(?:ERRORS|FAILURES) ?$/.test(line));
  return start < 0 ? "" : lines.slice(start).join("\n").trim();
}

const total: Counts = { passed: 0, failed: 0, skipped: 0 };
/** What failed, repeated at the end: where only the end of a log is kept, it is what one needs. */
const failures: string[] = [];
const seconds = (since: number) => `${((performance.now() - since) / 1000).toFixed(0)} s`;

/** A stage that passes or fails as a whole. */
async function checkStage(name: string, args: string[]): Promise<void> {
  say(`\n=== ${name}`);
  const since = performance.now();
  const { success, output } = await run(args);
  total[success ? "passed" : "failed"]++;
  if (!success) failures.push(`=== ${name}\n${output.slice(-4000)}`);
  say(`=== ${name}: ${success ? "passed" : "FAILED"} (${seconds(since)})`);
}

/**
 * A stage of many tests; some must have run, so that an empty stage is no success.
 *
 * @param jobs files of tests that run at the same time; undefined: one for each core
 */
async function testStage(name: string, args: string[], jobs?: number): Promise<Counts> {
  say(`\n=== ${name}`);
  const since = performance.now();
  const { success, output } = await run(["test", "--quiet", "--parallel", ...args], jobs);
  const counts = countsOf(output) ?? { passed: 0, failed: 1, skipped: 0 };
  // a file that does not load, or a leak, fails without a failed test
  if ((!success || counts.passed === 0) && counts.failed === 0) counts.failed = 1;
  if (counts.failed > 0) failures.push(`=== ${name}\n${failuresIn(output) || output.slice(-4000)}`);
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped;
  say(`=== ${name}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped (${seconds(since)})`);
  return counts;
}

const ALL = ["--allow-net", "--allow-read", "--allow-write", "--allow-run", "--allow-env", "--allow-sys"];

await checkStage("format, lint, types, docs", ["task", "check"]);
/** Folders whose tests start real servers. */
const SERVERS = ["servers", "integration", "stack", "chain", "dashboards", "checks", "chaos"].map((folder) =>
  `tests/${folder}`
);
/** They wait more than they work. */
const SERVER_JOBS = 3;
/** Whose tests drive a browser: one after the other, as they look at what is in time. */
const BROWSER = "tests/browser";

const bare = await testStage("a bare deno test: no permissions, no prompts", []);
// what it skips for want of permissions has them in the next stages
total.skipped -= bare.skipped;
await testStage("unit tests", [...ALL, `--ignore=${[...SERVERS, BROWSER].join(",")}`, "tests"]);
await testStage("browser tests", [...ALL, BROWSER], 1);
await testStage("tests on real servers", [...ALL, ...SERVERS], SERVER_JOBS);

if (failures.length > 0) say(`\n${failures.join("\n\n")}`);
say("");
say(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
Deno.exit(total.failed === 0 ? 0 : 1);
