// All commands by name, and the text that lists them.

import { CHECK_SETTINGS } from "../checks/servers.ts";
import { describeSettings, STORE_FILE } from "../config/config.ts";
import { readEnvironment } from "../config/environment.ts";
import { listOf } from "../config/setting.ts";
import { systemClock as clock } from "../core/clock.ts";
import { ConfigError } from "../core/errors.ts";
import { runAudit } from "./audit.ts";
import { backupStore } from "./backup.ts";
import { asksForHelp, type Command, stdio } from "./command.ts";
import { demo } from "./demo.ts";
import { runDoctor } from "./doctor.ts";
import { exportStore } from "./export.ts";
import { dev, start } from "./feed.ts";
import { replayFile } from "./replay.ts";
import { restoreStore } from "./restore.ts";
import { runSimulator } from "./simulate.ts";

const USAGE = `Usage: deno task <command>

  dev                 live prices into a store, with a page; to Kafka too when KAFKA_BROKERS is set
  demo                the same with simulated prices, a day of history, and levers that cause faults
  start               live prices to Kafka, as in production
  export              ticks, candles or gaps of the store to stdout; --help lists its options
  backup FILE         copies the store to FILE, also while the program runs
  restore FILE        replaces the store with a backup
  doctor              checks each stage of the pipeline now; one line per stage
  audit               checks whether everything in Kafka was stored; --from and --to limit the time
  replay FILE         recorded frames (- for stdin) to records on stdout; with --channel ticker in microseconds
  simulate            the Coinbase simulator; --help lists its options
  <command> --help    the help of a command; for dev, demo and start this text and all settings
`;

const storeFile = () => readEnvironment().values.STORE_FILE?.trim() || STORE_FILE;
const checkEnvironment = () => readEnvironment(Object.values(CHECK_SETTINGS));
const help = () => stdio.write(`${USAGE}\n${describeSettings()}`);
const orHelp = (command: Command): Command => (args, context) => asksForHelp(args) ? help() : command(args, context);

const COMMANDS: Readonly<Record<string, Command>> = {
  dev: orHelp(dev),
  demo: orHelp(demo),
  start: orHelp(start),
  export: (args) => exportStore(args, storeFile(), stdio, clock.now()),
  backup: (args) => backupStore(args, storeFile(), stdio),
  restore: (args) => restoreStore(args, storeFile(), stdio, clock.now),
  doctor: (args, { stop }) => runDoctor(args, checkEnvironment(), stdio, stop.signal),
  audit: (args, { stop }) => runAudit(args, checkEnvironment(), stdio, stop.signal),
  replay: (args) => asksForHelp(args) ? stdio.write(USAGE) : replayFile(args),
  simulate: (args, { stop }) => runSimulator(args, stop.signal),
  "--help": help,
  "-h": help,
};

/** The command of that name. Throws a ConfigError if there is none. */
export function commandOf(name = ""): Command {
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command !== undefined) return command;
  const names = Object.keys(COMMANDS).filter((name) => !name.startsWith("-"));
  throw new ConfigError([`Cannot run "${name}": expected ${listOf(names)}`]);
}
