// Reads text files that people write (.env, secrets, certificates): UTF-8, with or without a byte order mark.

/** The text without a byte order mark. Throws an Error where it is anything but UTF-8. */
export function decodeText(bytes: Uint8Array): string {
  // no such text holds a zero, and each letter of UTF-16 does: without this check it could pass for UTF-8
  if (!bytes.includes(0)) {
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      // told below
    }
  }
  throw new Error("it must be text in UTF-8: save it with that encoding");
}

/** See {@link decodeText}; rejects also where the file cannot be read. */
export async function readTextFile(path: string): Promise<string> {
  return decodeText(await Deno.readFile(path));
}

/** The same at once. */
export function readTextFileSync(path: string): string {
  return decodeText(Deno.readFileSync(path));
}
