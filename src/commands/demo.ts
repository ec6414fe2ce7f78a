// `deno task demo`: the Coinbase simulator takes the place of the exchange, with a store of its own.

import { systemClock as clock } from "../core/clock.ts";
import { DEMO_SETTINGS, startDemo } from "../demo/demo.ts";
import type { Command } from "./command.ts";
import { runFeed, runWithSettings } from "./feed.ts";

/** `deno task demo`: simulated prices, a day of history, and levers that break things. */
export const demo: Command = (args, context): Promise<number | void> =>
  runWithSettings("demo", args, async (config, log) => {
    await using simulated = await startDemo({
      exchange: config.exchange,
      products: config.products,
      channel: config.channel,
      hasKafka: config.brokers.length > 0,
      clock,
      log,
      signal: context.stop.signal,
    });
    // neither its prices nor its positions may be taken for real ones
    const { url: feedUrl, storeFile } = simulated;
    const settings = { ...config, ...DEMO_SETTINGS, feedUrl, storeFile, cursorFile: undefined };
    await runFeed("demo", settings, log, context, simulated);
  });
