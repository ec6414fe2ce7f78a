// Telegraf's outputs: metrics never displace records, and a new token is picked up.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { tell, until } from "../integration/feed.ts";
import { TelegrafServer } from "../servers/telegraf.ts";
import { serverTest } from "../servers/test.ts";
import { chainMissing, produce, settle, startChain, TOPIC, waiting } from "./chain.ts";
import { pointCount } from "./points.ts";

const missing = chainMissing();

/** Whole seconds, an hour ago. */
const START = Math.floor(Date.now() / 1000) - 3600;

function records(from: number, count: number): string[] {
  return Array.from(
    { length: count },
    (_, i) => `{"product":"BTC-USD","w_time":${START + (from + i) / 100},"price":1}`,
  );
}

serverTest(missing, "Telegraf drops no record for a flood of metrics while InfluxDB is down", async () => {
  // one scrape has more metrics than the buffer for records can hold
  const series = Array.from({ length: 130_000 }, (_, i) => `flood{series="${i}"} ${i}\n`).join("");
  let [flooding, asked] = [true, 0];
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
    asked++;
    return new Response(flooding ? series : "calm 1\n", { headers: { "Content-Type": "text/plain; version=0.0.4" } });
  });
  await using chain = await startChain({ metrics: `http://127.0.0.1:${server.addr.port}/metrics` });
  const { kafka, influx, telegraf } = chain;
  await settle(chain);
  const before = asked;
  await influx.kill();
  await produce(kafka.broker, TOPIC, records(0, 20_000));
  await until("Telegraf holds the records", async () => await waiting(telegraf) >= 20_000);
  await until("metrics were dropped", async () => {
    return asked > before && /Metric buffer overflow/.test(await telegraf.log());
  }, 60_000);
  await influx.restart();
  await settle(chain);
  assertEquals(await pointCount(influx, ["BTC-USD"]), 20_000);
  assert(!/outputs\.influxdb_v2::records\] Metric buffer overflow/.test(await telegraf.log()));

  // metrics arrive again afterwards, including Telegraf's own
  flooding = false;
  const names = async () => {
    const rows = await influx.query(
      `import "influxdata/influxdb/schema" schema.measurements(bucket: "${influx.bucket}")`,
    );
    return rows.map(({ _value }) => _value);
  };
  const wanted = ["prometheus", "internal_write", "internal_gather"];
  await until(
    "metrics arrive",
    async () => (await names()).filter((name) => wanted.includes(String(name))).length === 3,
  );
});

serverTest(missing, "Telegraf picks up a new token while it runs, and loses nothing meanwhile", async () => {
  await using chain = await startChain();
  const { kafka, influx, telegraf } = chain;
  await produce(kafka.broker, TOPIC, records(0, 100));
  await settle(chain);
  await influx.deleteToken(chain.token);
  await produce(kafka.broker, TOPIC, records(100, 100));
  await until("Telegraf is refused", async () => /records\] .*401 Unauthorized/.test(await telegraf.log()));
  assertEquals(await pointCount(influx, ["BTC-USD"]), 100);
  const { pid } = telegraf;
  await telegraf.writeToken(await influx.createToken({ write: influx.bucket }));
  const since = performance.now();
  await settle(chain);
  tell(`picked up after ${Math.round(performance.now() - since)} ms`);
  assertEquals([await pointCount(influx, ["BTC-USD"]), telegraf.pid], [200, pid]);
});

serverTest(missing, "Telegraf reports its health, and does not start without INFLUX_ORG", async () => {
  await using chain = await startChain();
  await until("it says 200", async () => {
    const response = await fetch(chain.telegraf.healthUrl).catch(() => undefined);
    await response?.body?.cancel();
    return response?.status === 200;
  });
  const error = await TelegrafServer.start({ env: { INFLUX_ORG: "" } }).then(() => undefined, (error) => error);
  assertMatch(String(error), /required variable INFLUX_ORG is missing a value/);
});
