// The stack's passwords: two files for Compose, created once from their `-example` files and never changed afterwards.

import { ConfigError, reasonOf } from "../core/errors.ts";
import { readTextFile } from "../config/text_file.ts";

/** The files, and the volume whose owner keeps the password of its first start. */
export const SECRET_FILES = [
  { name: "influxv2.env", volume: "influxdb-data", owner: "InfluxDB" },
  { name: "grafana.env", volume: "grafana-data", owner: "Grafana" },
] as const;

/** 192 random bits, in characters that need no quotes in Compose or a shell. */
export function randomSecret(): string {
  return crypto.getRandomValues(new Uint8Array(24)).toBase64({ alphabet: "base64url" });
}

/** Replaces each value that begins with `change-me`. */
export function fillSecrets(example: string, secret: () => string): string {
  return example.replace(/^([A-Z0-9_]+=)change-me.*$/gm, (_line, name: string) => name + secret());
}

/** A value as Compose reads it, if {@link problemsInSecrets} finds none; undefined if it is not set. */
export function valueIn(text: string, name: string): string | undefined {
  const line = text.split(/\r?\n/).findLast((each) => each.startsWith(`${name}=`));
  const [, , quoted, bare] = /^\s*(?:(['"])(.*)\1|(.*?))\s*(?:\s#.*)?$/.exec(line?.slice(name.length + 1) ?? "") ?? [];
  return line === undefined ? undefined : quoted ?? bare;
}

/** Values that Compose would change: it replaces `$NAME` and cuts a value at ` #`. The values are not shown. */
export function problemsInSecrets(text: string, file: string): string[] {
  return text.split(/\r?\n/).flatMap((line) => {
    const [, name, value = ""] = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*)$/.exec(line) ?? [];
    if (name === undefined || value.startsWith("'")) return [];
    const why = value.replace(/\s#\s.*$/, "").includes("$")
      ? 'Compose replaces what begins with "$"'
      : !value.startsWith('"') && /\s#\S/.test(value)
      ? 'a "#" after a space begins a comment'
      : undefined;
    return why === undefined ? [] : [`Cannot use ${name} in ${file}: ${why}. Put the whole value in single quotes`];
  });
}

/** The text of each file. */
export type Secrets = Readonly<Record<typeof SECRET_FILES[number]["name"], string>>;

/** Throws a `ConfigError` if a file cannot be read or Compose would change a value. */
export async function readSecrets(dir: string): Promise<Secrets> {
  const read = async (name: keyof Secrets): Promise<string> => {
    const text = await readTextFile(`${dir}/${name}`).catch((error) => {
      throw new ConfigError([`Cannot read ${name}: ${reasonOf(error)}`]);
    });
    const problems = problemsInSecrets(text, name);
    if (problems.length > 0) throw new ConfigError(problems);
    return text;
  };
  return { "influxv2.env": await read("influxv2.env"), "grafana.env": await read("grafana.env") };
}

/** Creates the files that are missing, readable only by their owner, and returns them. */
export async function makeSecrets(dir: string): Promise<(typeof SECRET_FILES[number])[]> {
  const made: (typeof SECRET_FILES[number])[] = [];
  for (const file of SECRET_FILES) {
    const text = fillSecrets(await Deno.readTextFile(`${dir}/${file.name}-example`), randomSecret);
    try {
      // createNew: another process may have created it just now
      await Deno.writeTextFile(`${dir}/${file.name}`, text, { createNew: true, mode: 0o600 });
      made.push(file);
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
  }
  return made;
}
