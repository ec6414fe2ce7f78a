// The audit as a process of its own, which tells its peak memory (MB) at the end.

import { runAudit } from "../../src/commands/audit.ts";
import { stdio } from "../../src/commands/command.ts";

const { write } = stdio;
const environment = { values: Deno.env.toObject(), readFile: (path: string) => Deno.readTextFileSync(path) };
await runAudit(Deno.args, environment, { write, tell: () => {} }, new AbortController().signal, "/nowhere");
const [, peak = "0"] = /VmHWM:\s+(\d+) kB/.exec(await Deno.readTextFile("/proc/self/status")) ?? [];
await write(`${Math.round(Number(peak) / 1000)}\n`);
// whatever a library still holds open must not keep the process
Deno.exit(0);
