// The few parts of Grafana's dashboard model that we use, in its classic JSON (which provisioning reads, up to 13.x too), and
// functions for what is the same in every panel.

/** Anything that JSON can hold. */
export type Json = string | number | boolean | null | undefined | readonly Json[] | { readonly [name: string]: Json };

/** The data source, by the uid in grafana-provisioning/datasources. */
export const INFLUXDB = { type: "influxdb", uid: "influxdb" };

/** One palette for everything: colour only where it says something. */
export const COLORS = { up: "#26a69a", down: "#ef5350", warning: "#f2b84b", line: "#5b8ff9", faint: "#9aa0a6" };

/** How a value is written and coloured. */
export interface FieldConfig {
  /** One of Grafana's units. */
  readonly unit?: string;
  /** Lowest value of the axis. */
  readonly min?: number;
  /** At most so many with the unit `locale`, exactly so many with the others. */
  readonly decimals?: number;
  /** Stands in place of the column's name. */
  readonly displayName?: string;
  /** Stands where there is no value. */
  readonly noValue?: string;
  /** By thresholds, or always the same. */
  readonly color?:
    | { readonly mode: "thresholds" | "palette-classic" }
    | { readonly mode: "fixed"; readonly fixedColor: string };
  /** See {@link steps}. */
  readonly thresholds?: Json;
  /** Words and colours in place of values; see {@link words}. */
  readonly mappings?: Json;
  /** Where a click leads. */
  readonly links?: Json;
  /** What only this kind of panel knows. */
  readonly custom?: { readonly [name: string]: Json };
}

/** A rule that changes the field config where it matches. */
export interface Override {
  /** Which columns or series. */
  readonly matcher: { readonly id: "byName"; readonly options: Json };
  /** What changes there. */
  readonly properties: readonly { readonly id: string; readonly value: Json }[];
}

/** What makes a panel itself. */
export interface PanelSpec {
  /** Unique in the dashboard; annotations and alerts point at it. */
  readonly id: number;
  /** How it draws. */
  readonly type: "alertlist" | "candlestick" | "stat" | "state-timeline" | "table" | "text" | "timeseries";
  /** May hold variables. */
  readonly title: string;
  /** What a person needs to read it right. */
  readonly description?: string;
  /** In a grid 24 wide. */
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  /** Flux; the first becomes A, the next B. */
  readonly queries: readonly string[];
  /** Makes `v.windowPeriod` the range divided by it; by default the panel's width in pixels. */
  readonly maxDataPoints?: number;
  /** The least `v.windowPeriod` of this panel, as `10s`. */
  readonly interval?: string;
  /** Of all fields. */
  readonly field: FieldConfig;
  /** Of some fields, a later one stronger. */
  readonly overrides?: readonly Override[];
  /** What only this kind of panel knows. */
  readonly options: { readonly [name: string]: Json };
  /** In order. */
  readonly transformations?: readonly { readonly id: string; readonly options: Json }[];
}

/** A panel as it stands in a dashboard. */
export function panel({ queries, field, overrides = [], ...spec }: PanelSpec): Json {
  return {
    ...spec,
    ...(queries.length === 0 ? {} : { datasource: INFLUXDB }),
    targets: queries.map((query, i) => ({ refId: String.fromCharCode(65 + i), datasource: INFLUXDB, query })),
    fieldConfig: { defaults: { ...field }, overrides: overrides.map((each) => ({ ...each })) },
  };
}

/** Changes the column of this name: `custom` becomes `custom.width` and so on. */
export function column(name: string, { custom = {}, ...field }: FieldConfig): Override {
  const properties = [
    ...Object.entries(field).map(([id, value]) => ({ id, value })),
    ...Object.entries(custom).map(([id, value]) => ({ id: `custom.${id}`, value })),
  ];
  return { matcher: { id: "byName", options: name }, properties };
}

/** Always this colour. */
export function fixed(fixedColor: string): FieldConfig {
  return { color: { mode: "fixed", fixedColor } };
}

/** One colour below the first number, and another from each number on. */
export function steps(first: string, ...more: readonly (readonly [from: number, color: string])[]): FieldConfig {
  return {
    color: { mode: "thresholds" },
    thresholds: {
      mode: "absolute",
      steps: [{ color: first, value: null }, ...more.map(([value, color]) => ({ color, value }))],
    },
  };
}

/** A word and a colour for each value. */
export function words(...values: readonly (readonly [value: string, text: string, color: string])[]): Json {
  const options = Object.fromEntries(values.map(([value, text, color], index) => [value, { text, color, index }]));
  return [{ type: "value", options }];
}

/** The order of columns, which differs from answer to answer. */
export function order(...names: readonly string[]): { id: string; options: Json } {
  const indexByName = Object.fromEntries(names.map((name, i) => [name, i]));
  return { id: "organize", options: { excludeByName: {}, indexByName, renameByName: {} } };
}

/**
 * A price with its thousands apart and all of its decimals. Only the unit of amounts of money shows the zeros at the end too, which
 * keep the width of a number that changes; it wants a currency, and products differ in theirs: a space without width.
 */
export const PRICE: FieldConfig = { unit: "currency:financial:\u200b" };

/** Gives all numbers of a panel as many decimals as that query says, the second of the panel; an override is stronger. */
export const DECIMALS = {
  id: "configFromData",
  options: {
    configRefId: "B",
    mappings: [{ fieldName: "decimals", handlerKey: "decimals", reducerId: "lastNotNull" }],
  },
};

/** A whole number of something. */
export const COUNT: FieldConfig = { unit: "short", decimals: 0 };

/** A row of numbers with their names above. */
export const ROW_OF_STATS: PanelSpec["options"] = {
  colorMode: "value",
  graphMode: "none",
  justifyMode: "center",
  orientation: "vertical",
  textMode: "value_and_name",
  wideLayout: true,
  reduceOptions: { calcs: ["lastNotNull"], fields: "/.*/", values: false },
  text: { titleSize: 12, valueSize: 20 },
};

/** The `custom` of a thin line that breaks where nothing came for more than a minute. */
export function line(fillOpacity: number, axisPlacement: "left" | "right"): NonNullable<FieldConfig["custom"]> {
  return {
    drawStyle: "line",
    lineWidth: 1,
    lineInterpolation: "linear",
    fillOpacity,
    gradientMode: "opacity",
    showPoints: "never",
    // ms; ticks come every few seconds, so most of the shortest windows are empty
    spanNulls: 60_000,
    axisPlacement,
    axisBorderShow: false,
  };
}

/** The `custom` of all cells of a table. */
export const CELLS: NonNullable<FieldConfig["custom"]> = {
  align: "auto",
  cellOptions: { type: "auto" },
  filterable: false,
  minWidth: 50,
};

/** Options of a table. */
export function table(cellHeight: "sm" | "lg"): PanelSpec["options"] {
  return { showHeader: true, cellHeight, footer: { show: false }, sortBy: [] };
}

/** What makes a dashboard itself. */
export interface DashboardSpec {
  /** Its address is `/d/<uid>`. */
  readonly uid: string;
  /** As it stands in lists. */
  readonly title: string;
  /** What it shows. */
  readonly description: string;
  /** By which others find it. */
  readonly tags: readonly string[];
  /** How often it asks again: `5s`. */
  readonly refresh: string;
  /** The time range that it opens with begins here: `now-30m`. */
  readonly from: string;
  /** What can be chosen in place of `refresh`. */
  readonly timepicker: Json;
  /** In its head. */
  readonly links: readonly {
    readonly title: string;
    readonly url: string;
    readonly icon: string;
    /** Takes the variables along. */
    readonly includeVars: boolean;
  }[];
  /** Variables. */
  readonly variables: readonly Json[];
  /** Declared gaps as amber regions: the query, and the panels that show them. */
  readonly gaps: { readonly query: string; readonly panels: readonly number[] };
  /** From top to bottom. */
  readonly panels: readonly Json[];
}

/** A dashboard as Grafana reads it. */
export function dashboard(spec: DashboardSpec): { readonly [name: string]: Json } {
  const { uid, title, description, tags, refresh, from, timepicker, links, variables, gaps, panels } = spec;
  return {
    uid,
    title,
    description,
    tags,
    schemaVersion: 41,
    version: 1,
    editable: false,
    timezone: "browser",
    fiscalYearStartMonth: 0,
    // one crosshair for all charts
    graphTooltip: 1,
    refresh,
    time: { from, to: "now" },
    timepicker,
    links: links.map(({ title, url, icon, includeVars }) => ({
      type: "link",
      title,
      url,
      icon,
      tags: [],
      keepTime: true,
      includeVars,
      asDropdown: false,
      targetBlank: false,
    })),
    templating: { list: variables },
    annotations: {
      list: [{
        name: "Gaps",
        datasource: INFLUXDB,
        enable: true,
        hide: false,
        iconColor: COLORS.warning,
        target: { query: gaps.query, refId: "gaps" },
        mappings: {},
        filter: { exclude: false, ids: gaps.panels },
      }],
    },
    panels,
  };
}
