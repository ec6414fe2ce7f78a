// Parses `--name 5` and `--name=5` for the tasks of this folder.

/** The numbers by name. Prints a message and returns undefined if an argument cannot be used. */
export function readNumbers(
  args: readonly string[],
  names: readonly string[],
  say: (line: string) => void,
): Map<string, number> | undefined {
  const found = new Map<string, number>();
  const words = args.flatMap((arg) => /^--\w+=/.test(arg) ? arg.split("=", 2) : [arg]);
  for (let i = 0; i < words.length; i += 2) {
    const [flag = "", text = ""] = words.slice(i, i + 2);
    const name = flag.replace(/^--/, "");
    const value = text === "" ? NaN : Number(text);
    if (!flag.startsWith("--") || !names.includes(name) || !(value >= 0)) {
      const expected = `one of ${names.map((each) => `--${each}`).join(", ")} and a number`;
      say(`Cannot use the arguments: expected ${expected}, got "${`${flag} ${text}`.trimEnd()}"`);
      return undefined;
    }
    found.set(name, value);
  }
  return found;
}
