// `deno task screenshots`: takes the README's pictures anew, media/*.png, from the real page on simulated prices.

import { chromiumMissing } from "./chromium.ts";
import { Chromium } from "./chromium.ts";
import { Program } from "./program.ts";
import { openScene } from "./scene.ts";

const MEDIA = Deno.args[0] ?? new URL("../../media", import.meta.url).pathname;
const SIZE = { width: 1440, height: 900 };
const MINUTE = 60_000;

const say = (text: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));

const missing = chromiumMissing();
if (missing !== undefined) {
  say(`Cannot take pictures: ${missing}`);
  Deno.exit(2);
}
await Deno.mkdir(MEDIA, { recursive: true });

/** `dev` after a day, in which the line was once gone for half an hour. */
async function page(): Promise<void> {
  await using scene = await openScene({
    seed: 2,
    ticksPerSecond: 3,
    pastMs: 24 * 60 * MINUTE,
    interruptions: [{ beforeMs: 190 * MINUTE, lengthMs: 35 * MINUTE, reason: "link-closed" }],
    channel: "ticker",
    path: "/?product=BTC-USD&interval=5m",
    visitor: { viewport: SIZE, colorScheme: "dark" },
  });
  const { tab } = scene;
  await tab.until(
    "it is all there",
    () =>
      __page.candles().length > 200 && / away$/.test(__page.strip()?.text ?? "") &&
      [...document.querySelectorAll(".spark path")].every((path) => path.hasAttribute("d")),
    undefined,
    30_000,
  );
  await tab.page.screenshot({ path: `${MEDIA}/page.png` });
}

/** The demo a minute and a half after "Silence". */
async function demo(): Promise<void> {
  await using chromium = await Chromium.start();
  await using program = await Program.start({ command: "demo" });
  await using visitor = await chromium.open({ viewport: SIZE, colorScheme: "light" });
  const tab = await visitor.visit(`${program.url}/?product=BTC-USD&interval=30s`);
  await tab.until(
    "it is all there",
    () =>
      __page.candles().length > 200 && __page.strip()?.kind === "live" &&
      document.querySelector("[data-lever=silence]") !== null &&
      [...document.querySelectorAll(".spark path")].every((path) => path.hasAttribute("d")),
    undefined,
    60_000,
  );
  await tab.page.click("[data-lever=silence]");
  await tab.page.mouse.move(0, 0);
  await tab.until(
    "it counts down, and the gap is three candles long",
    () =>
      __page.regions().some(({ from, to, open }) => open && to - from > 90) &&
      /next try in \d/.test(__page.strip()?.text ?? "") &&
      document.querySelector(".stage-socket[data-level=bad]") !== null,
    undefined,
    180_000,
  );
  await tab.page.screenshot({ path: `${MEDIA}/demo.png` });
}

await page();
await demo();
for await (const { name } of Deno.readDir(MEDIA)) {
  say(`${MEDIA}/${name}: ${Math.round((await Deno.stat(`${MEDIA}/${name}`)).size / 1000)} kB`);
}
