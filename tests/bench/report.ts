// What a bench says: lines of results, which `main.ts` collects from all benches into one table; every other line is information.

import { writeAllSync } from "../../src/core/write_all.ts";

/** One measured thing. */
export interface Result {
  /** What was measured, of which part; no colon in it. */
  readonly what: string;
  /** As measured, with its unit. */
  readonly value: string;
  /** What was wished for; undefined where a number is only told. */
  readonly wanted?: string | undefined;
  /** Whether it came true. */
  readonly isMet?: boolean | undefined;
}

/** Prints a line. */
export function say(text: string): void {
  writeAllSync(Deno.stdout, new TextEncoder().encode(`${text}\n`));
}

/** Prints `ok   what: value; wanted: wish`, or `MISS ...`. */
export function judge(what: string, isMet: boolean, value: string, wanted: string): void {
  say(`${isMet ? "ok  " : "MISS"} ${what}: ${value}; wanted: ${wanted}`);
}

/** Prints `told what: value`, for which nobody has a wish. */
export function tell(what: string, value: string): void {
  say(`told ${what}: ${value}`);
}

/** The result that a line tells; undefined when it is information. */
export function resultOf(line: string): Result | undefined {
  const [, mark, what = "", value = "", wanted] = /^(ok {2}|MISS|told) (.+?): (.+?)(?:; wanted: (.+))?$/.exec(line) ??
    [];
  if (mark === undefined) return undefined;
  return { what, value, ...(mark === "told" ? {} : { wanted, isMet: mark !== "MISS" }) };
}

/** The results as a table of Markdown, its columns aligned as `deno fmt` has them. */
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

/** How `main.ts` knows a bench that cannot run on this machine. */
export const CANNOT_RUN = 2;

/** Ends the bench with a sentence where something is missing. */
export function endIfMissing(missing: string | undefined): void {
  if (missing === undefined) return;
  say(`Cannot run the bench: ${missing}`);
  Deno.exit(CANNOT_RUN);
}

/** The number that argument `index` gives; ends the bench with a sentence where it gives none. */
export function numberArgument(index: number, name: string, standard: number): number {
  const text = Deno.args[index];
  const value = text === undefined || text === "" ? standard : Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  say(`Cannot use ${name} as it must be a number above 0: current value is ${JSON.stringify(text)}`);
  Deno.exit(CANNOT_RUN);
}

/** The middle one; of an even number the upper of the two. */
export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** The value below which this part of them lies. */
export function percentile(values: readonly number[], part: number): number {
  return values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] ?? NaN;
}

/** Resolves after so many seconds. */
export function pause(seconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, seconds * 1000));
}

/** `48.7k` */
export function thousands(rate: number): string {
  return `${(rate / 1000).toFixed(1)}k`;
}
