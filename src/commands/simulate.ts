// The simulator from the command line: `deno task simulate`.

import { readArguments } from "../config/arguments.ts";
import { ConfigError } from "../core/errors.ts";
import { DEFAULT_PRODUCTS } from "../simulator/market.ts";
import { readTicker } from "../simulator/coinbase.ts";
import { parseRecording, type RecordedFrame } from "../simulator/recording.ts";
import type { SimulatorOptions } from "../simulator/server.ts";
import { Simulator } from "../simulator/server.ts";
import { asksForHelp, stdio } from "./command.ts";

const HELP = `A simulated Coinbase Exchange: a WebSocket server with made-up or recorded prices, and levers for faults.

Usage: deno task simulate [options]

  --port N      port to listen on, 0 for a free one (default 8765)
  --host H      address to listen on (default 127.0.0.1)
  --products P  products that can be had, separated by commas (default ${DEFAULT_PRODUCTS.join(",")})
  --seed N      seed of the price walks: the same seed gives the same prices (default 1)
  --rate N      trades per second of each product (default 1)
  --file F      replay recorded ticker frames from a file instead: a message per line, or {"at": seconds, "data": message}
  --speed N     multiple of the recorded speed, with --file (default 1)
  --help        this text
`;

/** As Coinbase takes them; anything else would be refused by whoever subscribes. */
const PRODUCT = /^[A-Z0-9]{1,20}(?:-[A-Z0-9]{1,20}){1,3}$/;

const VALUES = ["--port", "--host", "--products", "--seed", "--rate", "--file", "--speed"] as const;

async function readFrames(file: string, problems: string[]): Promise<RecordedFrame[]> {
  const value = `current value is ${JSON.stringify(file)}`;
  let text: string;
  try {
    text = await Deno.readTextFile(file);
  } catch (error) {
    if (!(error instanceof Error) || error instanceof TypeError || error instanceof Deno.errors.NotCapable) throw error;
    problems.push(`Cannot use --file as it must be a file that can be read: ${value}`);
    return [];
  }
  const frames = parseRecording(text);
  if (!frames.some(({ text }) => readTicker(text) !== undefined)) {
    problems.push(`Cannot use --file as it must hold ticker frames, one a line: ${value}`);
  }
  return frames;
}

/**
 * Runs a simulator until the signal aborts, and tells on stderr where it listens.
 * Throws a `ConfigError` that tells of all arguments that cannot be used, before anything is opened.
 */
export async function runSimulator(args: readonly string[], signal: AbortSignal): Promise<void> {
  if (asksForHelp(args)) return await stdio.write(HELP);
  const { options: given, problems } = readArguments(args, {
    values: VALUES,
    refuse: (arg) =>
      `Cannot use the argument as it must be one of ${VALUES.join(", ")}, --help: current value is ${
        JSON.stringify(arg)
      }`,
  });
  for (const [name, value] of given) {
    // an empty list counts as none, as an empty setting does
    if (value === "" && name !== "--products") problems.push(`Cannot use ${name} as it needs a value: see --help`);
  }
  const number = (name: typeof VALUES[number], fallback: number, wish: string, fits: (value: number) => boolean) => {
    const text = given.get(name);
    // an empty one has been told
    if (text === undefined || text === "") return fallback;
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
    if (fits(value)) return value;
    problems.push(`Cannot use ${name} as it must be ${wish}: current value is ${JSON.stringify(text)}`);
    return fallback;
  };
  const products = (given.get("--products") ?? "").split(",").map((item) => item.trim()).filter((item) => item !== "");
  for (const product of products) {
    if (PRODUCT.test(product)) continue;
    const wish = "product ids like BTC-USD, separated by commas";
    problems.push(`Cannot use --products as it must be ${wish}: current value is ${JSON.stringify(product)}`);
  }
  const options: SimulatorOptions = {
    ...(products.length === 0 ? {} : { products }),
    hostname: given.get("--host") ?? "127.0.0.1",
    port: number("--port", 8765, "0 to 65535", (value) => Number.isInteger(value) && value <= 65_535),
    seed: number("--seed", 1, "0 to 4294967295", (value) => Number.isInteger(value) && value <= 4_294_967_295),
    ticksPerSecond: number("--rate", 1, "0 to 10000", (value) => value <= 10_000),
  };
  const speed = number("--speed", 1, "above 0, at most 1000000", (value) => value > 0 && value <= 1_000_000);
  const file = given.get("--file");
  if (given.has("--speed") && file === undefined) problems.push("Cannot use --speed as it must stand beside --file");
  let recording: SimulatorOptions["recording"];
  if (file !== undefined && problems.length === 0) {
    const frames = await readFrames(file, problems);
    recording = { frames, speed };
  }
  if (problems.length > 0) throw new ConfigError(problems);
  if (signal.aborted) return;

  let simulator: Simulator;
  try {
    simulator = await Simulator.start(recording === undefined ? options : { ...options, recording });
  } catch (error) {
    if (!(error instanceof Error) || error instanceof TypeError || error instanceof Deno.errors.NotCapable) throw error;
    const wish = "Cannot listen as --host and --port must be an address of this machine that is free";
    throw new ConfigError([`${wish}: current value is "${options.hostname}:${options.port}" (${error.message})`]);
  }
  await using running = simulator;
  stdio.tell(`Simulated Coinbase Exchange listens on ${running.url}\n`);
  stdio.tell(`  use it:  COINBASE_WS_URL=${running.url} deno task dev\n`);
  stdio.tell(`  levers:  curl ${running.httpUrl}/   and   curl -d '{"code":1001}' ${running.httpUrl}/levers/hangUp\n`);
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
