// A logger that keeps its lines, for tests of log messages.

import type { Fields, Level, Logger } from "../../src/core/log.ts";

/** A line of the log. */
export interface Line {
  readonly level: Level;
  readonly message: string;
  readonly fields: Fields;
}

/** Keeps every line, including every call of `often`. */
export class Notebook implements Logger {
  readonly lines: Line[] = [];

  debug(message: string, fields?: Fields): void {
    this.often("debug", message, fields);
  }
  info(message: string, fields?: Fields): void {
    this.often("info", message, fields);
  }
  warn(message: string, fields?: Fields): void {
    this.often("warn", message, fields);
  }
  error(message: string, fields?: Fields): void {
    this.often("error", message, fields);
  }
  often(level: Level, message: string, fields: Fields = {}): void {
    this.lines.push({ level, message, fields });
  }

  /** The lines whose message or fields contain this text, as `level message {fields}`. */
  find(text: string): string[] {
    const plain = (_: string, value: unknown) => value instanceof Error ? value.message : value;
    return this.lines.map(({ level, message, fields }) => `${level} ${message} ${JSON.stringify(fields, plain)}`)
      .filter((line) => line.includes(text));
  }
}
