// Tests that need more than a bare `deno test` may: ignored, with the reason in the name, where they cannot run.

function granted(permission: Deno.PermissionDescriptor): boolean {
  return Deno.permissions.querySync(permission).state === "granted";
}

/** Why programs cannot be run in temporary folders here; undefined: they can. */
export function programsMissing(...programs: string[]): string | undefined {
  if (Deno.build.os === "windows") return "needs Linux or macOS";
  const wanted: Deno.PermissionDescriptor[] = [
    { name: "read" },
    { name: "write" },
    { name: "env" },
    ...programs.map((command) => ({ name: "run", command }) as const),
  ];
  const refused = wanted.find((permission) => !granted(permission));
  return refused && `needs --allow-${refused.name}: run it by deno task test`;
}

/** A test that is ignored when there is something missing, and says so. */
export function testUnless(missing: string | undefined, name: string, fn: () => Promise<void>): void {
  Deno.test({ name: missing === undefined ? name : `${name} (${missing})`, ignore: missing !== undefined, fn });
}
