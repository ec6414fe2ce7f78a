// The secrets of the stack: two files that Compose reads, made once with random values, and never changed again here.

import { ConfigError, reasonOf } from "../core/errors.ts";
import { readTextFile } from "../config/text_file.ts";

/** A file with secrets. */
export interface SecretFile {
  /** In the project's folder; not committed. */
  readonly name: string;
  /** The volume that remembers them from its first start on. */
  readonly volume: string;
  /** Whose they are. */
  readonly owner: string;
}

/** All of them. */
export const SECRET_FILES = [
  { name: "influxv2.env", volume: "influxdb-data", owner: "InfluxDB" },
  { name: "grafana.env", volume: "grafana-data", owner: "Grafana" },
] as const satisfies readonly SecretFile[];

/** Grafana needs but these two; InfluxDB's example is a file of its own, since it is for people as well. */
const GRAFANA_EXAMPLE =
  `# Grafana's administrator, made by \`deno task stack\`. Read ONCE, when Grafana starts on an empty volume;
# later: docs/stack.md, "Changed passwords".
GF_SECURITY_ADMIN_USER=admin
GF_SECURITY_ADMIN_PASSWORD=change-me
`;

/** 192 random bits in letters that neither Compose nor a shell takes for anything else. */
export function randomSecret(): string {
  return crypto.getRandomValues(new Uint8Array(24)).toBase64({ alphabet: "base64url" });
}

/** The text with a secret of its own in place of each value that begins with `change-me`. */
export function fillSecrets(example: string, secret: () => string): string {
  return example.replace(/^([A-Z0-9_]+=)change-me.*$/gm, (_line, name: string) => name + secret());
}

/** A value of such a file as Compose reads it, if {@link problemsInSecrets} finds nothing; undefined: it is not set. */
export function valueIn(text: string, name: string): string | undefined {
  const line = text.split(/\r?\n/).findLast((each) => each.startsWith(`${name}=`));
  const [, , quoted, bare] = /^\s*(?:(['"])(.*)\1|(.*?))\s*(?:\s#.*)?$/.exec(line?.slice(name.length + 1) ?? "") ?? [];
  return line === undefined ? undefined : quoted ?? bare;
}

/** What in such a file would mean something else to Compose, which replaces `$NAME` and ends a value at ` #`. No values are told. */
export function problemsInSecrets(text: string, file: string): string[] {
  return text.split(/\r?\n/).flatMap((line) => {
    const [, name, value = ""] = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*)$/.exec(line) ?? [];
    if (name === undefined || value.startsWith("'")) return [];
    const why = value.replace(/\s#\s.*$/, "").includes("$")
      ? 'Compose replaces what begins with "$"'
      : !value.startsWith('"') && /\s#\S/.test(value)
      ? 'a "#" after a space begins a comment'
      : undefined;
    return why === undefined ? [] : [`Cannot use ${name} of ${file} as ${why}: put the whole value in single quotes`];
  });
}

/** The text of each file. */
export type Secrets = Readonly<Record<typeof SECRET_FILES[number]["name"], string>>;

/** Reads both files. Throws a `ConfigError` where one of them cannot be read, or says what was hardly meant. */
export async function readSecrets(dir: string): Promise<Secrets> {
  const read = async (name: string): Promise<string> => {
    const text = await readTextFile(`${dir}/${name}`).catch((error) => {
      throw new ConfigError([`Cannot read ${name} as it must be a readable file: ${reasonOf(error)}`]);
    });
    const problems = problemsInSecrets(text, name);
    if (problems.length > 0) throw new ConfigError(problems);
    return text;
  };
  return { "influxv2.env": await read("influxv2.env"), "grafana.env": await read("grafana.env") };
}

/** Makes those files that are missing, readable for their owner alone. Gives the ones that were made. */
export async function makeSecrets(dir: string): Promise<SecretFile[]> {
  const made: SecretFile[] = [];
  for (const file of SECRET_FILES) {
    const example = file.name === "grafana.env"
      ? GRAFANA_EXAMPLE
      : await Deno.readTextFile(`${dir}/${file.name}-example`);
    try {
      // createNew: another process may have made it just now
      await Deno.writeTextFile(`${dir}/${file.name}`, fillSecrets(example, randomSecret), {
        createNew: true,
        mode: 0o600,
      });
      made.push(file);
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
  }
  return made;
}
