// The output of a bench: lines with results, which `main.ts` collects into one table, and lines with information.

import { writeAllSync } from "../../src/core/write_all.ts";

/** A measured value. */
export interface Result {
  /** What was measured; without a colon. */
  readonly what: string;
  /** With its unit. */
  readonly value: string;
  /** The goal; undefined if there is none. */
  readonly wanted?: string | undefined;
  /** Whether the goal is met. */
  readonly isMet?: boolean | undefined;
}

/** Prints a line. */
export function say(text: string): void {
  writeAllSync(Deno.stdout, new TextEncoder().encode(`${text}\n`));
}

/** Prints `ok   what: value; wanted: goal`, or `MISS ...`. */
export function judge(what: string, isMet: boolean, value: string, wanted: string): void {
  say(`${isMet ? "ok  " : "MISS"} ${what}: ${value}; wanted: ${wanted}`);
}

/** Prints `note what: value`, a result without a goal. */
export function note(what: string, value: string): void {
  say(`note ${what}: ${value}`);
}

/** The result in a line; undefined if the line is information. */
export function resultOf(line: string): Result | undefined {
  const [, mark, what = "", value = "", wanted] = /^(ok {2}|MISS|note) (.+?): (.+?)(?:; wanted: (.+))?$/.exec(line) ??
    [];
  if (mark === undefined) return undefined;
  return { what, value, ...(mark === "note" ? {} : { wanted, isMet: mark !== "MISS" }) };
}

/** The results as a Markdown table, aligned like `deno fmt` does it. */
export function tableOf(results: readonly Result[]): string {
  const rows = [
    ["what", "measured", "wanted", ""],
    ...results.map(({ what, value, wanted = "", isMet }) => [
      what,
      value,
      wanted,
      isMet === undefined ? "" : isMet ? "ok" : "MISS",
    ]),
  ];
  const widths = [0, 1, 2, 3].map((column) => Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[], fill = " ") =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0, fill)).join(" | ")} |`;
  const [head = [], ...body] = rows;
  return [line(head), line(["", "", "", ""], "-"), ...body.map((row) => line(row))].join("\n");
}

/** The exit code of a bench that cannot run on this machine. */
export const CANNOT_RUN = 2;

/** Ends the bench with a message if something is missing. */
export function endIfMissing(missing: string | undefined): void {
  if (missing === undefined) return;
  say(`Cannot run the bench: ${missing}`);
  Deno.exit(CANNOT_RUN);
}

/** Argument `index` as a number. Ends the bench with a message if it is none. */
export function numberArgument(index: number, name: string, standard: number): number {
  const text = Deno.args[index];
  const value = text === undefined || text === "" ? standard : Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  say(`Cannot use ${name}: expected a number above 0, got ${JSON.stringify(text)}`);
  Deno.exit(CANNOT_RUN);
}

/** The middle value, or the upper one of the two middle ones. */
export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** The value below which this part of the values lies. */
export function percentile(values: readonly number[], part: number): number {
  return values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] ?? NaN;
}

export function pause(seconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, seconds * 1000));
}

/** `48.7k` */
export function thousands(rate: number): string {
  return `${(rate / 1000).toFixed(1)}k`;
}
