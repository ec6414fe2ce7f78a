import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { DemoFolder } from "../../src/demo/folder.ts";
import { ConfigError } from "../../src/core/errors.ts";
import { inTempDir } from "../fakes/folder.ts";

const may = (["read", "write"] as const).every((name) => Deno.permissions.querySync({ name }).state === "granted");

/** A test in a folder of its own. */
function folderTest(name: string, fn: (dir: string) => Promise<void>): void {
  Deno.test({
    name: `DemoFolder ${name}${may ? "" : " [skipped: needs --allow-read --allow-write]"}`,
    ignore: !may,
    fn: () => inTempDir(fn),
  });
}

const names = async (dir: string) => (await Array.fromAsync(Deno.readDir(dir))).map(({ name }) => name).sort();
const LATER = Date.now() + 3_600_000;

/** A folder of a demo that was killed. */
async function leftover(dir: string, name: string, files: readonly string[]): Promise<string> {
  const path = `${dir}/${name}`;
  await Deno.mkdir(path);
  for (const file of files) await Deno.writeTextFile(`${path}/${file}`, "");
  return name;
}

folderTest("exists until it is disposed of, and is removed with everything in it", async (dir) => {
  const folder = await DemoFolder.make(Date.now(), dir);
  await Deno.writeTextFile(`${folder.path}/prices.sqlite`, "x");
  assertEquals((await names(dir)).length, 1);
  await folder[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
  assertEquals(await names(dir), []);
});

folderTest(
  "removes those of dead demos, and keeps those that run, are young or belong to someone else",
  async (dir) => {
    await using running = await DemoFolder.make(Date.now(), dir);
    await leftover(dir, "price-feed-demo-killed", ["running.lock", "prices.sqlite"]);
    await leftover(dir, "price-feed-demo-unfinished", []);
    const other = await leftover(dir, "other", ["running.lock"]);
    const notes = await leftover(dir, "price-feed-demo-notes", ["running.lock", "notes.txt"]);
    await Deno.writeTextFile(`${dir}/price-feed-demo-file`, "");
    {
      await using young = await DemoFolder.make(Date.now(), dir);
      assertEquals((await names(dir)).length, 7);
      assert(young.path !== running.path);
    }
    await using next = await DemoFolder.make(LATER, dir);
    const kept = [running.path, next.path].map((path) => path.slice(dir.length + 1));
    assertEquals(await names(dir), [...kept, other, notes, "price-feed-demo-file"].sort());
  },
);

folderTest("that cannot be made is reported in one sentence, like a setting", async (dir) => {
  await Deno.writeTextFile(`${dir}/file`, "x");
  for (const where of [`${dir}/missing`, `${dir}/file`]) {
    const error = await assertRejects(() => DemoFolder.make(Date.now(), where), ConfigError);
    assertEquals(error.problems.length, 1);
    assertMatch(
      error.message,
      /^Cannot make a folder for the demo's store: expected TMPDIR to be a folder that can be written to, got "/,
    );
    assert(error.message.includes(`"${where}" (`) && !error.message.includes("os error"), error.message);
  }
  assertEquals(await names(dir), ["file"]);
});

folderTest("follows no link to another folder", async (dir) => {
  await Deno.mkdir(`${dir}/precious`);
  await Deno.writeTextFile(`${dir}/precious/running.lock`, "");
  await Deno.symlink(`${dir}/precious`, `${dir}/price-feed-demo-link`);
  await using _folder = await DemoFolder.make(LATER, dir);
  assertEquals(await names(`${dir}/precious`), ["running.lock"]);
});

const mayRun = may && Deno.permissions.querySync({ name: "run" }).state === "granted";
Deno.test({
  name: `DemoFolder of a killed process is removed by the next one${mayRun ? "" : " [skipped: needs --allow-run]"}`,
  ignore: !mayRun,
  async fn() {
    const dir = await Deno.makeTempDir();
    try {
      const module = JSON.stringify(import.meta.resolve("../../src/demo/folder.ts"));
      const code = `import { DemoFolder } from ${module};
        await DemoFolder.make(Date.now(), ${JSON.stringify(dir)});
        console.log("made");
        setInterval(() => {}, 1000);`;
      const child = new Deno.Command(Deno.execPath(), {
        args: ["eval", code],
        stdout: "piped",
        stderr: "inherit",
      }).spawn();
      const reader = child.stdout.getReader();
      await reader.read();
      // the process runs: its folder is kept
      {
        await using _folder = await DemoFolder.make(LATER, dir);
        assertEquals((await names(dir)).length, 2);
      }
      child.kill("SIGKILL");
      await child.status;
      await reader.cancel();
      await using folder = await DemoFolder.make(LATER, dir);
      assertEquals(await names(dir), [folder.path.slice(dir.length + 1)]);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});
