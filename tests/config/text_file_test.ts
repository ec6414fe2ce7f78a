import { assertEquals, assertThrows } from "@std/assert";
import { decodeText } from "../../src/config/text_file.ts";

const utf16 = (text: string) => new Uint8Array(Uint16Array.from(text, (char) => char.charCodeAt(0)).buffer);

for (
  const [what, bytes] of [
    ["UTF-8", new TextEncoder().encode("A=pä\n")],
    ["UTF-8 with a byte order mark", new TextEncoder().encode("\uFEFFA=pä\n")],
  ] as const
) Deno.test(`decodeText() reads ${what}`, () => assertEquals(decodeText(bytes), "A=pä\n"));

for (
  const [what, bytes] of [
    ["UTF-16 with a byte order mark", utf16("\uFEFFA=1\n")],
    ["UTF-16 without one", utf16("A=1\n")],
    ["Latin-1", Uint8Array.from("A=p\xe4\n", (char) => char.charCodeAt(0))],
  ] as const
) {
  Deno.test(`decodeText() refuses ${what}`, () => {
    assertThrows(() => decodeText(bytes), Error, "it is not text in UTF-8");
  });
}
