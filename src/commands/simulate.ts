// `deno task simulate`: the Coinbase simulator on its own.

import { readArguments } from "../config/arguments.ts";
import { decimal, describe, int, list, path, setting, SettingsReader, text } from "../config/setting.ts";
import { readTextFile, readTextFileSync } from "../config/text_file.ts";
import { ConfigError, reasonOf } from "../core/errors.ts";
import { readTicker } from "../simulator/coinbase.ts";
import { DEFAULT_PRODUCTS } from "../simulator/market.ts";
import { parseRecording, type RecordedFrame } from "../simulator/recording.ts";
import { Simulator } from "../simulator/server.ts";
import { asksForHelp, stdio } from "./command.ts";

/** Coinbase would refuse a subscribe to any other name. */
const PRODUCT = /^[A-Z0-9]{1,20}(?:-[A-Z0-9]{1,20}){1,3}$/;

const OPTIONS = {
  port: setting("--port", int(0, 65_535), "8765", "Port to listen on; 0: a free one"),
  hostname: setting("--host", text("an address of this machine"), "127.0.0.1", "Address to listen on"),
  products: setting(
    "--products",
    list("product ids like BTC-USD", (item) => PRODUCT.test(item) ? item : undefined),
    "",
    `Products to list instead of ${DEFAULT_PRODUCTS.join(",")}; with --file, in addition to those of the file`,
  ),
  seed: setting("--seed", int(0, 4_294_967_295), "1", "Seed of the price walks: the same seed gives the same prices"),
  ticksPerSecond: setting("--rate", decimal(0, 10_000), "1", "Trades per second of each product"),
  file: setting(
    "--file",
    path(),
    "",
    'Replay recorded ticker frames instead: one message per line, or {"at": <unix seconds>, "data": <message>}',
  ),
  speed: setting("--speed", decimal(0.001, 1_000_000), "1", "Multiple of the recorded speed, with --file"),
};

const HELP =
  `A simulated Coinbase Exchange: a WebSocket server with made-up or recorded prices, and levers that cause faults.

Usage: deno task simulate [options]

${describe(Object.values(OPTIONS))}`;

async function readFrames(file: string): Promise<RecordedFrame[]> {
  let frames: RecordedFrame[];
  try {
    frames = parseRecording(await readTextFile(file));
  } catch (error) {
    if (error instanceof TypeError || error instanceof Deno.errors.NotCapable) throw error;
    throw new ConfigError([`Cannot use --file: expected a readable file, got "${file}" (${reasonOf(error)})`]);
  }
  if (frames.some(({ text }) => readTicker(text) !== undefined)) return frames;
  throw new ConfigError([`Cannot use --file: expected ticker frames, one per line, got none in "${file}"`]);
}

/**
 * Runs a simulator until the signal aborts, and reports on stderr where it listens. Throws a ConfigError with everything
 * that is wrong with the arguments, before anything is opened.
 */
export async function runSimulator(args: readonly string[], signal: AbortSignal): Promise<void> {
  if (asksForHelp(args)) return await stdio.write(HELP);
  const given = readArguments(args, { values: Object.values(OPTIONS).map(({ name }) => name) });
  const reader = new SettingsReader({ values: Object.fromEntries(given.options), readFile: readTextFileSync });
  const { file, speed, products, ...options } = reader.readAll(OPTIONS);
  const problems = [...given.problems, ...reader.problems];
  if (file === undefined && given.options.has("--speed")) problems.push("Cannot use --speed: expected --file, too");
  if (problems.length > 0) throw new ConfigError(problems);
  const recording = file === undefined ? undefined : { frames: await readFrames(file), speed };
  if (signal.aborted) return;

  let simulator: Simulator;
  try {
    simulator = await Simulator.start({ ...options, recording, ...(products.length === 0 ? {} : { products }) });
  } catch (error) {
    if (error instanceof TypeError || error instanceof Deno.errors.NotCapable) throw error;
    throw new ConfigError([
      "Cannot listen: expected --host and --port to be a free address of this machine, " +
      `got "${options.hostname}:${options.port}" (${reasonOf(error)})`,
    ]);
  }
  await using running = simulator;
  stdio.tell(`The Coinbase simulator listens on ${running.url}\n`);
  stdio.tell(`  to use it:   COINBASE_WS_URL=${running.url} deno task dev\n`);
  stdio.tell(`  its levers:  curl ${running.httpUrl}/\n`);
  stdio.tell(`  to pull one: curl -d '{"code":1001}' ${running.httpUrl}/levers/hangUp\n`);
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
