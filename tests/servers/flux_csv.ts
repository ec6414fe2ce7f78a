// Parses the annotated CSV with which InfluxDB 2 answers Flux queries into typed rows. Throws at anything unknown.

/** A cell: `long` and `double` become numbers, `boolean` a boolean, all other types stay text; an empty cell is null. */
export type FluxValue = number | string | boolean | null;

/** A row by column name, including `result` and `table`. */
export type FluxRow = Readonly<Record<string, FluxValue>>;

/** Parses a response with the annotations `datatype` and `default`; throws an error that InfluxDB wrote into it. */
export function parseFluxCsv(text: string): FluxRow[] {
  const rows: FluxRow[] = [];
  let types: readonly string[] = [];
  let defaults: readonly string[] = [];
  let names: readonly string[] | undefined;
  for (const cells of records(text)) {
    // an empty line ends a table
    if (cells.length === 1 && cells[0] === "") names = undefined;
    else if (cells[0] === "#datatype") [types, names] = [cells, undefined];
    else if (cells[0] === "#default") [defaults, names] = [cells, undefined];
    else if (names === undefined) names = cells;
    else rows.push(rowOf(names, types, defaults, cells));
  }
  return rows;
}

function rowOf(
  names: readonly string[],
  types: readonly string[],
  defaults: readonly string[],
  cells: readonly string[],
): FluxRow {
  if (names.includes("error") && names.includes("reference")) throw new Error(`The query failed: ${cells.join(" ")}`);
  if (cells.length !== names.length) throw new Error(`A row has ${cells.length} cells of ${names.length}: ${cells}`);
  const row: Record<string, FluxValue> = {};
  // the first column only holds the annotations' names
  for (let i = 1; i < names.length; i++) {
    row[names[i] ?? ""] = valueOf(cells[i] || defaults[i] || "", types[i] ?? "string");
  }
  return row;
}

function valueOf(text: string, type: string): FluxValue {
  if (text === "") return null;
  if (type === "boolean") return text === "true";
  if (type !== "long" && type !== "unsignedLong" && type !== "double") return text;
  const value = Number(text.replace(/Inf$/, "Infinity"));
  if (type !== "double" && !Number.isSafeInteger(value)) throw new RangeError(`No exact number for ${text}`);
  return value;
}

/** RFC 4180: quoted cells may hold commas, line ends and doubled quotes. */
function* records(text: string): Generator<string[]> {
  let cells: string[] = [];
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/y;
  while (cell.lastIndex < text.length) {
    const at = cell.lastIndex;
    const match = cell.exec(text);
    if (match === null) throw new SyntaxError(`No CSV: ${JSON.stringify(text.slice(at, at + 80))}`);
    // InfluxDB writes a line feed inside a text as CR LF
    cells.push(match[1]?.replaceAll('""', '"').replaceAll("\r\n", "\n") ?? match[2] ?? "");
    if (match[3] === ",") continue;
    yield cells;
    cells = [];
  }
  if (cells.length > 0) yield [...cells, ""];
}
