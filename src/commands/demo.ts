// `deno task demo`: the Coinbase simulator takes the place of the exchange, with a store of its own.

import { systemClock as clock } from "../core/clock.ts";
import { Demo, DEMO_SETTINGS } from "../demo/demo.ts";
import type { Command } from "./command.ts";
import { runFeed, runWithSettings } from "./feed.ts";

/** `deno task demo`: simulated prices, a day of history, and levers that cause faults. */
export const demo: Command = (args, context): Promise<number | void> =>
  runWithSettings("demo", args, async (config, log) => {
    const { exchange, products, channel, brokers } = config;
    await using demo = await Demo.start({ exchange, products, channel, hasKafka: brokers.length > 0, clock, log });
    // its prices and positions must not be taken for real ones
    const { url: feedUrl, storeFile } = demo;
    const settings = { ...config, ...DEMO_SETTINGS, feedUrl, storeFile, cursorFile: undefined };
    await runFeed("demo", settings, log, context, demo);
  });
