// `deno task audit` on the real Kafka, Telegraf and InfluxDB: known records with known holes, and the whole pipeline.

import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { runAudit } from "../../src/commands/audit.ts";
import type { AuditReport } from "../../src/checks/audit_report.ts";
import type { Output } from "../../src/core/terminal.ts";
import { ConfigError, SinkError } from "../../src/core/errors.ts";
import { Simulator } from "../../src/simulator/server.ts";
import { Store } from "../../src/store/store.ts";
import { backupStore } from "../../src/commands/backup.ts";
import { chainMissing, GAPS_TOPIC, produce, settle, startChain, TOPIC } from "../chain/chain.ts";
import { makeGap, makeTick } from "../fakes/events.ts";
import { inTempDir } from "../fakes/folder.ts";
import { Notebook } from "../fakes/log.ts";
import { sleep, tell, until } from "../integration/feed.ts";
import { Producer } from "../integration/producer.ts";
import { InfluxServer } from "../servers/influxdb.ts";
import { KafkaServer } from "../servers/kafka.ts";
import { freePorts } from "../servers/process.ts";
import { produceTicks, setPlaces, writePoints } from "./data.ts";

const missing = chainMissing();
const skipped = missing ? ` [skipped: ${missing}]` : "";

function output() {
  const kept = { text: "", told: "" };
  const out: Output = {
    write: (text) => Promise.resolve(void (kept.text += text)),
    tell: (text) => void (kept.told += text),
  };
  return { kept, out };
}

async function audit(
  settings: Readonly<Record<string, string>>,
  ...args: string[]
): Promise<AuditReport & { code: number }> {
  const { kept, out } = output();
  const environment = {
    values: { STORE_FILE: "", ...settings },
    readFile: (path: string) => Deno.readTextFileSync(path),
  };
  const code = await runAudit([...args, "--json"], environment, out, new AbortController().signal, "/nowhere");
  return { ...JSON.parse(kept.text), code };
}

async function auditWords(settings: Readonly<Record<string, string>>, ...args: string[]): Promise<string> {
  const { kept, out } = output();
  const environment = {
    values: { STORE_FILE: "", ...settings },
    readFile: (path: string) => Deno.readTextFileSync(path),
  };
  await runAudit(args, environment, out, new AbortController().signal, "/nowhere");
  return kept.text;
}

async function settingsOf(kafka: KafkaServer, influx: InfluxServer): Promise<Record<string, string>> {
  return {
    KAFKA_BROKERS: kafka.broker,
    INFLUX_URL: influx.url,
    INFLUX_ORG: influx.org,
    INFLUX_BUCKET: influx.bucket,
    INFLUX_TOKEN: await influx.createToken({ read: influx.bucket }),
    // nothing of a program that may run on this machine
    PROGRAM_URL: "http://127.0.0.1:9",
  };
}

Deno.test({
  name: `deno task audit names known holes, and no others${skipped}`,
  ignore: missing !== undefined,
  async fn(t) {
    await using kafka = await KafkaServer.start({ partitions: 2 });
    await using influx = await InfluxServer.start();
    await kafka.createTopic(TOPIC, { partitions: 2 });
    await kafka.createTopic(GAPS_TOPIC);
    const settings = await settingsOf(kafka, influx);
    const start = Math.floor(Date.now() / 1000) - 3000;
    const [from, to] = [String(start), String(start + 1000)];
    // ten a second for a thousand seconds, each a trade
    const timeOf = (n: number) => start * 1e6 + n * 100_000 + 7;
    const all = Array.from({ length: 10_000 }, (_, n) => n);
    // the exchange did not send these trades, or the connection was down
    const untold = (n: number) => n === 5000 || (n >= 5100 && n < 5110) || (n >= 7000 && n < 7200);
    const sent = all.filter((n) => !untold(n));
    // InfluxDB lacks these; what is from 8000 on is declared
    const isLost = (n: number) => n === 123 || (n >= 2000 && n < 2030) || (n >= 8000 && n < 8010);

    await t.step("the data", async () => {
      for (const product of ["BTC-USD", "ETH-USD"]) {
        const ticks = sent.map((n) => ({ product, timeUs: timeOf(n), trade: 1_000_000 + n }));
        await produceTicks(kafka.broker, TOPIC, ticks);
        // a batch again, as after an answer that was lost
        await produceTicks(kafka.broker, TOPIC, ticks.slice(4000, 4500));
        const stored = product === "ETH-USD" ? ticks : ticks.filter(({ trade }) => !isLost(trade - 1_000_000));
        await writePoints(influx, stored);
      }
      const gap = { exchange: "coinbase", product: "BTC-USD", dropped: 0, missed: true };
      await produce(kafka.broker, GAPS_TOPIC, [
        JSON.stringify({ ...gap, opened: start + 700, from: timeOf(6999) / 1e6, to: null, reason: "link-closed" }),
        JSON.stringify({
          ...gap,
          opened: start + 700,
          from: timeOf(6999) / 1e6,
          to: timeOf(7200) / 1e6,
          reason: "link-closed",
        }),
        JSON.stringify({
          ...gap,
          opened: start + 801,
          from: timeOf(7999) / 1e6,
          to: timeOf(8010) / 1e6,
          reason: "store-failed",
        }),
        JSON.stringify({
          ...gap,
          opened: start + 100,
          from: start + 100,
          to: start + 200,
          reason: "stalled",
          missed: false,
        }),
      ]);
      // what is not a price is only counted as unreadable
      await produce(
        kafka.broker,
        TOPIC,
        ["no json", '{"product":"BTC-USD","w_time":"1","price":1}']
          .map((value) => ({ value, timestamp: (start + 500) * 1000 })),
      );
    });

    await t.step("counts, ranges, declared, not seen, coverage, exit code", async () => {
      const report = await audit(settings, "--from", from, "--to", to);
      const [btc, eth] = report.products;
      assertEquals([report.code, report.ok, report.unreadable, report.products.length], [1, false, 2, 2]);
      assertEquals([btc?.product, btc?.records, btc?.repeats], ["BTC-USD", sent.length + 500, 500]);
      assertEquals(btc?.influx, {
        there: sent.length - 41,
        declared: 10,
        missing: 31,
        holes: [
          { from: timeOf(123) / 1e6, to: timeOf(123) / 1e6, count: 1 },
          { from: timeOf(2000) / 1e6, to: timeOf(2029) / 1e6, count: 30 },
        ],
        beyond: 0,
        waiting: 0,
        overwritten: 0,
        shared: [],
      });
      // nothing reads here, so it is unknown what was read
      assertMatch(report.remarks.join("; "), /Kafka knows no group telegraf: .* counts as missing/);
      assertEquals(btc?.notSeen?.count, 1 + 10 + 200);
      assertEquals(
        btc?.notSeen?.ranges.map(({ firstTrade, lastTrade, declared }) => [firstTrade, lastTrade, declared]),
        [
          [1_005_000, 1_005_000, false],
          [1_005_100, 1_005_109, false],
          [1_007_000, 1_007_199, true],
        ],
      );
      assertEquals(btc?.gaps.length, 2);
      assertEquals(btc?.coverage.toFixed(2), (100 - 2.01 - 0.11).toFixed(2));
      assertEquals([eth?.influx?.missing, eth?.influx?.there, eth?.coverage], [0, sent.length, 100]);
      // no gap of its own there: not seen, and not declared
      assertEquals(eth?.notSeen?.ranges.every(({ declared }) => !declared), true);
      assertEquals([report.totals.missing, report.totals.declared], [31, 10]);
    });

    await t.step("as text: ranges, not a line for every record", async () => {
      const text = await auditWords(settings, "--from", from, "--to", to);
      tell(`\n${text}`);
      assertMatch(text, /BTC-USD: 30 records, \d{4}-\d\d-\d\d [\d:]{8}\.000007 to /);
      assertMatch(text, /BTC-USD: trades 1005100 to 1005109 \(10\), between/);
      assertMatch(text, /31 of 20,578 records are missing and not declared\./);
      assertLess(text.split("\n").length, 40);
    });

    await t.step("a range without a hole, one product, and a range without records", async () => {
      const whole = await audit(settings, "--from", String(start + 300), "--to", String(start + 400));
      assertEquals([whole.code, whole.totals.records, whole.totals.missing], [0, 2000, 0]);
      const one = await audit(settings, "--from", from, "--to", to, "--product", "ETH-USD");
      assertEquals([one.code, one.products.map(({ product }) => product)], [0, ["ETH-USD"]]);
      const none = await audit(settings, "--from", "2020-01-01", "--to", "2020-01-02");
      assertEquals([none.code, none.ok, none.products], [1, false, []]);
    });

    await t.step("the edges: from is included, to is not", async () => {
      const at = (n: number) => String(timeOf(n) / 1e6);
      assertEquals((await audit(settings, "--from", at(123), "--to", at(124))).totals, {
        records: 2,
        missing: 1,
        waiting: 0,
        overwritten: 0,
        declared: 0,
        notSeen: 0,
        coverage: 100,
      });
      assertEquals((await audit(settings, "--from", at(122), "--to", at(123))).totals.missing, 0);
    });

    await t.step("without a topic for gaps, nothing is declared", async () => {
      const report = await audit({ ...settings, KAFKA_GAPS_TOPIC: "none_here" }, "--from", from, "--to", to);
      assertEquals(report.totals.missing, 41);
      assertMatch(report.remarks.join(), /no topic none_here: nothing is declared/);
    });

    await t.step(
      "records without an offset of Telegraf's group wait, also if its offset is beyond the end",
      async () => {
        // each has an offset somewhere, or Kafka would not know it
        await Promise.all([
          setPlaces(kafka.broker, "elsewhere", GAPS_TOPIC, { 0: 0 }),
          setPlaces(kafka.broker, "done", TOPIC, { 0: 0, 1: 0 }),
          setPlaces(kafka.broker, "astray", TOPIC, { 0: 1000, 1: 1000 }),
        ]);
        const seen = async (group: string) => {
          const { totals, remarks, code } = await audit(
            { ...settings, TELEGRAF_GROUP: group },
            "--from",
            from,
            "--to",
            to,
          );
          return { counts: [code, totals.missing, totals.waiting, totals.declared], remarks: remarks.join("; ") };
        };
        assertEquals((await seen("elsewhere")).counts, [1, 0, 31, 10]);
        const done = await seen("done");
        assertEquals([done.counts, done.remarks], [[1, 31, 0, 10], ""]);
        const astray = await seen("astray");
        assertEquals(astray.counts, [1, 0, 31, 10]);
        assertMatch(
          astray.remarks,
          /group astray waits at offset \d+ of partition 0 of ticker_batch, which ends at \d+ \(and beyond the end of 1 more partition\): .*--group astray --topic ticker_batch --reset-offsets --to-earliest/,
        );
      },
    );

    await t.step("trades of the same time count as overwritten, not as repeated or unseen", async () => {
      // of ten a second each tenth has the time of the one before it; ten are sent again
      const begin = start + 1100;
      const ticks = Array.from({ length: 100 }, (_, n) => (
        { product: "SOL-USD", timeUs: timeOf(11_000 + (n % 10 === 9 ? n - 1 : n)), trade: 2_000_000 + n }
      ));
      // one comes just before the range, after the next one
      const early = { product: "SOL-USD", timeUs: timeOf(10_999), trade: 2_000_100 };
      const last = { product: "SOL-USD", timeUs: timeOf(11_101), trade: 2_000_101 };
      await produceTicks(kafka.broker, TOPIC, [early, ...ticks, ...ticks.slice(5, 15), last]);
      await writePoints(influx, [early, ...ticks, last]);
      const args = ["--from", String(begin), "--to", String(begin + 20)];
      const report = await audit(settings, ...args);
      const [sol] = report.products;
      assertEquals([report.code, report.ok, sol?.records, sol?.repeats, sol?.notSeen], [1, false, 111, 10, {
        count: 0,
        ranges: [],
      }]);
      assertEquals([sol?.influx?.there, sol?.influx?.missing, sol?.influx?.overwritten], [91, 0, 10]);
      assertEquals(sol?.influx?.shared[1], { at: timeOf(11_018) / 1e6, trades: [2_000_018, 2_000_019] });
      const words = await auditWords(settings, ...args);
      assertMatch(words, /SOL-USD: trades 2000008, 2000009 at \d{4}-/);
      assertMatch(words, /\.\.\. and 5 more times/);
      assertMatch(words, /10 of 111 records are overwritten in InfluxDB by another trade of the same time\.\n$/);
    });

    await t.step("a topic that was made again: points that only InfluxDB has are reported", async () => {
      await kafka.createTopic("again");
      const tick = (n: number, product = "DOT-USD") => ({ product, timeUs: timeOf(n), trade: 3_000_000 + n });
      const before = Array.from({ length: 300 }, (_, n) => tick(12_000 + n));
      const after = Array.from({ length: 50 }, (_, n) => tick(12_300 + n));
      await produceTicks(kafka.broker, "again", after);
      await writePoints(influx, [...before, ...after, ...before.map((each) => ({ ...each, product: "ADA-USD" }))]);
      const args = ["--from", String(start + 1200), "--to", String(start + 1250)];
      const report = await audit({ ...settings, KAFKA_TOPIC: "again" }, ...args);
      assertEquals([report.code, report.totals.records, report.totals.missing], [0, 50, 0]);
      const since = new Date(timeOf(12_300) / 1000).toISOString().replace(".000Z", "Z");
      assertMatch(
        report.remarks.join("; "),
        new RegExp(
          `InfluxDB has 600 points of this range that the topic again does not have \\(the topic has records from ${since} on, ` +
            "and none of ADA-USD\\): it was deleted and made again",
        ),
      );
      // all of it is there: no remark
      assertEquals(
        (await audit(
          { ...settings, KAFKA_TOPIC: "again", TELEGRAF_GROUP: "done" },
          "--from",
          String(start + 1230),
          ...args.slice(2),
        ))
          .remarks,
        [],
      );
    });

    await t.step("servers that cannot be read: one sentence, exit code 4, with --json an object", async () => {
      const cases: [Record<string, string>, RegExp][] = [
        [{ KAFKA_BROKERS: "127.0.0.1:9" }, /Kafka at 127\.0\.0\.1:9 cannot be used/],
        [{ KAFKA_TOPIC: "none_here" }, /has no topic none_here/],
        [{ INFLUX_URL: `http://127.0.0.1:${freePorts("none").none}` }, /InfluxDB at http:.*: connection refused/],
        [{ INFLUX_TOKEN: "a-token-that-nobody-knows" }, /InfluxDB does not answer the audit: 401/],
      ];
      for (const [change, words] of cases) {
        const { kept, out } = output();
        const environment = { values: { STORE_FILE: "", ...settings, ...change }, readFile: () => "" };
        const args = ["--from", from, "--to", to, "--json"];
        const error = await runAudit(args, environment, out, new AbortController().signal, "/nowhere").then(
          () => undefined,
          (each) => each,
        );
        assert(error instanceof SinkError, String(error?.stack ?? error));
        assertMatch(error.message, words);
        assert(!error.message.includes("a-token-that-nobody-knows"));
        assertEquals(JSON.parse(kept.text), { ok: false, error: error.message, exitCode: 4 });
      }
    });
  },
});

Deno.test({
  name:
    `deno task audit on the whole pipeline: nothing is missing, what Telegraf has not read waits, a store is compared${skipped}`,
  ignore: missing !== undefined,
  async fn(t) {
    await using simulator = await Simulator.start({ seed: 5, ticksPerSecond: 20, products: ["BTC-USD", "ETH-USD"] });
    await using chain = await startChain();
    const { kafka, influx, telegraf } = chain;
    const folder = await Deno.makeTempDir();
    await using _removed = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
    const store = `${folder}/prices.sqlite`;
    const products = { COINBASE_PRODUCTS: "BTC-USD,ETH-USD" };
    await using producer = new Producer({
      ...products,
      COINBASE_WS_URL: simulator.url,
      KAFKA_BROKERS: kafka.broker,
      STORE_FILE: store,
    });
    await producer.says("Ready to write to kafka");
    const settings: Record<string, string> = { ...await settingsOf(kafka, influx), ...products };
    const since = String(Math.floor(Date.now() / 1000) - 5);
    const wait = async (ticks: number) => {
      const before = simulator.sentCount;
      await until(`${ticks} more ticks`, () => simulator.sentCount >= before + ticks);
    };
    // records count as settled only after 15 s
    await wait(800);
    await sleep(16_000);
    await settle(chain);

    await t.step("nothing is missing", async () => {
      // markers of settle() are products, too
      const report = await audit({ ...settings, STORE_FILE: store }, "--from", since, "--product", "BTC-USD,ETH-USD");
      assertEquals(report.products.map(({ product }) => product), ["BTC-USD", "ETH-USD"]);
      assertEquals(
        [report.code, report.totals.missing, report.totals.notSeen],
        [0, 0, 0],
        JSON.stringify(report, null, 1),
      );
      assert(report.totals.records > 700, String(report.totals.records));
      for (const { influx, store, records, repeats } of report.products) {
        assertEquals([influx?.there, influx?.beyond, store?.missing, store?.unknown], [records - repeats, 0, 0, 0]);
      }
    });

    await t.step("Telegraf is down: its records wait and do not count as lost", async () => {
      await telegraf.stop();
      const from = String(Math.floor(Date.now() / 1000));
      await wait(400);
      await sleep(16_000);
      const report = await audit(settings, "--from", from);
      assertEquals([report.code, report.totals.missing], [1, 0], JSON.stringify(report.totals));
      assert(report.totals.waiting > 300, JSON.stringify(report.totals));
      assertMatch(await auditWords(settings, "--from", from), /Nothing is lost\. [\d,]+ wait in Kafka/);
      await telegraf.restart();
      await settle(chain);
      await until(
        "they have arrived",
        async () => (await audit(settings, "--from", from, "--product", "BTC-USD")).code === 0,
      );
    });

    await t.step("the connection breaks: what was not seen is declared", async () => {
      const from = String(Math.floor(Date.now() / 1000));
      await wait(100);
      // for so long that each product trades meanwhile: of one that does not, nothing is missing
      simulator.levers.refuseUpgrade(true);
      simulator.levers.hangUp(1006);
      await sleep(2000);
      simulator.levers.refuseUpgrade(false);
      await wait(200);
      await sleep(16_000);
      await settle(chain);
      const report = await audit(settings, "--from", from, "--product", "BTC-USD,ETH-USD");
      assertEquals([report.code, report.totals.missing], [0, 0]);
      for (const { notSeen, gaps, coverage } of report.products) {
        assertEquals(notSeen?.ranges.every(({ declared }) => declared), true, JSON.stringify({ notSeen, gaps }));
        assert(gaps.some(({ reason }) => reason === "link-closed"));
        assertLess(coverage, 100);
      }
    });

    await t.step("a store that lacks something, and a store alone", async () => {
      const copy = `${folder}/copy.sqlite`;
      await backupStore([copy], store, { write: () => Promise.resolve(), tell: () => {} });
      let lacking = 0;
      {
        using db = new DatabaseSync(copy);
        const { low, high } = Object(
          db.prepare("SELECT min(sequence) AS low, max(sequence) AS high FROM tick WHERE product = 1").get(),
        );
        const middle = Math.floor((low + high) / 2);
        lacking = Number(
          db.prepare("DELETE FROM tick WHERE product = 1 AND sequence BETWEEN ? AND ?").run(middle, middle + 5).changes,
        );
      }
      assert(lacking > 0);
      const args = ["--from", since, "--product", "BTC-USD,ETH-USD"];
      const report = await audit({ ...settings, STORE_FILE: copy }, ...args);
      const found = report.products.reduce((sum, { store }) => sum + (store?.missing ?? 0), 0);
      assertEquals([report.code, found, report.totals.missing], [1, lacking, lacking]);
      const alone = await audit({ STORE_FILE: store, PROGRAM_URL: "http://127.0.0.1:9", ...products }, ...args);
      assertEquals([alone.code, alone.products.length], [0, 2]);
      assert(alone.totals.records > 1000);
      assertMatch(alone.remarks.join(), /no Kafka to compare the store with/);
    });
  },
});

/** The first second of all: gaps and ticks count from here, in minutes. */
const BEGIN = 1_700_000_000;
const EMPTY: [what: string, range: [from: number, to: number], code: number, words: RegExp][] = [
  [
    "has no records and no gap",
    [5, 6],
    1,
    /No records in this range, and no gap covers all of it: nothing was compared/,
  ],
  ["is covered in part by a gap", [9, 12], 1, /No records in this range, and no gap covers all of it/],
  ["is covered by a gap", [11, 12], 0, /No records in this range: declared gaps cover all of it\./],
  ["has records", [0, 2], 0, /2 records; there was nothing to compare them with, so only gaps and trades were/],
];
for (const [what, range, code, words] of EMPTY) {
  const mayWrite = (["read", "write"] as const).every((name) =>
    Deno.permissions.querySync({ name }).state === "granted"
  );
  Deno.test({
    name: `deno task audit of a range that ${what} ends with ${code}${
      mayWrite ? "" : " [skipped: needs --allow-write]"
    }`,
    ignore: !mayWrite,
    fn: () =>
      inTempDir(async (folder) => {
        const path = `${folder}/prices.sqlite`;
        const at = (minutes: number) => BEGIN + minutes * 60;
        const ticks = [0, 1].map((n) => {
          const timeUs = at(n) * 1e6;
          return makeTick({ sequence: n, exchangeTimeUs: timeUs, recordTimeUs: timeUs, receivedTime: timeUs / 1000 });
        });
        {
          await using store = await Store.open(path, { ticksDays: 0, log: new Notebook() });
          await store.write(
            [...ticks, makeGap({ opened: at(13), from: at(10), to: at(13) })],
            new AbortController().signal,
          );
        }
        const settings = { STORE_FILE: path, PROGRAM_URL: "http://127.0.0.1:9" };
        const args = ["--from", String(at(range[0])), "--to", String(at(range[1]))];
        const report = await audit(settings, ...args);
        assertEquals([report.code, report.ok], [code, code === 0]);
        assertMatch(await auditWords(settings, ...args), words);
      }),
  });
}

const BAD: [args: string[], words: RegExp][] = [
  [["--form", "1"], /no such option/],
  [["--from"], /--from: expected a value/],
  [["--from", "yesterday"], /Cannot use --from: expected unix seconds/],
  [["--from", "1700000000000"], /Cannot use --from: expected unix seconds .*, got "1700000000000"/],
  [["--from", "2026-10-04", "--to", "2026-10-03"], /Cannot use --from: expected a time before --to/],
  [["--stack", "--embedded"], /take one of them/],
  [["--from", "1h", "--from", "2h"], /Cannot use --from: expected it once/],
  [["--product=BTC-USD", "--product", "ETH-USD"], /Cannot use --product: expected it once/],
];
for (const [args, words] of BAD) {
  Deno.test(`runAudit(${JSON.stringify(args)}) is refused with a ConfigError`, async () => {
    const { out } = output();
    const error = await runAudit(args, { values: {}, readFile: () => "" }, out, new AbortController().signal)
      .then(() => undefined, (each) => each);
    assert(error instanceof ConfigError, String(error));
    assertMatch(error.message, words);
  });
}
