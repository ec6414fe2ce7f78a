// The audit in words: a table, what is missing in ranges, and one sentence that answers the question.

import type { Compared, Shared, Span, Unseen } from "./compare.ts";

/** What was found about one product. */
export interface ProductAudit {
  /** As records name it. */
  readonly product: string;
  /** In the topic. */
  readonly records: number;
  /** Of them, those beyond the first of their trade or second: sent again, or several prices of one second. */
  readonly repeats: number;
  /** InfluxDB; undefined: not compared. */
  readonly influx?: Compared & {
    /** Missing since Telegraf has not read them yet: they are in Kafka, and not lost. */
    readonly waiting: number;
    /** Trades of which no point is kept, since another trade of the product has the same time; nobody declared it. */
    readonly overwritten: number;
    /** Where they are, the first ones. */
    readonly shared: readonly Shared[];
  };
  /** The store; undefined: not compared. */
  readonly store?: Compared & {
    /** Compared from here on, unix seconds: what is older was cleaned, or is older than the store. */
    readonly from: number;
    /** Ticks that the store has and the topic has not, and nobody declared it. */
    readonly unknown: number;
  };
  /**
   * Trades between the first and the last record that no record tells of; undefined: not a channel that tells of each.
   */
  readonly notSeen?: { readonly count: number; readonly ranges: readonly Unseen[] };
  /** Declared gaps. */
  readonly gaps: readonly Span[];
  /** The part of the range in which no gap lies, percent. */
  readonly coverage: number;
}

/** What `--json` prints. */
export interface AuditReport {
  /** Nothing is missing that nobody declared. */
  readonly ok: boolean;
  /** Unix seconds, included. */
  readonly from: number;
  /** Unix seconds, excluded. */
  readonly to: number;
  /** What was read and compared, for people. */
  readonly sources: readonly string[];
  /** What limits the answer, one sentence each. */
  readonly remarks: readonly string[];
  /** Records of the topic that are none of ours. */
  readonly unreadable: number;
  /** Those that InfluxDB shows as rejected; undefined: not asked. */
  readonly rejected?: number;
  /** The sum over all products. */
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
  /** By name. */
  readonly products: readonly ProductAudit[];
}

/** Ranges of one kind that are shown of one product; the rest is counted. */
const SHOWN = 5;

/** `2026-10-03 21:00:00.123456`, without zeros at the end. */
function timeText(seconds: number): string {
  if (!Number.isFinite(seconds)) return seconds < 0 ? "ever" : "now";
  const whole = Math.floor(seconds);
  const fraction = Math.round((seconds - whole) * 1e6).toString().padStart(6, "0").replace(/0+$/, "");
  return `${new Date(whole * 1000).toISOString().slice(0, 19).replace("T", " ")}${
    fraction === "" ? "" : `.${fraction}`
  }`;
}

function lengthText(seconds: number): string {
  if (seconds < 120) return `${Number(seconds.toFixed(1))} s`;
  if (seconds < 7200) return `${Number((seconds / 60).toFixed(1))} min`;
  return `${Number((seconds / 3600).toFixed(1))} h`;
}

function number(value: number | undefined): string {
  return value === undefined ? "-" : value.toLocaleString("en-US");
}

/** Cut, never rounded up: 100.00 means all of it. */
function percent(value: number): string {
  return `${(Math.floor(value * 100 + 1e-6) / 100).toFixed(2)} %`;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows.map((row) =>
    `  ${
      row.map((cell, column) => column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)).join(
        "  ",
      )
    }`
      .trimEnd()
  ).join("\n");
}

/** The first lines of a list, and how many more there are. */
function section(title: string, lines: readonly (readonly string[])[], noun = "ranges"): string {
  const shown = lines.flatMap((own) => [
    ...own.slice(0, SHOWN),
    ...(own.length > SHOWN ? [`  ... and ${own.length - SHOWN} more ${noun}`] : []),
  ]);
  return shown.length === 0 ? "" : `\n${title}\n${shown.join("\n")}\n`;
}

/** All of it. */
export function auditText(report: AuditReport): string {
  const { from, to, sources, remarks, products, totals, unreadable, rejected } = report;
  const hasInflux = products.some(({ influx }) => influx !== undefined);
  const hasStore = products.some(({ store }) => store !== undefined);
  const hasShared = products.some(({ influx }) => (influx?.overwritten ?? 0) > 0);
  const hasTrades = products.some(({ notSeen }) => notSeen !== undefined);
  const columns: [string, (each: ProductAudit) => string][] = [
    ["product", ({ product }) => product],
    ["records", ({ records }) => number(records)],
    ["repeats", ({ repeats }) => number(repeats)],
    ...hasInflux
      ? [
        ["InfluxDB", ({ influx }) => number(influx?.there)],
        ["missing", ({ influx }) => number(influx?.missing)],
        ["waiting", ({ influx }) => number(influx?.waiting)],
        ...hasShared ? [["overwritten", ({ influx }: ProductAudit) => number(influx?.overwritten)]] : [],
      ] as [string, (each: ProductAudit) => string][]
      : [],
    ...hasStore
      ? [
        ["store", ({ store }) => number(store?.there)],
        ["missing", ({ store }) => number(store?.missing)],
      ] as [string, (each: ProductAudit) => string][]
      : [],
    ...hasInflux || hasStore
      ? [[
        "declared",
        ({ influx, store }) => number((influx?.declared ?? 0) + (store?.declared ?? 0)),
      ]] as [string, (each: ProductAudit) => string][]
      : [],
    ...hasTrades
      ? [["not seen", ({ notSeen }) => number(notSeen?.count)]] as [string, (each: ProductAudit) => string][]
      : [],
    ["gaps", ({ gaps }) => number(gaps.length)],
    ["coverage", ({ coverage }) => percent(coverage)],
  ];
  const rows = [columns.map(([name]) => name), ...products.map((each) => columns.map(([, of]) => of(each)))];
  const holes = (place: "influx" | "store") =>
    products.map((each) =>
      (each[place]?.holes ?? []).map(({ from, to, count }) =>
        `  ${each.product}: ${number(count)} ${count === 1 ? "record" : "records"}, ${timeText(from)}${
          from === to ? "" : ` to ${timeText(to)}`
        }`
      )
    );
  const unseen = (declared: boolean) =>
    products.map(({ product, notSeen }) =>
      (notSeen?.ranges ?? []).filter((range) => range.declared === declared).map((
        { firstTrade, lastTrade, count, from, to },
      ) =>
        `  ${product}: ${
          count === 1 ? `trade ${firstTrade}` : `trades ${firstTrade} to ${lastTrade} (${number(count)})`
        }, ` +
        `between ${timeText(Math.min(from, to))} and ${timeText(Math.max(from, to))}`
      )
    );
  const gapLines = products.map(({ product, gaps }) =>
    gaps.map((gap) => {
      const length = Math.min(to, gap.to) - Math.max(from, gap.from);
      return `  ${product}: ${gap.reason}, ${timeText(gap.from)} to ${timeText(gap.to)}, ${
        lengthText(Math.max(0, length))
      } of the range`;
    })
  );
  return [
    `From ${timeText(from)} to ${timeText(to)} UTC (${lengthText(to - from)}): ${sources.join(", ")}\n`,
    ...remarks.map((remark) => `Note: ${remark}\n`),
    products.length === 0 ? "" : `\n${table(rows)}\n`,
    section("Missing in InfluxDB, and nobody declared it:", holes("influx")),
    section(
      "Overwritten in InfluxDB, which keeps one price of a product and a time:",
      products.map(({ product, influx }) =>
        (influx?.shared ?? []).map(({ at, trades }) => `  ${product}: trades ${trades.join(", ")} at ${timeText(at)}`)
      ),
      "times",
    ),
    section("Missing in the store, and nobody declared it:", holes("store")),
    section(
      "Not seen, though the exchange numbers its trades one by one (it promises each of them for trades, not for tickers):",
      unseen(false),
    ),
    section("Not seen, inside declared gaps:", unseen(true)),
    section("Declared gaps:", gapLines),
    unreadable > 0 || (rejected ?? 0) > 0
      ? `\n${number(unreadable)} records of the topic are no prices${
        rejected === undefined ? "" : `; InfluxDB shows ${number(rejected)} as rejected`
      }.\n`
      : "",
    `\n${answer(report, totals)}\n`,
  ].join("");
}

function answer(
  { products, ok }: AuditReport,
  { records, missing, waiting, overwritten, declared }: AuditReport["totals"],
): string {
  if (records === 0) {
    return ok
      ? "No records in this range: declared gaps cover all of it."
      : "No records in this range, and no gap declares all of it: nothing was compared. Is the range right (times are UTC), and --product?";
  }
  const lasting = waiting > 0
    ? ` ${number(waiting)} wait in Kafka until Telegraf reads them: not lost; deno task doctor tells why.`
    : "";
  const gone = overwritten > 0
    ? `${number(overwritten)} of ${
      number(records)
    } records are overwritten in InfluxDB by another trade of the same time.`
    : "";
  if (missing > 0) {
    return [
      `${number(missing)} of ${number(records)} records are missing, and nobody declared it.`,
      gone,
      lasting.trim(),
    ]
      .filter((each) => each !== "").join(" ");
  }
  if (overwritten > 0) return `${gone}${lasting}`;
  if (waiting > 0) return `Nothing is lost.${lasting}`;
  const where = products.some(({ influx, store }) => influx !== undefined || store !== undefined);
  const rest = declared > 0 ? ` ${number(declared)} are missing in declared gaps.` : "";
  return where
    ? `Nothing is missing undeclared: ${number(records)} records.${rest}`
    : `${
      number(records)
    } records; there was nothing to compare them with, so only gaps and trade numbers were checked.`;
}
