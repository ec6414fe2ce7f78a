// `deno task test`: runs every test that can run on this machine, stage by stage, and prints one line of counts at the end.
// A test whose server is not installed is skipped, and its name says why.

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

/** Runs a command, prints its output, and also returns it. */
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

/** The failures that `deno test` lists at the end of its output; "" if nothing failed. */
function failuresIn(output: string): string {
  // deno-lint-ignore no-control-regex -- the colours of a terminal
  const lines = output.replace(/\x1b\[[0-9;]*m/g, "").split("\n");
  const start = lines.findIndex((line) => /^ ?(?:ERRORS|FAILURES) ?$/.test(line));
  return start < 0 ? "" : lines.slice(start).join("\n").trim();
}

const total: Counts = { passed: 0, failed: 0, skipped: 0 };
/** The failures are printed again at the end, because some systems keep only the end of a log. */
const failures: string[] = [];
const seconds = (since: number) => `${((performance.now() - since) / 1000).toFixed(0)} s`;

/** Runs a command that passes or fails as a whole. */
async function checkStage(name: string, args: string[]): Promise<void> {
  say(`\n=== ${name}`);
  const since = performance.now();
  const { success, output } = await run(args);
  total[success ? "passed" : "failed"]++;
  if (!success) failures.push(`=== ${name}\n${output.slice(-4000)}`);
  say(`=== ${name}: ${success ? "passed" : "FAILED"} (${seconds(since)})`);
}

/**
 * Runs test files. Fails as well if no test ran.
 *
 * @param jobs how many files run at the same time; default one per core
 */
async function testStage(name: string, args: string[], jobs?: number): Promise<Counts> {
  say(`\n=== ${name}`);
  const since = performance.now();
  const { success, output } = await run(["test", "--quiet", "--parallel", ...args], jobs);
  const counts = countsOf(output) ?? { passed: 0, failed: 1, skipped: 0 };
  // a file that cannot be loaded fails without a failed test
  if ((!success || counts.passed === 0) && counts.failed === 0) counts.failed = 1;
  if (counts.failed > 0) failures.push(`=== ${name}\n${failuresIn(output) || output.slice(-4000)}`);
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped;
  say(`=== ${name}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped (${seconds(since)})`);
  return counts;
}

const ALL = ["--allow-net", "--allow-read", "--allow-write", "--allow-run", "--allow-env", "--allow-sys"];

/** Folders whose tests start servers or a browser. They wait more than they compute, so more of them run at the same time. */
const SLOW = ["browser", "servers", "integration", "stack", "chain", "dashboards", "checks", "chaos"].map((folder) =>
  `tests/${folder}`
);
const SLOW_JOBS = 2 * navigator.hardwareConcurrency;

await checkStage("format, lint, types, docs", ["task", "check"]);
const bare = await testStage("a bare deno test: no permissions, no prompts", []);
// the tests that it skips run in the next two stages
total.skipped -= bare.skipped;
await testStage("unit tests", [...ALL, `--ignore=${SLOW.join(",")}`, "tests"]);
await testStage("tests with real servers and a browser", [...ALL, ...SLOW], SLOW_JOBS);

if (failures.length > 0) say(`\n${failures.join("\n\n")}`);
say("");
say(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
Deno.exit(total.failed === 0 ? 0 : 1);
