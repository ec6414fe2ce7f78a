// `deno task audit`: reads the arguments, and prints the report as text or JSON.

import { audit } from "../checks/audit.ts";
import { type AuditReport, auditText, isoTime } from "../checks/audit_report.ts";
import { chosenForm, discover } from "../checks/discover.ts";
import { InfluxRefusal } from "../checks/influx.ts";
import { describeCheckSettings, readServers } from "../checks/servers.ts";
import { Problem } from "../checks/stage.ts";
import { readArguments } from "../config/arguments.ts";
import type { Environment } from "../config/setting.ts";
import { systemClock } from "../core/clock.ts";
import { ConfigError, exitCodeFor, reasonOf, SinkError } from "../core/errors.ts";
import { type Output, TIME_WISH, timeOf } from "../core/terminal.ts";
import { asksForHelp } from "./command.ts";

const USAGE = `Usage: deno task audit [options]

Compares the records that Kafka has of a range of time with InfluxDB, and with the store if there is one. Says how many records
there are of each product, which are missing although no gap declares it, what the gaps declare, and which trades no record
names. Changes nothing. Without Kafka it reads only the store. It finds the servers as deno task doctor does, with the same
settings.

  --from TIME, --to TIME         the range, without its end: unix seconds, a date like 2026-10-03 or 2026-10-03T21:00:00Z, or
                                 how long ago, like 90m, 6h or 2d. Default: the last hour. Records of the last 15 s are left
                                 out, because they may still be on their way
  --product NAME[,NAME]          only these products
  --stack, --embedded            read the stack, or the program and its store, whatever else is running
  --json                         print one JSON object instead of text; if there is no answer, with ok: false and error

Exit codes: 0 nothing is missing; 1 something is missing although no gap declares it, or there are no records and no gap says
why; 2 the arguments cannot be used; 4 a server cannot be read.
`;

/** Younger records may still be on their way, seconds. */
const SETTLED_SECONDS = 15;
const HOUR = 3600;
/** During a long read, the time between two messages, ms. */
const PROGRESS_MS = 5000;

/**
 * Returns the exit code: 0 nothing is missing, 1 something undeclared is missing or there is no data. Throws a ConfigError for
 * arguments and settings that cannot be used, a SinkError if a server cannot be read.
 *
 * @param dir the project's folder, where the stack has its files
 */
export async function runAudit(
  args: readonly string[],
  environment: Environment,
  output: Output,
  signal: AbortSignal,
  dir = ".",
): Promise<0 | 1> {
  if (asksForHelp(args)) {
    await output.write(`${USAGE}\n${describeCheckSettings()}`);
    return 0;
  }
  const asJson = args.includes("--json");
  let report: AuditReport;
  try {
    report = await reportOf(args, environment, output, signal, dir);
  } catch (error) {
    // a program that reads stdout may not see stderr
    if (asJson && !signal.aborted) {
      const failure = { ok: false, error: reasonOf(error), exitCode: exitCodeFor(error) };
      await output.write(`${JSON.stringify(failure)}\n`);
    }
    throw error;
  }
  await output.write(asJson ? `${JSON.stringify(report)}\n` : auditText(report));
  return report.ok ? 0 : 1;
}

async function reportOf(
  args: readonly string[],
  environment: Environment,
  output: Output,
  signal: AbortSignal,
  dir: string,
): Promise<AuditReport> {
  const { form, range, products, remarks } = readAuditArguments(args, systemClock.now() / 1000);
  const servers = readServers(environment, await discover(environment, dir, form, signal));
  let toldAt = systemClock.elapsed();
  const onProgress = (records: number) => {
    if (systemClock.elapsed() - toldAt < PROGRESS_MS) return;
    toldAt = systemClock.elapsed();
    output.tell(`${records} records read\n`);
  };
  try {
    return await audit(servers, range, products, remarks, onProgress, signal);
  } catch (error) {
    if (error instanceof Problem) throw new SinkError("fatal", `${error.message}; ${error.cure}`);
    if (error instanceof InfluxRefusal) {
      throw new SinkError("fatal", `InfluxDB does not answer the audit: ${error.message}`);
    }
    throw error;
  }
}

function readAuditArguments(args: readonly string[], now: number) {
  const given = readArguments(args, {
    values: ["--from", "--to", "--product"],
    flags: ["--json", "--stack", "--embedded"],
  });
  const { options, problems } = given;
  const form = chosenForm(given);
  const time = (name: string, usual: number) => {
    const text = options.get(name);
    const value = text === undefined ? usual : timeOrAgo(text, now);
    if (Number.isNaN(value)) {
      problems.push(`Cannot use ${name}: expected ${TIME_WISH}, or how long ago like 6h, got "${text}"`);
    }
    return value;
  };
  const latest = Math.floor(now - SETTLED_SECONDS);
  const wantedTo = time("--to", latest);
  const to = Math.min(latest, wantedTo);
  const from = time("--from", to - HOUR);
  if (problems.length === 0 && from >= to) {
    problems.push(
      `Cannot use --from: expected a time before --to, which is at most ${SETTLED_SECONDS} s ago, got ${
        isoTime(from)
      } and ` +
        isoTime(to),
    );
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    form,
    range: { from, to },
    products: options.get("--product")?.split(",").map((name) => name.trim()).filter((name) => name !== ""),
    remarks: wantedTo > latest
      ? [`the range ends at ${isoTime(to)}: records of the last ${SETTLED_SECONDS} s may still be on their way`]
      : [],
  };
}

/** Unix seconds; NaN: the text is neither a time nor a length like `6h`. */
function timeOrAgo(text: string, now: number): number {
  const [, count, unit = ""] = /^-?(\d{1,6})([smhd])$/.exec(text) ?? [];
  const seconds = { s: 1, m: 60, h: HOUR, d: 24 * HOUR }[unit];
  return seconds === undefined ? timeOf(text) : now - Number(count) * seconds;
}
