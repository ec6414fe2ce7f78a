// A short form of `deno task chaos`: two rounds in which every part fails once.

import { assertEquals, assertGreater } from "@std/assert";
import { chainMissing } from "../chain/chain.ts";
import { tell } from "../integration/feed.ts";
import type { Fault } from "./faults.ts";
import { runChaos } from "./rounds.ts";
import { programMissing, serverTest } from "../servers/test.ts";

const missing = chainMissing() ??
  programMissing();

const PLAN: readonly (readonly Fault[])[] = [
  [
    { victim: "exchange", kind: "junk", afterMs: 1000, ms: 4000 },
    { victim: "Kafka", kind: "killed", afterMs: 2000, ms: 3000 },
    { victim: "disk", kind: "locked", afterMs: 3000, ms: 5000 },
    { victim: "connection", kind: "half", afterMs: 7000, ms: 6000 },
  ],
  [
    { victim: "InfluxDB", kind: "frozen", afterMs: 1000, ms: 8000 },
    { victim: "Telegraf", kind: "killed", afterMs: 2000, ms: 2000 },
    { victim: "exchange", kind: "killed", afterMs: 3000, ms: 2000 },
    { victim: "program", kind: "killed", afterMs: 7000, ms: 2000 },
  ],
];

serverTest(missing, "runChaos() loses nothing undeclared in two rounds with faults of every part", async () => {
  const rounds = await runChaos({ seed: 11, rounds: PLAN.length, plan: PLAN, say: tell });
  assertEquals(rounds.flatMap(({ wrong }) => wrong), []);
  assertEquals(rounds.length, PLAN.length);
  for (const { result } of rounds) assertGreater(result?.sent ?? 0, 500);
});
