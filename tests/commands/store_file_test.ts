// What `deno task export` and `deno task backup` say of the store that they are to read.

import { assertEquals, assertRejects } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { BACKUP_USAGE, backupStore } from "../../src/commands/backup.ts";
import { EXPORT_USAGE, exportStore } from "../../src/commands/export.ts";
import { ConfigError, SinkError } from "../../src/core/errors.ts";
import { NOW, output, test } from "./shop.ts";

Deno.test("export and backup refuse a path that begins with ~", async () => {
  const says = (name: string, path: string) =>
    `Cannot use ${name}: expected a path that does not begin with "~", which only a shell expands, got "${path}"`;
  for (
    const [attempt, said] of [
      [() => exportStore(["--file=~/x"], "", output(), NOW), says("--file", "~/x")],
      [() => exportStore([], "~/x", output(), NOW), says("STORE_FILE", "~/x")],
      [() => backupStore(["b", "--file=~/x"], "", output()), says("--file", "~/x")],
      [() => backupStore(["~/b"], "x", output()), says("FILE", "~/b")],
    ] as const
  ) await assertRejects(attempt, ConfigError, said);
});

Deno.test("export and backup explain themselves", async () => {
  const out = output();
  await exportStore(["--help"], "", out, NOW);
  await backupStore(["-h"], "", out);
  assertEquals(out.kept.text, EXPORT_USAGE + BACKUP_USAGE);
});

for (
  const [what, make] of [
    ["a text", (name: string) => Deno.writeTextFile(name, "# Title\n".repeat(50))],
    ["somebody else's database", (name: string) => {
      using db = new DatabaseSync(name);
      db.exec("CREATE TABLE diary (day TEXT)");
    }],
  ] as const
) {
  test(`export and backup of ${what} say what the program says`, async ({ folder }) => {
    const name = `${folder}/other`;
    await make(name);
    const why = `Cannot use the store ${name}: expected a store of this program, got another file. It was not changed`;
    for (
      const attempt of [() => exportStore([], name, output(), NOW), () => backupStore([`${folder}/b`], name, output())]
    ) {
      const error = await assertRejects(attempt, SinkError);
      assertEquals([error.kind, error.message], ["fatal", why]);
    }
  });
}

test("export and backup of a folder, a device, or nothing at all say so", async ({ folder }) => {
  for (
    const [name, why] of [
      [folder, "a folder"],
      ["/dev/null", "a device"],
    ] as const
  ) {
    for (
      const attempt of [() => exportStore([], name, output(), NOW), () => backupStore([`${folder}/b`], name, output())]
    ) {
      const error = await assertRejects(attempt, SinkError);
      assertEquals([error.kind, error.message], [
        "fatal",
        `Cannot read the store ${name}: expected a regular file, got ${why}`,
      ]);
    }
  }
});
