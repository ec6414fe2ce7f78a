// `deno task replay`: turns recorded frames from a file (or stdin) into records on stdout.

import { choiceOf, readArguments } from "../config/arguments.ts";
import { ConfigError, reasonOf, SinkError } from "../core/errors.ts";
import { Stats } from "../core/stats.ts";
import { wrongPath } from "../core/terminal.ts";
import { DEFAULT_EXCHANGE, EXCHANGES } from "../exchanges/mod.ts";
import { describeRejected } from "../pipeline/intake.ts";
import { framesIn, replay } from "../pipeline/replay.ts";
import { stdio } from "./command.ts";

/** Throws a ConfigError if the arguments or the file cannot be used, a SinkError if stdout cannot be written to. */
export async function replayFile(args: readonly string[]): Promise<void> {
  const given = readArguments(args, { values: ["--exchange", "--channel"], takesWords: true });
  const { problems, words: [path = "", ...more] } = given;
  const name = choiceOf(given, "--exchange", Object.keys(EXCHANGES), DEFAULT_EXCHANGE.name);
  const exchange = EXCHANGES[name] ?? DEFAULT_EXCHANGE;
  const channel = choiceOf(given, "--channel", Object.keys(exchange.channels), exchange.defaultChannel);
  const problem = path === "" || more.length > 0
    ? `Cannot replay: expected one file (or - for stdin), got "${args.join(" ")}"`
    : wrongPath("FILE", path);
  if (problem !== undefined) problems.push(problem);
  if (problems.length > 0) throw new ConfigError(problems);
  const stats = new Stats();
  const intake = { exchange, channel, products: undefined, maxFrameLength: 1_048_576, stats };
  let writeError: unknown;
  const write = (lines: string) =>
    stdio.write(lines).catch((error) => {
      throw writeError = error;
    });
  try {
    const bytes = path === "-" ? Deno.stdin.readable : (await Deno.open(path)).readable;
    await replay(bytes, intake, write);
    if (stats.frames > 0 && framesIn(stats) === 0) {
      throw new Error(`none of its ${stats.frames} lines is a frame: ${describeRejected(stats)}`);
    }
  } catch (error) {
    // the reader of stdout has left (`... | head`)
    if (error instanceof Deno.errors.BrokenPipe) return;
    if (error instanceof TypeError) throw error;
    const why = reasonOf(error);
    if (error === writeError) throw new SinkError("fatal", `Cannot write the records to stdout: ${why}`);
    throw new ConfigError([`Cannot replay ${path}: expected a readable file of recorded frames (${why})`]);
  }
  stdio.tell(
    `${stats.received} ticks, ${stats.repeated} repeats, rejected: ${describeRejected(stats)}, ` +
      `${stats.ignored} ignored, ${stats.withoutTrade} tickers without a trade, ` +
      `${stats.control} heartbeats and replies, of ${stats.frames} lines\n`,
  );
  if (stats.frames === 0) stdio.tell(`Nothing was read: ${path === "-" ? "stdin" : path} is empty\n`);
}
