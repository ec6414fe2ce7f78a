// Reads text files that people write (.env, secrets, certificates): UTF-8, with or without a byte order mark.

/** The text without a byte order mark. Throws an Error if it is not UTF-8. */
export function decodeText(bytes: Uint8Array): string {
  // text in UTF-8 has no zero bytes; text in UTF-16 has many, and could otherwise be taken for UTF-8
  if (!bytes.includes(0)) {
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      // reported below
    }
  }
  throw new Error("it is not text in UTF-8: save it with that encoding");
}

/** Reads and decodes a file, see {@link decodeText}. */
export async function readTextFile(path: string): Promise<string> {
  return decodeText(await Deno.readFile(path));
}

/** The same, synchronously. */
export function readTextFileSync(path: string): string {
  return decodeText(Deno.readFileSync(path));
}
