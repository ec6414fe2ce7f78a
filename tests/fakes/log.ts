// A log that keeps what was written, for tests that ask what a person would have read.

import type { Fields, Level, Logger } from "../../src/core/log.ts";

/** One line. */
export interface Line {
  readonly level: Level;
  readonly message: string;
  readonly fields: Fields;
}

/** Keeps all lines; `often` is written every time. */
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

  /** The lines whose message or fields hold this text, as `level message {fields}`. */
  find(text: string): string[] {
    const plain = (_: string, value: unknown) => value instanceof Error ? value.message : value;
    return this.lines.map(({ level, message, fields }) => `${level} ${message} ${JSON.stringify(fields, plain)}`)
      .filter((line) => line.includes(text));
  }
}
