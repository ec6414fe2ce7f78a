// The report of the audit as text: a table, the ranges in which something is missing, and one sentence with the answer.

import type { Compared, Shared, Span, Unseen } from "./compare.ts";

/** What was found about one product. */
export interface ProductAudit {
  /** As records name it. */
  readonly product: string;
  /** Records in the topic, or ticks in the store if there is no Kafka. */
  readonly records: number;
  /** Those of them that repeat a trade or, on ticker_batch, a second. */
  readonly repeats: number;
  readonly influx?:
    | Compared & {
      /** Trades that another trade of the same time has replaced, outside of declared gaps. */
      readonly overwritten: number;
      /** Where they are: the first times. */
      readonly shared: readonly Shared[];
    }
    | undefined;
  /** The store; undefined: not compared. */
  readonly store?:
    | Compared & {
      /** Compared from this time on, unix seconds: the store has no older ticks. */
      readonly from: number;
      /** Ticks that are neither in the topic nor in a declared gap. */
      readonly unknown: number;
    }
    | undefined;
  /** Trades between the first and last record that no record names; undefined: the channel does not send every trade. */
  readonly notSeen?: { readonly count: number; readonly ranges: readonly Unseen[] } | undefined;
  readonly gaps: readonly Span[];
  /** The part of the range that lies in no gap, percent. */
  readonly coverage: number;
}

/** What `deno task audit --json` prints. */
export interface AuditReport {
  readonly ok: boolean;
  /** Unix seconds, included. */
  readonly from: number;
  /** Unix seconds, excluded. */
  readonly to: number;
  readonly sources: readonly string[];
  /** What limits the answer, one sentence each. */
  readonly remarks: readonly string[];
  /** Records of the topic that Telegraf cannot read. */
  readonly unreadable: number;
  /** Records that Telegraf has rejected, according to InfluxDB; undefined: InfluxDB was not read. */
  readonly rejected?: number | undefined;
  readonly totals: {
    readonly records: number;
    readonly missing: number;
    readonly waiting: number;
    readonly overwritten: number;
    readonly declared: number;
    readonly notSeen: number;
    /** The mean of all products, percent. */
    readonly coverage: number;
  };
  readonly products: readonly ProductAudit[];
}

/** Lines of one kind that are shown for one product; the others are counted. */
const MAX_LINES = 5;

/** Unix seconds as `2026-10-03T21:00:00Z`, with milliseconds if there are any. */
export function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace(".000Z", "Z");
}

/** Unix seconds as `2026-10-03 21:00:00.123456`, without trailing zeros. */
function timeText(seconds: number): string {
  if (!Number.isFinite(seconds)) return seconds < 0 ? "the beginning" : "now";
  const whole = Math.floor(seconds);
  const fraction = (seconds - whole).toFixed(6).slice(1).replace(/\.?0+$/, "");
  return `${new Date(whole * 1000).toISOString().slice(0, 19).replace("T", " ")}${fraction}`;
}

function lengthText(seconds: number): string {
  if (seconds < 120) return `${Number(seconds.toFixed(1))} s`;
  if (seconds < 7200) return `${Number((seconds / 60).toFixed(1))} min`;
  return `${Number((seconds / 3600).toFixed(1))} h`;
}

function numberText(value: number | undefined): string {
  return value?.toLocaleString("en-US") ?? "-";
}

/** Rounded down: 100.00 means all of it. */
function percentText(value: number): string {
  return `${(Math.floor(value * 100 + 1e-6) / 100).toFixed(2)} %`;
}

function tableText({ products }: AuditReport): string {
  const has = (of: (each: ProductAudit) => unknown) => products.some((each) => of(each) !== undefined);
  const hasInflux = has(({ influx }) => influx), hasStore = has(({ store }) => store);
  const hasOverwritten = products.some(({ influx }) => (influx?.overwritten ?? 0) > 0);
  const allColumns: [isShown: boolean, title: string, value: (each: ProductAudit) => number | string | undefined][] = [
    [true, "product", ({ product }) => product],
    [true, "records", ({ records }) => records],
    [true, "repeats", ({ repeats }) => repeats],
    [hasInflux, "InfluxDB", ({ influx }) => influx?.there],
    [hasInflux, "missing", ({ influx }) => influx?.missing],
    [hasInflux, "waiting", ({ influx }) => influx?.waiting],
    [hasOverwritten, "overwritten", ({ influx }) => influx?.overwritten],
    [hasStore, "store", ({ store }) => store?.there],
    [hasStore, "missing", ({ store }) => store?.missing],
    [hasInflux || hasStore, "declared", ({ influx, store }) => (influx?.declared ?? 0) + (store?.declared ?? 0)],
    [has(({ notSeen }) => notSeen), "not seen", ({ notSeen }) => notSeen?.count],
    [true, "gaps", ({ gaps }) => gaps.length],
    [true, "coverage", ({ coverage }) => percentText(coverage)],
  ];
  const columns = allColumns.filter(([isShown]) => isShown).map(([, title, value], i) => {
    const own = [title, ...products.map(value).map((each) => typeof each === "string" ? each : numberText(each))];
    const width = Math.max(...own.map(({ length }) => length));
    return own.map((text) => i === 0 ? text.padEnd(width) : text.padStart(width));
  });
  return [undefined, ...products].map((_, row) => `  ${columns.map((column) => column[row]).join("  ")}\n`).join("");
}

/** A list under a title, or nothing: for each product the first lines, and how many more there are. */
function listText(
  title: string,
  { products }: AuditReport,
  linesOf: (each: ProductAudit) => readonly string[],
  noun = "ranges",
): string {
  const lines = products.flatMap((each) => {
    const own = linesOf(each).map((line) => `  ${each.product}: ${line}\n`);
    const more = own.length - MAX_LINES;
    return more > 0 ? [...own.slice(0, MAX_LINES), `  ... and ${more} more ${noun}\n`] : own;
  });
  return lines.length === 0 ? "" : `\n${title}\n${lines.join("")}`;
}

function holeLines({ holes = [] }: Partial<Compared> = {}): string[] {
  return holes.map(({ from, to, count }) =>
    `${numberText(count)} ${count === 1 ? "record" : "records"}, ${timeText(from)}${
      from === to ? "" : ` to ${timeText(to)}`
    }`
  );
}

function unseenLines({ notSeen }: ProductAudit, isDeclared: boolean): string[] {
  return (notSeen?.ranges ?? []).filter(({ declared }) => declared === isDeclared)
    .map(({ firstTrade, lastTrade, count, from, to }) => {
      const trades = count === 1
        ? `trade ${firstTrade}`
        : `trades ${firstTrade} to ${lastTrade} (${numberText(count)})`;
      return `${trades}, between ${timeText(Math.min(from, to))} and ${timeText(Math.max(from, to))}`;
    });
}

/** The whole report, as it is printed. */
export function auditText(report: AuditReport): string {
  const { from, to, sources, remarks, products, unreadable, rejected = 0 } = report;
  return [
    `From ${timeText(from)} to ${timeText(to)} UTC (${lengthText(to - from)}): ${sources.join(", ")}\n`,
    ...remarks.map((remark) => `Note: ${remark}\n`),
    products.length === 0 ? "" : `\n${tableText(report)}`,
    listText("Missing in InfluxDB, not declared:", report, ({ influx }) => holeLines(influx)),
    listText(
      "Overwritten in InfluxDB, which keeps one price per product and time:",
      report,
      ({ influx }) => (influx?.shared ?? []).map(({ at, trades }) => `trades ${trades.join(", ")} at ${timeText(at)}`),
      "times",
    ),
    listText("Missing in the store, not declared:", report, ({ store }) => holeLines(store)),
    listText(
      "Trades not seen, outside of declared gaps (the exchange numbers all trades, but does not promise a ticker for each):",
      report,
      (each) => unseenLines(each, false),
    ),
    listText("Trades not seen, inside declared gaps:", report, (each) => unseenLines(each, true)),
    listText("Declared gaps:", report, ({ gaps }) =>
      gaps.map((gap) => {
        const seconds = Math.max(0, Math.min(to, gap.to) - Math.max(from, gap.from));
        return `${gap.reason}, ${timeText(gap.from)} to ${timeText(gap.to)}, ${lengthText(seconds)} of the range`;
      })),
    unreadable + rejected === 0
      ? ""
      : `\n${numberText(unreadable)} records of the topic are not prices; Telegraf has rejected ${
        numberText(report.rejected)
      }, according to InfluxDB.\n`,
    `\n${answerText(report)}\n`,
  ].join("");
}

function answerText({ products, ok, totals }: AuditReport): string {
  const { records, missing, waiting, overwritten, declared } = totals;
  const all = numberText(records);
  if (records === 0) {
    return ok
      ? "No records in this range: declared gaps cover all of it."
      : "No records in this range, and no gap covers all of it: nothing was compared. Check the range (times are UTC) and --product.";
  }
  const sentences = [
    missing > 0 ? `${numberText(missing)} of ${all} records are missing and not declared.` : "",
    overwritten > 0
      ? `${numberText(overwritten)} of ${all} records are overwritten in InfluxDB by another trade of the same time.`
      : "",
    missing + overwritten === 0 && waiting > 0 ? "Nothing is lost." : "",
    waiting > 0
      ? `${numberText(waiting)} wait in Kafka until Telegraf reads them, and are not lost: run deno task doctor.`
      : "",
  ].filter((sentence) => sentence !== "");
  if (sentences.length > 0) return sentences.join(" ");
  if (!products.some(({ influx, store }) => influx !== undefined || store !== undefined)) {
    return `${all} records; there was nothing to compare them with, so only gaps and trades were checked.`;
  }
  const rest = declared > 0 ? ` ${numberText(declared)} are missing in declared gaps.` : "";
  return `Nothing is missing that is not declared: ${all} records.${rest}`;
}
