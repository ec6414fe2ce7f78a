// `deno task export` and `deno task backup`, also while the store is written.

import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { ConfigError, SinkError } from "../../src/core/errors.ts";
import { toGapRecord } from "../../src/core/record.ts";
import { Store } from "../../src/store/store.ts";
import { BACKUP_USAGE, backupStore, EXPORT_USAGE, exportStore } from "../../src/store/tasks.ts";
import { type Output, TIME_WISH, timeOf } from "../../src/core/terminal.ts";
import { makeGap, makeTick } from "../fakes/events.ts";
import { Notebook } from "../fakes/log.ts";
import { ticksOf } from "../fakes/ticks.ts";
import { filesSkipped, namesIn, temporaryFolder } from "./files.ts";

const skipped = filesSkipped();
const mayRun = skipped === undefined && Deno.permissions.querySync({ name: "run" }).state === "granted";
const never = new AbortController().signal;
const NOW = Date.UTC(2026, 9, 4);

interface Shop {
  readonly folder: string;
  readonly path: string;
  readonly store: Store;
}

function test(name: string, fn: (shop: Shop) => Promise<void>): void {
  Deno.test({
    name: `${name}${skipped === undefined ? "" : ` [skipped: ${skipped}]`}`,
    ignore: skipped !== undefined,
    async fn() {
      await using folder = await temporaryFolder();
      const path = `${folder.path}/prices.sqlite`;
      await using store = await Store.open(path, { ticksDays: 0, log: new Notebook() });
      await fn({ folder: folder.path, path, store });
    },
  });
}

function output(onWrite: (text: string) => Promise<void> | void = () => {}) {
  const kept = { text: "", told: "", writes: 0 };
  const out: Output = {
    async write(text) {
      await onWrite(text);
      kept.text += text;
      kept.writes++;
    },
    tell: (text) => void (kept.told += text),
  };
  return { ...out, kept };
}

async function exported(path: string, ...args: string[]): Promise<string[]> {
  const out = output();
  await exportStore(args, path, out, NOW);
  return out.kept.text.split("\n").slice(0, -1);
}

test("export writes ticks as CSV, with the exchange's digits and empty places for what is not known", async ({ path, store }) => {
  const first = makeTick({
    exchangeTimeUs: 1_700_000_000_123_456,
    recordTimeUs: 1_700_000_000_000_000,
    receivedTime: 1_700_000_000_500,
  });
  await store.write([
    { ...first, lastSize: 4e-7, side: "sell", tradeId: 7 },
    { ...first, exchange: "kraken", product: 'A,"B"', price: 0.1 + 0.2 },
  ], never);
  assertEquals(await exported(path), [
    "product,w_time,price,time,sequence,size,side,trade,received",
    "BTC-USD,1700000000,61234.56,1700000000.123456,1000,4e-7,sell,7,1700000000.5",
    '"kraken:A,""B""",1700000000,0.30000000000000004,1700000000.123456,1000,,,,1700000000.5',
  ]);
});

test("export writes ticks as JSON lines of one product in a range", async ({ path, store }) => {
  await store.write([...ticksOf("BTC-USD", 100), ...ticksOf("ETH-USD", 100)], never);
  const lines = await exported(
    path,
    "--product",
    "ETH-USD",
    "--format=jsonl",
    "--from",
    "50",
    "--to",
    "1970-01-01T00:00:53Z",
  );
  assertEquals(
    lines,
    [50, 51, 52].map((n) =>
      `{"product":"ETH-USD","w_time":${n},"price":${n},"time":${n},"sequence":${n},"received":${n}}`
    ),
  );
  assertEquals((await exported(path, "--product=BTC-USD,ETH-USD", "--from", "1970-01-01")).length, 201);
});

test("export writes candles of any length, and gaps", async ({ path, store }) => {
  const gap = makeGap({ opened: 70, from: 61, to: 62.5 });
  await store.write(
    [...ticksOf("BTC-USD", 120), gap, makeGap({ opened: 5000, from: 4000, product: "ETH-USD" })],
    never,
  );
  assertEquals(await exported(path, "--what", "candles"), [
    "product,interval,time,open,high,low,close,ticks,volume,running,incomplete,origin",
    "BTC-USD,1m,0,1,59,1,59,59,,false,false,ticks",
    "BTC-USD,1m,60,60,119,60,119,60,,false,true,ticks",
    "BTC-USD,1m,120,120,120,120,120,1,,false,false,ticks",
  ]);
  assertEquals(
    (await exported(path, "--what", "candles", "--interval", "1s", "--from", "60", "--to", "70")).length,
    11,
  );
  assertEquals(await exported(path, "--what", "gaps", "--product", "BTC-USD", "--format", "jsonl"), [toGapRecord(gap)]);
  assertEquals(await exported(path, "--what", "gaps"), [
    "exchange,product,opened,from,to,reason,dropped,missed",
    "coinbase,BTC-USD,70,61,62.5,link-closed,0,true",
    "coinbase,ETH-USD,5000,4000,,link-closed,0,true",
  ]);
});

test("export brings all there is in pieces, while more is written", async ({ path, store }) => {
  const COUNT = 60_000;
  for (let n = 1; n <= COUNT; n += 5000) await store.write(ticksOf("BTC-USD", 5000, n), never);
  let next = COUNT + 1, longest = 0;
  const out = output(async (text) => {
    longest = Math.max(longest, text.length);
    await store.write(ticksOf("BTC-USD", 100, next), never);
    next += 100;
  });
  await exportStore([], path, out, NOW);
  assertGreater(out.kept.writes, 10);
  assert(longest < 100_000, String(longest));
  const sequences = out.kept.text.split("\n").slice(1, -1).map((line) => Number(line.split(",")[4]));
  assertEquals(sequences.slice(0, COUNT), Array.from({ length: COUNT }, (_, i) => i + 1));
  // and those that came meanwhile, as far as they were seen: none twice, none out of order
  assertEquals(sequences, sequences.map((_, i) => i + 1));
  const candles = await exported(path, "--what", "candles", "--interval", "1s");
  assertEquals(candles.length, next);
});

test("export ends quietly when nobody reads on", async ({ path, store }) => {
  await store.write(ticksOf("BTC-USD", 5000), never);
  const out = output(() => {
    throw new Deno.errors.BrokenPipe("Broken pipe");
  });
  await exportStore([], path, out, NOW);
  assertEquals(out.kept.text, "");
});

test("export says what a product must be called, and what is missing", async ({ folder, path, store }) => {
  await store.write(ticksOf("BTC-USD", 1), never);
  await assertRejects(
    () => exported(path, "--product", "BTC/USD"),
    ConfigError,
    'Cannot use --product as it must be in the store, which has BTC-USD: current value is "BTC/USD"',
  );
  await assertRejects(
    () => exported(`${folder}/nothing.sqlite`),
    SinkError,
    `Cannot read the store ${folder}/nothing.sqlite as there is no such file`,
  );
});

Deno.test("export says all that is wrong with its arguments at once", async () => {
  const error = await assertRejects(
    () =>
      exported(
        "",
        ...[
          "--what",
          "prices",
          "--format=xml",
          "--interval",
          "7x",
          "--from",
          "yesterday",
          "--to",
          "1",
          "--colour",
          "red",
        ],
        "--product",
      ),
    ConfigError,
  );
  assertEquals(error.problems, [
    "Cannot use --colour as there is no such option: see --help",
    "Cannot use --product as it needs a value: see --help",
    'Cannot use "red" as export takes only options: see --help',
    'Cannot use --what as it must be ticks or candles or gaps: current value is "prices"',
    'Cannot use --format as it must be csv or jsonl: current value is "xml"',
    'Cannot use --interval as it must be 1s or 5s or 15s or 30s or 1m or 5m or 15m or 30m or 1h or 4h or 1d or 1w: current value is "7x"',
    "Cannot use --interval as only candles have one: --what is ticks",
    'Cannot use --from as it must be unix seconds like 1700000000 or 1700000000.25, or a date like 2026-10-03T21:00:00Z: current value is "yesterday"',
    'Cannot export as a store must be named by STORE_FILE or --file: current value is ""',
  ]);
  const turned = await assertRejects(
    () => exported("x", "--from", "2026-10-03", "--to", "2026-10-02 12:30"),
    ConfigError,
  );
  assertEquals(turned.problems, [
    'Cannot use --to as it must be after --from: current values are "2026-10-02 12:30" and "2026-10-03"',
  ]);
});

Deno.test("export refuses milliseconds, as they would be a time after the year 9999", async () => {
  for (const name of ["--from", "--to"]) {
    const error = await assertRejects(() => exported("x", name, "1700000000000"), ConfigError);
    assertEquals(error.problems, [
      `Cannot use ${name} as it must be ${TIME_WISH}: current value is "1700000000000"`,
    ]);
  }
  assertEquals([timeOf("253402300799"), timeOf("253402300800"), timeOf("9999-12-31T23:59:59Z")], [
    253_402_300_799,
    NaN,
    253_402_300_799,
  ]);
});

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

test("backup never writes over a file unless told to, nor half of one", async ({ folder, path, store }) => {
  await store.write(ticksOf("BTC-USD", 10), never);
  const copy = `${folder}/copy.sqlite`;
  await Deno.writeTextFile(copy, "precious");
  await assertRejects(
    () => backupStore([copy], path, output()),
    ConfigError,
    `Cannot back up to ${copy} as it is there already: --overwrite allows it`,
  );
  assertEquals(await Deno.readTextFile(copy), "precious");
  await backupStore(["--overwrite", copy], path, output());
  await assertRejects(() => backupStore([path, "--overwrite"], path, output()), ConfigError, "it is the store itself");
  await Deno.symlink(path, `${folder}/alias.sqlite`);
  await assertRejects(
    () => backupStore([`${folder}/alias.sqlite`, "--overwrite"], path, output()),
    ConfigError,
    "it is the store itself",
  );
  for (
    const [name, why] of [["no/such/folder", "no/such/ is missing"], ["copy.sqlite/x", "copy.sqlite/ is no folder"]]
  ) {
    await assertRejects(
      () => backupStore([`${folder}/${name}`], path, output()),
      ConfigError,
      `Cannot back up to ${folder}/${name} as its folder must be there: ${folder}/${why}`,
    );
  }
  await assertRejects(() => backupStore([copy], "", output()), ConfigError, "must be named by STORE_FILE");
  await assertRejects(() => backupStore([], path, output()), ConfigError, "one file to write to must be named");
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
  const isOwn = (name: string) => `as its name must not end as that of a store's own files does: it ends in ${name}`;
  const isNoFile = (what: string) => `as it must be a regular file, or not there yet: it is ${what}`;
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
      assertEquals(error.problems, [`Cannot back up to ${to} ${why}`]);
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
    `Cannot back up to ${folder}/other.sqlite as no program must be writing to it: one holds ${folder}/other.sqlite.lock`,
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
        ["/dev/null", "regular file, or not there yet: it is a device"],
        [
          "/proc/x",
          'place that can be used: this program may not use "/proc/x": choose a place outside of /proc, /dev and /sys',
        ],
      ] as const
    ) {
      const flags = (command as string).split(" ").slice(1, -2);
      const { code, stderr } = await new Deno.Command(Deno.execPath(), {
        args: [...flags, "--no-prompt", "--config", new URL("deno.json", root).pathname]
          .concat(new URL("main.ts", root).pathname, "backup", "--overwrite", to),
        cwd: folder.path,
      }).output();
      assertEquals(new TextDecoder().decode(stderr), `Cannot back up to ${to} as it must be a ${why}\n`);
      assertEquals(code, 2);
    }
  },
});

test("export says that it is stdout which takes no more, not the store's disk", async ({ path, store }) => {
  await store.write(ticksOf("BTC-USD", 10), never);
  for (const words of ["No space left on device (os error 28)", "Input/output error (os error 5)"]) {
    const out = output(() => {
      throw new Error(words);
    });
    const error = await assertRejects(() => exportStore([], path, out, NOW), SinkError);
    assertEquals([error.kind, error.message], ["fatal", `Cannot write the export to stdout: ${words}`]);
  }
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
    const why =
      `Cannot use the store ${name} as it must be a file of this program: it is something else, and was left alone`;
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
      [folder, "must be a regular file: it is a folder"],
      ["/dev/null", "must be a regular file: it is a device"],
    ] as const
  ) {
    for (
      const attempt of [() => exportStore([], name, output(), NOW), () => backupStore([`${folder}/b`], name, output())]
    ) {
      const error = await assertRejects(attempt, SinkError);
      assertEquals([error.kind, error.message], ["fatal", `Cannot read the store ${name} as it ${why}`]);
    }
  }
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
      assertEquals(await attempt(), `Cannot back up to ${small}/b as its disk is full`);
      assertEquals(await namesIn(small), []);
      assert(mount("-o", "remount,ro", small));
      assertEquals(await attempt(), `Cannot back up to ${small}/b as its disk can only be read`);
    } finally {
      new Deno.Command("umount", { args: [small] }).outputSync();
    }
  },
});
