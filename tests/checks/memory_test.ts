// The memory that the audit needs, measured on a process of its own. By default there are as many records as suit a test;
// AUDIT_SECONDS=86400 makes it a whole day of eight products at ten records a second.

import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { influxMissing, InfluxServer } from "../servers/influxdb.ts";
import { tell } from "../integration/feed.ts";
import { produceTicks, writePoints } from "./data.ts";

const CONFIG = new URL("../../deno.json", import.meta.url).pathname;
const PRODUCTS = ["ADA", "AVAX", "BNB", "BTC", "DOT", "ETH", "SOL", "XRP"].map((name) => `${name}-USD`);
const RATE = 10;
const MOST_MB = 300;

const missing = kafkaMissing() ?? influxMissing() ??
  (Deno.permissions.querySync({ name: "run", command: Deno.execPath() }).state === "granted"
    ? undefined
    : "the audit as a process needs --allow-run: run it by deno task test") ??
  (Deno.build.os === "linux" ? undefined : "peak memory is told by Linux");

Deno.test({
  name: `deno task audit stays below ${MOST_MB} MB${missing ? ` [skipped: ${missing}]` : ""}`,
  ignore: missing !== undefined,
  async fn() {
    const seconds = Number(Deno.env.get("AUDIT_SECONDS") ?? "2400");
    await using kafka = await KafkaServer.start();
    await using influx = await InfluxServer.start();
    await kafka.createTopic("ticker_batch");
    await kafka.createTopic("feed_gaps");
    const start = Math.floor(Date.now() / 1000) - seconds - 60;
    function* ticks() {
      for (let n = 0; n < seconds * RATE; n++) {
        for (const product of PRODUCTS) {
          yield { product, timeUs: start * 1e6 + n * (1e6 / RATE) + 11, trade: 5_000_000 + n };
        }
      }
    }
    // each 1000th is missing
    function* stored() {
      let n = 0;
      for (const tick of ticks()) if (++n % 1000 !== 0) yield tick;
    }
    await produceTicks(kafka.broker, "ticker_batch", ticks());
    await writePoints(influx, stored());
    const count = seconds * RATE * PRODUCTS.length;

    const [v8Flags = ""] = /--v8-flags=\S+(?= .*main\.ts audit")/.exec(await Deno.readTextFile(CONFIG)) ?? [];
    const since = performance.now();
    const child = new Deno.Command(Deno.execPath(), {
      // Deno opens /proc, which has the peak memory, only to a program with all permissions
      args: ["run", "--config", CONFIG, v8Flags, "--allow-all", CHILD].concat(
        ["--from", String(start), "--to", String(start + seconds), "--json"],
      ),
      env: {
        KAFKA_BROKERS: kafka.broker,
        INFLUX_URL: influx.url,
        INFLUX_ORG: influx.org,
        INFLUX_BUCKET: influx.bucket,
        INFLUX_TOKEN: influx.adminToken,
        PROGRAM_URL: "http://127.0.0.1:1",
        STORE_FILE: "",
      },
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const { stdout } = await child.output();
    const [report = "", peak = ""] = new TextDecoder().decode(stdout).split("\n");
    const { ok, totals } = JSON.parse(report);
    const took = (performance.now() - since) / 1000;
    tell(`${count} records: ${peak} MB at most, ${took.toFixed(1)} s, ${Math.round(count / took)} a second`);
    assertEquals([ok, totals.records, totals.missing], [false, count, Math.floor(count / 1000)]);
    assertGreater(Number(peak), 0);
    assertLess(Number(peak), MOST_MB);
  },
});

const CHILD = new URL("child.ts", import.meta.url).pathname;
