// What Grafana does to a query before InfluxDB gets it: its page replaces variables, then its server the macros. Written after
// Grafana 12.4 (the names and rules of `calculateInterval`, and of pkg/tsdb/influxdb/flux/macros.go).

import type { FluxRow } from "../servers/flux_csv.ts";

/** What a person looks at. */
export interface View {
  /** Start of the time range, ms since the epoch. */
  readonly from: number;
  /** End of the time range, ms since the epoch. */
  readonly to: number;
  /** Of the panel; 1000 when left out, about a panel's width in pixels. */
  readonly maxDataPoints?: number | undefined;
  /** Of the panel, whole seconds as \`10s\`: no window is shorter. */
  readonly interval?: string | undefined;
  /** Of the dashboard. */
  readonly variables?: Readonly<Record<string, string>>;
}

/** ms: below the first number Grafana rounds to the second, and so on. From a year's worth it gives a year. */
const ROUNDED: readonly (readonly [below: number, to: number])[] = [
  [1500, 1000],
  [3500, 2000],
  [7500, 5000],
  [12_500, 10_000],
  [17_500, 15_000],
  [25_000, 20_000],
  [45_000, 30_000],
  [90_000, 60_000],
  [210_000, 120_000],
  [450_000, 300_000],
  [750_000, 600_000],
  [1_050_000, 900_000],
  [1_500_000, 1_200_000],
  [2_700_000, 1_800_000],
  [5_400_000, 3_600_000],
  [9_000_000, 7_200_000],
  [16_200_000, 10_800_000],
  [32_400_000, 21_600_000],
  [86_400_000, 43_200_000],
  [604_800_000, 86_400_000],
  [1_814_400_000, 604_800_000],
  [3_628_800_000, 2_592_000_000],
];

/** `v.windowPeriod` in ms: the range divided by the points, rounded, and at least the data source's `timeInterval` of 1 s. */
export function windowPeriodMs({ from, to, maxDataPoints = 1000, interval = "1s" }: View): number {
  const exact = (to - from) / maxDataPoints;
  const rounded = ROUNDED.find(([below]) => exact < below)?.[1] ?? 31_536_000_000;
  return Math.max(rounded, 1000 * Number.parseInt(interval));
}

/** As Go writes a duration: `15s`, `2m0s`, `24h0m0s`. */
export function goDuration(ms: number): string {
  const seconds = ms / 1000;
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  if (h > 0) return `${h}h${m}m${s}s`;
  return m > 0 ? `${m}m${s}s` : `${s}s`;
}

/** As Go writes a time with `RFC3339Nano`: no zeros at the end of the fraction. */
export function goTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\.?0*Z$/, "Z");
}

/**
 * The query that InfluxDB gets; `bucket` is the data source's default. Throws for a variable that the dashboard does not have:
 * Grafana would leave its name there.
 */
export function interpolate(flux: string, view: View, bucket: string): string {
  const macros: Record<string, string> = {
    timeRangeStart: goTime(view.from),
    timeRangeStop: goTime(view.to),
    windowPeriod: goDuration(windowPeriodMs(view)),
    defaultBucket: JSON.stringify(bucket),
  };
  const replaced = flux.replace(/\$\{(\w+)[^}]*\}|\$(\w+)|\[\[(\w+).*?\]\]/g, (text, ...names) => {
    const value = view.variables?.[names.slice(0, 3).find((name) => name !== undefined)];
    if (value === undefined) throw new RangeError(`Not a variable of the dashboard: ${text}`);
    return value;
  });
  // without a word boundary, as there: a name that ends in v would be hit too
  return replaced.replace(/v\.([a-zA-Z]+)/g, (text, name) => macros[name] ?? text);
}

/** Sets Flux's clock, and asks for its profile if wanted. Imports stand before everything else. */
export function withOptions(flux: string, now: number, profile = false): string {
  const head = /^(?:(?:\/\/.*|import .*)?\n)*/.exec(flux)?.[0] ?? "";
  return [
    ...profile ? ['import "profiler"'] : [],
    head,
    `option now = () => ${new Date(now).toISOString()}`,
    ...profile ? ['option profiler.enabledProfilers = ["operator"]'] : [],
    flux.slice(head.length),
  ].join("\n");
}

/** The reads of storage in a profile, without their numbers. */
export function readsOf(rows: readonly FluxRow[]): string[] {
  const labels = rows.filter((row) => row.result === "_profiler").map((row) => `${row.Label}`);
  return labels.filter((label) => /(^|_)Read/.test(label)).map((label) => label.replace(/\d+.*$/, ""));
}
