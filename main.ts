// Runs the command that the first argument names, stops it when a signal arrives, and sets the exit code.

import { type Context, SECOND_SIGNAL_EXIT, stdio } from "./src/commands/command.ts";
import { commandOf } from "./src/commands/mod.ts";
import { systemClock as clock } from "./src/core/clock.ts";
import { ConfigError, exitCodeFor, SinkError } from "./src/core/errors.ts";

/** A signal counts as the second one after this time, ms: under `deno task` one Ctrl-C arrives twice within a millisecond. */
const SECOND_SIGNAL_MS = 1000;
/** SIGHUP is sent when a terminal is closed. `nohup` does not prevent it, because Deno resets it when it starts. */
const SIGNALS = Deno.build.os === "windows" ? ["SIGINT"] as const : ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Without this, Deno would send requests to this computer through HTTP_PROXY too, for example those of demo and doctor. */
function keepLoopbackOffTheProxy(): void {
  const listed = Deno.env.get("NO_PROXY") ?? Deno.env.get("no_proxy");
  Deno.env.set("NO_PROXY", [...(listed ? [listed] : []), "localhost", "127.0.0.1", "::1"].join());
}

/** The first signal stops the command, the second one ends the program at once. */
function listenToSignals(context: Context): void {
  let signalledAt: number | undefined;
  for (const name of SIGNALS) {
    Deno.addSignalListener(name, () => {
      if (signalledAt !== undefined && clock.elapsed() - signalledAt >= SECOND_SIGNAL_MS) {
        context.onSecondSignal();
        Deno.exit(SECOND_SIGNAL_EXIT);
      }
      signalledAt ??= clock.elapsed();
      context.stop.abort(new DOMException(`Received ${name}`, "AbortError"));
    });
  }
}

/** Returns the exit code, and writes what went wrong to stderr. */
async function main([name, ...args]: readonly string[]): Promise<number> {
  keepLoopbackOffTheProxy();
  const context: Context = { stop: new AbortController(), onSecondSignal: () => {} };
  listenToSignals(context);
  try {
    return await commandOf(name)(args, context) ?? 0;
  } catch (error) {
    if (error instanceof ConfigError) stdio.tell(error.problems.map((problem) => `${problem}\n`).join(""));
    else if (error instanceof SinkError) stdio.tell(`${error.message}\n`);
    else stdio.tell(`${error instanceof Error ? error.stack : error}\n`);
    return exitCodeFor(error);
  }
}

// an explicit exit: a handle that a library still holds must not keep the process alive
if (import.meta.main) Deno.exit(await main(Deno.args));
