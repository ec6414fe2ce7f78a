// A second exchange: Coinbase's protocol under another name. Run as a program, it starts `demo` with this exchange in the list.

import { ConfigError, exitCodeFor } from "../../src/core/errors.ts";
import { coinbase } from "../../src/exchanges/coinbase.ts";
import type { Exchange } from "../../src/exchanges/exchange.ts";
import { EXCHANGES } from "../../src/exchanges/mod.ts";

export const second: Exchange = {
  ...coinbase,
  name: "second",
  title: "Second Exchange",
  decode(frame, receivedTime) {
    const decoded = coinbase.decode(frame, receivedTime);
    return { ...decoded, ticks: decoded.ticks.map((tick) => ({ ...tick, exchange: "second" })) };
  },
};

if (import.meta.main) {
  Object.assign(EXCHANGES, { second });
  // imported late, because the table of settings is made from the list of exchanges at import
  const { commandOf } = await import("../../src/commands/mod.ts");
  try {
    await commandOf("demo")([], { stop: new AbortController(), onSecondSignal() {} });
  } catch (error) {
    const { stdio } = await import("../../src/commands/command.ts");
    stdio.tell(`${error instanceof ConfigError ? error.message : error}\n`);
    Deno.exit(exitCodeFor(error));
  }
}
