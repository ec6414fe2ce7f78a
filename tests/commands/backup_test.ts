// `deno task backup`, also while the store is written.

import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { backupStore } from "../../src/commands/backup.ts";
import { ConfigError, SinkError } from "../../src/core/errors.ts";
import { Store } from "../../src/store/store.ts";
import { Notebook } from "../fakes/log.ts";
import { ticksOf } from "../fakes/ticks.ts";
import { namesIn, temporaryFolder } from "../store/files.ts";
import { exported, never, output, skipped, test } from "./shop.ts";

const mayRun = skipped === undefined && Deno.permissions.querySync({ name: "run" }).state === "granted";

test("backup copies one moment of a store that is being written, and the copy is a store", async ({ folder, path, store }) => {
  for (let n = 1; n <= 50_000; n += 5000) await store.write(ticksOf("BTC-USD", 5000, n), never);
  let isDone = false, next = 50_001;
  const writing = (async () => {
    while (!isDone) {
      await store.write(ticksOf("BTC-USD", 50, next), never);
      next += 50;
    }
  })();
  const out = output();
  await backupStore([`${folder}/copy.sqlite`], path, out);
  isDone = true;
  await writing;
  assertEquals(out.kept.told.replace(/[\d.]+ MB/, "n MB"), `${folder}/copy.sqlite: n MB\n`);
  assertEquals((await namesIn(folder)).filter((name) => name.startsWith("copy")), [
    "copy.sqlite",
  ]);
  {
    using db = new DatabaseSync(`${folder}/copy.sqlite`);
    assertEquals(db.prepare("PRAGMA integrity_check").get()?.integrity_check, "ok");
    const { n, high } = db.prepare("SELECT count(*) AS n, max(sequence) AS high FROM tick").get() ?? {};
    assertEquals(n, high);
    assertGreater(Number(n), 49_999);
    // as many in the candles: it is one moment
    assertEquals(db.prepare("SELECT sum(ticks) AS n FROM candle_1m").get()?.n, n);
  }
  await using copy = await Store.open(`${folder}/copy.sqlite`, { ticksDays: 0, log: new Notebook() });
  assertEquals(await copy.write(ticksOf("BTC-USD", 1, 1_000_000), never), 1);
});

test("backup replaces a file only with --overwrite, and never leaves half a file", async ({ folder, path, store }) => {
  await store.write(ticksOf("BTC-USD", 10), never);
  const copy = `${folder}/copy.sqlite`;
  await Deno.writeTextFile(copy, "precious");
  await assertRejects(
    () => backupStore([copy], path, output()),
    ConfigError,
    `Cannot back up to ${copy}: it exists (--overwrite replaces it)`,
  );
  assertEquals(await Deno.readTextFile(copy), "precious");
  await backupStore(["--overwrite", copy], path, output());
  await assertRejects(() => backupStore([path, "--overwrite"], path, output()), ConfigError, "got the store itself");
  await Deno.symlink(path, `${folder}/alias.sqlite`);
  await assertRejects(
    () => backupStore([`${folder}/alias.sqlite`, "--overwrite"], path, output()),
    ConfigError,
    "got the store itself",
  );
  for (
    const [name, why] of [
      ["no/such/folder", `expected an existing folder, got ${folder}/no/such`],
      ["copy.sqlite/x", "part of its path is not a folder"],
    ]
  ) {
    await assertRejects(
      () => backupStore([`${folder}/${name}`], path, output()),
      ConfigError,
      `Cannot back up to ${folder}/${name}: ${why}`,
    );
  }
  await assertRejects(
    () => backupStore([copy], "", output()),
    ConfigError,
    "expected the name of a store in STORE_FILE or --file",
  );
  await assertRejects(() => backupStore([], path, output()), ConfigError, "expected the name of one file to write to");
  await assertRejects(() => backupStore(["a", "b", "--fast"], path, output()), ConfigError, "no such option");
  assertEquals((await namesIn(folder)).filter((name) => /part|no$/.test(name)), []);
});

test("backup leaves alone what lies where it writes before", async ({ folder, path, store }) => {
  await store.write(ticksOf("BTC-USD", 10), never);
  const part = `${folder}/copy.sqlite.part-${Deno.pid}`;
  await Deno.writeTextFile(part, "precious");
  await assertRejects(() => backupStore([`${folder}/copy.sqlite`], path, output()), SinkError, "Cannot back up to");
  assertEquals(await Deno.readTextFile(part), "precious");
});

test("backup takes no file of a store's own, no device, pipe, folder or link, also when it may overwrite", async ({ folder, path, store }) => {
  await store.write(ticksOf("BTC-USD", 10), never);
  await Deno.writeTextFile(`${folder}/precious`, "precious");
  await Deno.symlink(`${folder}/precious`, `${folder}/link`);
  await Deno.symlink(`${folder}/nothing`, `${folder}/dangling`);
  await Deno.mkdir(`${folder}/sub`);
  const isOwn = (name: string) => `expected a name that does not end like a file beside a store, got ${name}`;
  const isNoFile = (what: string) => `expected a regular file or a new name, got ${what}`;
  const before = await namesIn(folder);
  for (
    const [to, why] of [
      [`${path}-wal`, isOwn("-wal")],
      [`${path}-shm`, isOwn("-shm")],
      [`${path}-journal`, isOwn("-journal")],
      [`${path}.lock`, isOwn(".lock")],
      ["/dev/null", isNoFile("a device")],
      [`${folder}/link`, isNoFile("a symbolic link")],
      [`${folder}/dangling`, isNoFile("a symbolic link")],
      [`${folder}/sub`, isNoFile("a folder")],
    ] as const
  ) {
    for (const flags of [[], ["--overwrite"]]) {
      const error = await assertRejects(() => backupStore([to, ...flags], path, output()), ConfigError);
      assertEquals(error.problems, [`Cannot back up to ${to}: ${why}`]);
    }
  }
  assertEquals(await namesIn(folder), before);
  assertEquals(await Deno.readTextFile(`${folder}/precious`), "precious");
  await store.write(ticksOf("BTC-USD", 10, 11), never);
  assertEquals((await exported(path)).length, 21);
  // another program's store is in use as ours is
  await using other = await Store.open(`${folder}/other.sqlite`, { ticksDays: 0, log: new Notebook() });
  await other.write(ticksOf("BTC-USD", 3), never);
  await assertRejects(
    () => backupStore([`${folder}/other.sqlite`, "--overwrite"], path, output()),
    ConfigError,
    `Cannot back up to ${folder}/other.sqlite: another program is using it and holds ${folder}/other.sqlite.lock`,
  );
});

/** The task itself, with its permissions, which are what Deno decides by. */
Deno.test({
  name: `backup refuses devices with exit 2, also as a task${mayRun ? "" : " [skipped: needs --allow-run]"}`,
  ignore: !mayRun,
  async fn() {
    await using folder = await temporaryFolder();
    const root = new URL("../../", import.meta.url);
    const { command } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root))).tasks.backup;
    for (
      const [to, why] of [
        ["/dev/null", "expected a regular file or a new name, got a device"],
        [
          "/proc/x",
          'this program may not use "/proc/x": choose a place outside of /proc, /dev and /sys',
        ],
      ] as const
    ) {
      const flags = (command as string).split(" ").slice(1, -2);
      const { code, stderr } = await new Deno.Command(Deno.execPath(), {
        args: [...flags, "--no-prompt", "--config", new URL("deno.json", root).pathname]
          .concat(new URL("main.ts", root).pathname, "backup", "--overwrite", to),
        cwd: folder.path,
      }).output();
      assertEquals(new TextDecoder().decode(stderr), `Cannot back up to ${to}: ${why}\n`);
      assertEquals(code, 2);
    }
  },
});

Deno.test({
  name: `backup into a place that cannot be written to says so${mayRun ? "" : " [skipped: needs --allow-run]"}`,
  ignore: !mayRun,
  async fn() {
    await using folder = await temporaryFolder();
    const mount = (...args: string[]) =>
      new Deno.Command("mount", { args, stdout: "null", stderr: "null" }).outputSync().success;
    const path = `${folder.path}/prices.sqlite`;
    {
      await using store = await Store.open(path, { ticksDays: 0, log: new Notebook() });
      await store.write(ticksOf("BTC-USD", 3000), never);
    }
    const small = `${folder.path}/small`;
    await Deno.mkdir(small);
    if (!mount("-t", "tmpfs", "-o", "size=100k", "tmpfs", small)) return;
    try {
      const attempt = async () =>
        (await assertRejects(() => backupStore([`${small}/b`], path, output()), SinkError)).message;
      assertEquals(await attempt(), `Cannot back up to ${small}/b: the disk is full`);
      assertEquals(await namesIn(small), []);
      assert(mount("-o", "remount,ro", small));
      assertEquals(await attempt(), `Cannot back up to ${small}/b: the disk is read-only`);
    } finally {
      new Deno.Command("umount", { args: [small] }).outputSync();
    }
  },
});

test("backup refuses a store with a second name, and takes a backup with as many as it likes", async ({ folder, path, store }) => {
  await store.write(ticksOf("BTC-USD", 29), never);
  const [name, copy, again] = ["name", "copy", "again"].map((name) => `${folder}/${name}.sqlite`) as [
    string,
    string,
    string,
  ];
  await backupStore([copy], path, output());
  await Deno.link(path, name);
  for (const file of [path, name]) {
    await assertRejects(
      () => backupStore([again], file, output()),
      SinkError,
      `Cannot use the store ${file}: expected one name, got 2 (hard links)`,
    );
  }
  await Deno.link(copy, `${folder}/copy-link.sqlite`);
  await backupStore([again], copy, output());
  using db = new DatabaseSync(again, { readOnly: true });
  assertEquals(db.prepare("SELECT count(*) AS n FROM tick").get()?.n, 29);
});
