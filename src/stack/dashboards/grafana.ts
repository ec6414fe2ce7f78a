// The parts that our dashboards share, in Grafana's classic JSON model (which provisioning reads, also in 13.x).

import { PRICES_UID } from "./ids.ts";

/** Any JSON value. */
export type Json = string | number | boolean | null | undefined | readonly Json[] | { readonly [name: string]: Json };

/** The data source, by the uid in grafana-provisioning/datasources. */
export const INFLUXDB = { type: "influxdb", uid: "influxdb" };

/** The palette: colour only where it has a meaning. */
export const COLORS = { up: "#26a69a", down: "#ef5350", warning: "#f2b84b", line: "#5b8ff9", faint: "#9aa0a6" };

/** Any object of Grafana's model. */
export type JsonObject = { readonly [name: string]: Json };

/** How a value is shown: `unit`, `decimals`, `displayName`, `noValue`, `color` and others. */
export interface FieldConfig extends JsonObject {
  /** Options of this kind of panel. */
  readonly custom?: JsonObject;
}

/** A panel in Grafana's model, except for these. */
export interface PanelSpec extends JsonObject {
  /** Flux; the first becomes A, the next B. */
  readonly queries?: readonly string[];
  /** For all columns or series. */
  readonly field?: FieldConfig;
  /** For single columns or series, see {@link column}; a later one wins. */
  readonly overrides?: readonly JsonObject[];
}

/** A panel in Grafana's model. */
export function panel({ queries = [], field = {}, overrides = [], ...spec }: PanelSpec): JsonObject {
  return {
    ...spec,
    datasource: queries.length === 0 ? undefined : INFLUXDB,
    targets: queries.map((query, i) => ({ refId: String.fromCharCode(65 + i), datasource: INFLUXDB, query })),
    fieldConfig: { defaults: field, overrides },
  };
}

/** An override for the column with this name. */
export function column(name: string, { custom = {}, ...field }: FieldConfig): JsonObject {
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

/** A colour below the first number, and another one from each number on. */
export function steps(first: string, ...more: readonly (readonly [from: number, color: string])[]): FieldConfig {
  return {
    color: { mode: "thresholds" },
    thresholds: {
      mode: "absolute",
      steps: [{ color: first, value: null }, ...more.map(([value, color]) => ({ color, value }))],
    },
  };
}

/** A text and a colour for each value. */
export function words(...values: readonly (readonly [value: string, text: string, color: string])[]): Json {
  const options = Object.fromEntries(values.map(([value, text, color], index) => [value, { text, color, index }]));
  return [{ type: "value", options }];
}

/** Sorts the columns, whose order differs from one result to the next. */
export function order(...names: readonly string[]): JsonObject {
  const indexByName = Object.fromEntries(names.map((name, i) => [name, i]));
  return { id: "organize", options: { excludeByName: {}, indexByName, renameByName: {} } };
}

/**
 * A price with thousands separators and all decimals. Only the currency unit keeps trailing zeros, so that the width does not
 * change with the number. Products have different currencies, so the currency is a zero-width space.
 */
export const PRICE: FieldConfig = { unit: "currency:financial:\u200b" };

/** All numbers of a panel get the decimals that its second query returns; an override wins. */
export const DECIMALS = {
  id: "configFromData",
  options: {
    configRefId: "B",
    mappings: [{ fieldName: "decimals", handlerKey: "decimals", reducerId: "lastNotNull" }],
  },
};

/** A count. */
export const COUNT: FieldConfig = { unit: "short", decimals: 0 };

/** A row of numbers with their names above. */
export const ROW_OF_STATS: JsonObject = {
  colorMode: "value",
  graphMode: "none",
  justifyMode: "center",
  orientation: "vertical",
  textMode: "value_and_name",
  wideLayout: true,
  reduceOptions: { calcs: ["lastNotNull"], fields: "/.*/", values: false },
  text: { titleSize: 12, valueSize: 20 },
};

/** The `custom` of a thin line that breaks where there is no value for more than a minute. */
export function line(fillOpacity: number, axisPlacement: "left" | "right"): JsonObject {
  return {
    drawStyle: "line",
    lineWidth: 1,
    lineInterpolation: "linear",
    fillOpacity,
    gradientMode: "opacity",
    showPoints: "never",
    // ms; ticks arrive every few seconds, so most of the shortest windows are empty
    spanNulls: 60_000,
    axisPlacement,
    axisBorderShow: false,
  };
}

/** The `custom` of all cells of a table. */
export const CELLS: JsonObject = {
  align: "auto",
  cellOptions: { type: "auto" },
  filterable: false,
  minWidth: 50,
};

/** Options of a table. */
export function table(cellHeight: "sm" | "lg"): JsonObject {
  return { showHeader: true, cellHeight, footer: { show: false }, sortBy: [] };
}

/** What all dashboards have in common. */
export const DASHBOARD: JsonObject = {
  schemaVersion: 41,
  version: 1,
  editable: false,
  timezone: "browser",
  fiscalYearStartMonth: 0,
  // one crosshair for all charts
  graphTooltip: 1,
};

/** Declared gaps as amber regions in these panels. */
export function gapRegions(query: string, ...panels: readonly number[]): JsonObject {
  return {
    list: [{
      name: "Gaps",
      datasource: INFLUXDB,
      enable: true,
      hide: false,
      iconColor: COLORS.warning,
      target: { query, refId: "gaps" },
      mappings: {},
      filter: { exclude: false, ids: panels },
    }],
  };
}

/** A link at the top of a dashboard; `includeVars`: it passes the variables on. */
export function link(title: string, url: string, icon: string, includeVars: boolean): JsonObject {
  return {
    type: "link",
    title,
    url,
    icon,
    tags: [],
    keepTime: true,
    includeVars,
    asDropdown: false,
    targetBlank: false,
  };
}

/** A link from the name of a product to its prices. */
export function productLinks(...variables: readonly string[]): JsonObject[] {
  const query = ["var-product=${__value.text}", ...variables, "${__url_time_range}"].join("&");
  return [{ title: "Show ${__value.text}", url: `/d/${PRICES_UID}?${query}`, targetBlank: false }];
}

/** The `custom` of a cell whose text has the colour of its value. */
export const COLOR_TEXT: JsonObject = { cellOptions: { type: "color-text" } };
