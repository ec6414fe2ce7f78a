// Loaded before the program (`deno run --preload`): logs how many timers are set, which is not visible from outside.

import process from "node:process";

const EVERY_MS = 5000;
const encoder = new TextEncoder();

const own = setInterval(() => {
  const timers = process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const { heapUsed } = Deno.memoryUsage();
  const line = JSON.stringify({ level: "debug", message: "Vitals", timers: timers - 1, heapUsed });
  Deno.stderr.writeSync(encoder.encode(`${line}\n`));
}, EVERY_MS);
// must not keep the program from ending
Deno.unrefTimer(own);
