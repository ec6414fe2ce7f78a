// The demo as a newcomer meets it: ready soon, a day behind it, and each lever does what it says and heals.

import { assert, assertEquals, assertGreater } from "@std/assert";
import { tell, until } from "../integration/feed.ts";
import { seriousFindings } from "./axe.ts";
import { Chromium, type Tab } from "./chromium.ts";
import { Program } from "./program.ts";
import { assertClean, browserTest, drawnCandles } from "./scene.ts";

interface WireLever {
  readonly name: string;
  readonly title: string;
  readonly kind: "pulse" | "switch";
  readonly on?: boolean;
}

interface Counters {
  readonly received: number;
  readonly repeated: number;
  readonly rejected: Readonly<Record<string, number>>;
  readonly sinks: Readonly<Record<string, { readonly sent: number }>>;
}

/** Waits until a stage of the pipeline is at one of these levels. */
const stage = (tab: Tab, kind: string, levels: readonly string[]) =>
  tab.until(
    `a stage ${kind} is ${levels.join(" or ")}`,
    ([kind, levels]) => {
      const stages = [...document.querySelectorAll<HTMLElement>(`.stage-${kind}`)];
      return stages.some(({ dataset }) => levels.includes(dataset.level ?? "")) ||
        stages.map(({ innerText }) => innerText);
    },
    [kind, levels] as const,
  );

/** Waits until every stage is well. */
const healed = (tab: Tab) =>
  tab.until(
    "every stage of the pipeline is well, and the strip says live",
    () => {
      const ill = [...document.querySelectorAll<HTMLElement>(".stage")].filter(({ dataset }) =>
        dataset.level !== "good"
      );
      const truth = __page.strip();
      return ill.length === 0 && truth?.kind === "live" || [truth, ...ill.map(({ innerText }) => innerText)];
    },
  );

browserTest(
  "the demo: a banner, a day of history, the pipeline, and levers that do what they say and heal",
  async (t) => {
    await using chromium = await Chromium.start();
    const since = performance.now();
    await using program = await Program.start({ command: "demo" });
    await using visitor = await chromium.open({ viewport: { width: 1440, height: 900 } });
    const tab = await visitor.visit(`${program.url}/`);
    const { page } = tab;
    await tab.until(
      "the day is drawn",
      () => __page.candles().length > 900 || __page.candles().length,
    );
    const took = performance.now() - since;
    tell(`the demo with its day of history is on the screen after ${Math.round(took)} ms`);
    await tab.until("the day is whole, and prices come", () => __page.strip()?.kind === "live" || __page.strip());
    const status = async () => (await program.get<{ counters: Counters }>("/api/status")).counters;
    const lever = (name: string) => page.locator(`[data-lever="${name}"]`);
    const told = (wanted: string) =>
      tab.until(`it is told: ${wanted}`, (wanted) => {
        const text = document.getElementById("lever-result")?.textContent ?? "";
        return text === wanted || text;
      }, wanted);
    const { levers } = await program.get<{ levers: WireLever[] }>("/api/demo");
    const title = (name: string) => levers.find((lever) => lever.name === name)?.title ?? "";
    const tried = new Set<string>();
    const pull = async (name: string, on?: boolean) => {
      tried.add(name);
      await lever(name).click();
      await told(on === undefined ? `Done: ${title(name)}` : `${title(name)}: ${on ? "on" : "off"}`);
      if (on !== undefined) assertEquals(await lever(name).getAttribute("aria-checked"), String(on));
    };

    await t.step("banner, pipeline and levers are there, each lever with its words", async () => {
      assert(/simulated prices/i.test(await page.innerText("#banner")));
      await tab.until("ticks flow through the pipeline", () =>
        document.querySelectorAll(".stage").length >= 7 &&
        document.querySelector(".flow[data-flow=some], .flow[data-flow=much]") !== null);
      assertEquals(
        await page.evaluate(() =>
          [...document.querySelectorAll<HTMLElement>("[data-lever]")].map(({ dataset }) => dataset.lever)
        ),
        levers.map(({ name }) => name),
      );
      for (const words of await page.locator(".lever-words").allInnerTexts()) assertGreater(words.length, 60, words);
      await healed(tab);
    });

    await t.step("older candles come as one goes left, until there are no more", async () => {
      const stored = await program.get<{ time: number }[]>("/api/candles?product=ETH-USD&interval=1m&limit=10000");
      assertGreater(stored.length, 1300);
      await page.click('[data-product="ETH-USD"]');
      await page.focus("#chart");
      for (let i = 0; i < 5; i++) {
        await page.keyboard.press("Home");
        if (await page.evaluate(() => __page.candles().length) >= stored.length) break;
        await tab.until("more is drawn", (count) => __page.candles().length > count, (await drawnCandles(tab)).length);
      }
      const drawn = await drawnCandles(tab);
      assertEquals(
        drawn.slice(0, stored.length - 1).map(({ time }) => time),
        stored.slice(0, -1).map(({ time }) => time),
      );
      // new candles do not pull the view away; one click brings it back
      assert(await page.isVisible("#to-now"));
      await page.click("#to-now");
      await tab.until("the newest is in sight", () => document.getElementById("to-now")?.hidden === true);
    });

    await t.step("dragged to the right with the mouse, an interval of 15 s loads its older part too", async () => {
      await page.selectOption("#other-intervals", "5s").catch(() => {});
      await tab.until("it is loaded", () => __page.isLoaded() && __page.candles().length >= 500);
      const before = (await drawnCandles(tab)).length;
      const box = await page.locator("#chart").boundingBox();
      assert(box !== null);
      for (let i = 0; i < 12; i++) {
        await page.mouse.move(box.x + 60, box.y + 120);
        await page.mouse.down();
        await page.mouse.move(box.x + box.width - 120, box.y + 120, { steps: 4 });
        await page.mouse.up();
        if ((await drawnCandles(tab)).length > before) break;
      }
      await tab.until("more is drawn", (count) => __page.candles().length > count, before);
      await page.click('[data-value="1m"]');
    });

    await t.step("junk: decode is in trouble and says why; no price moves", async () => {
      const { rejected } = await status();
      await pull("junk");
      await stage(tab, "decode", ["bad"]);
      assert(/rejected/.test(await page.innerText(".stage-decode .stage-note")));
      const sum = (counts: Readonly<Record<string, number>>) =>
        Object.values(counts).reduce((total, count) => total + count, 0);
      assertGreater(sum((await status()).rejected), sum(rejected) + 15);
      await healed(tab);
    });

    await t.step("repeats: counted, not stored", async () => {
      const before = await status();
      await pull("repeats");
      await stage(tab, "decode", ["warn", "bad"]);
      assertGreater((await status()).repeated, before.repeated + 40);
      await healed(tab);
    });

    await t.step("out of order: what is drawn stays what is stored", async () => {
      const before = await status();
      await pull("outOfOrder");
      await until("the trades are received", async () => (await status()).received >= before.received + 17);
      await healed(tab);
    });

    await t.step("hang up: the socket is in trouble, the strip counts down, and it comes back", async () => {
      await pull("hangUp");
      await tab.until(
        "the strip counts down",
        () => /next try in \d+ s/.test(__page.strip()?.text ?? "") || __page.strip(),
      );
      await stage(tab, "socket", ["bad"]);
      await healed(tab);
      await tab.until(
        "the gap is shaded",
        () => __page.regions().some(({ gap }) => gap.reason === "link-closed") || __page.regions(),
      );
    });

    await t.step("one product stops: that one, and no other", async () => {
      const first = /^(\S+) stops$/.exec(title("loseProduct"))?.[1] ?? "";
      await pull("loseProduct", true);
      await tab.until(
        `${first} is stalled`,
        (product) => document.querySelector<HTMLElement>(`[data-product="${product}"]`)?.dataset.state === "stalled",
        first,
      );
      await stage(tab, "exchange", ["warn", "bad"]);
      assertEquals(await page.locator(".row[data-state=stalled]").count(), 1);
      await pull("loseProduct", false);
      await healed(tab);
    });

    await t.step(
      "slow disk and flood: the queue before the store rises, prices go on, and what the store loses is shaded at once",
      async () => {
        await pull("slowDisk", true);
        await pull("flood");
        await tab.until("the queue of the store rises", () => {
          const lanes = [...document.querySelectorAll<HTMLElement>(".branch")].find(({ innerText }) =>
            /store/.test(innerText)
          );
          const waiting = Number(/([\d,]+) wait/.exec(lanes?.innerText ?? "")?.[1]?.replaceAll(",", ""));
          return waiting > 1000 || lanes?.innerText;
        });
        const price = await page.innerText("#price");
        await tab.until(
          "the price moves on",
          (before) => document.getElementById("price")?.textContent !== before,
          price,
        );
        await tab.until(
          "the loss is shaded while the disk is still slow, and the candles that it touches are incomplete",
          () =>
            __page.regions().some(({ gap, open }) => gap.reason === "store-failed" && open) &&
              __page.candles().some(({ incomplete }) => incomplete) || __page.regions(),
        );
        await pull("slowDisk", false);
        await healed(tab);
        await tab.until(
          "the end of the gap and the number of lost ticks are known",
          () => {
            const lost = __page.regions().filter(({ gap }) => gap.reason === "store-failed");
            return lost.every(({ gap, open }) => !open && gap.dropped > 0) || lost;
          },
        );
      },
    );

    await t.step("silence: seen although no error tells, and it ends", async () => {
      await pull("silence", true);
      await tab.until(
        "the strip says that nothing comes",
        () => __page.strip()?.level === "bad" || __page.strip(),
      );
      await pull("silence", false);
      await healed(tab);
    });

    await t.step("delisted: refused in the exchange's words, the others live", async () => {
      await pull("wrongProduct");
      await tab.until(
        "one is refused",
        () => document.querySelectorAll(".row[data-state=refused]").length === 1,
      );
      await stage(tab, "exchange", ["warn"]);
      await tab.until("the strip says so", () => /^live.* refused /.test(__page.strip()?.text ?? "") || __page.strip());
    });

    await t.step("every lever was pulled", () => {
      assertEquals([...tried].toSorted(), levers.map(({ name }) => name).toSorted());
    });

    await t.step("what is drawn in the end is what is stored", async () => {
      await page.click('[data-product="BTC-USD"]');
      await until("the page shows what is stored", async () => {
        const stored = await program.get<{ time: number; close: number; ticks: number }[]>(
          "/api/candles?product=BTC-USD&interval=1m&limit=1000",
        );
        const text = (candles: readonly { time: number; close: number; ticks: number }[]) =>
          candles.slice(-900, -1).map(({ time, close, ticks }) => `${time} ${close} ${ticks}`).join("\n");
        return text(await drawnCandles(tab)) === text(stored);
      }, 20_000);
    });

    await t.step("axe finds nothing serious: both themes, wide and 360 px", async () => {
      for (const colorScheme of ["dark", "light"] as const) {
        await page.emulateMedia({ colorScheme });
        for (const width of [1440, 360]) {
          await page.setViewportSize({ width, height: 900 });
          assertEquals(await seriousFindings(tab), [], `${colorScheme} ${width} px`);
          assertEquals(
            await page.evaluate(() => document.documentElement.scrollWidth - document.body.clientWidth),
            0,
          );
        }
      }
    });
    assertClean({ chromium, tab });
  },
);

browserTest("a page elsewhere cannot pull the demo's levers", async () => {
  await using chromium = await Chromium.start();
  await using program = await Program.start({ command: "demo" });
  await using stranger = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () =>
      new Response('<!doctype html><link rel="icon" href="data:,"><title>elsewhere</title>', {
        headers: { "content-type": "text/html" },
      }),
  );
  await using visitor = await chromium.open();
  const tab = await visitor.visit(`http://127.0.0.1:${stranger.addr.port}/`);
  const tries = await tab.page.evaluate(async (url) => {
    const attempt = (init: RequestInit) =>
      fetch(url, { method: "POST", body: '{"on":true}', ...init }).then(({ status }) => status, () => "refused");
    return [
      await attempt({ headers: { "content-type": "application/json" } }),
      await attempt({ headers: { "content-type": "text/plain" } }),
      await attempt({ mode: "no-cors" }),
      await fetch(url.replace("/api/demo/levers/silence", "/api/products")).then(
        ({ status }) => status,
        () => "refused",
      ),
    ];
  }, `${program.url}/api/demo/levers/silence`);
  // an answer without CORS cannot be read; whether it did something is asked at the program
  assertEquals(tries[3], "refused");
  const { levers } = await program.get<{ levers: WireLever[] }>("/api/demo");
  assertEquals(levers.find(({ name }) => name === "silence")?.on, false);
  assertEquals(levers.filter(({ on }) => on === true), []);
});

browserTest(
  "the demo at first sight: nothing is missing between its day and now, and every lever is in view",
  async () => {
    await using chromium = await Chromium.start();
    await using program = await Program.start({ command: "demo" });
    await using visitor = await chromium.open({ viewport: { width: 1280, height: 800 } });
    const tab = await visitor.visit(`${program.url}/`);
    const { page } = tab;
    await tab.until(
      "every product is live, with its change of a day",
      () => {
        const rows = [...document.querySelectorAll<HTMLElement>(".row")].map(({ innerText }) => innerText);
        return rows.length === 8 && rows.every((row) => /\nlive[\s\S]*%$/.test(row)) || rows;
      },
    );
    await tab.until("each has a small line of a day", () => {
      const titles = [...document.querySelectorAll(".spark title")].map(({ textContent }) => textContent);
      return titles.length === 8 && titles.every((title) => title === "the last 24 h") || titles;
    });
    // a sum over the last candles falls when a new one begins
    await tab.until("it goes on", (before) => {
      const { time = 0, ticks = 0 } = __page.candles().at(-1) ?? {};
      return time > (before?.time ?? 0) || ticks > (before?.ticks ?? 0);
    }, await page.evaluate(() => __page.candles().at(-1)));
    assertEquals(await page.evaluate(() => __page.regions()), []);
    assertEquals(await page.evaluate(() => __page.candles().filter(({ incomplete }) => incomplete)), []);

    const seen = () =>
      page.evaluate(() =>
        [...document.querySelectorAll<HTMLElement>("[data-lever]")].filter((button) => {
          const { left, right, top, bottom } = button.getBoundingClientRect();
          return document.elementFromPoint((left + right) / 2, (top + bottom) / 2)?.closest("[data-lever]") === button;
        }).length
      );
    const levers = await page.locator("[data-lever]").count();
    assertGreater(levers, 8);
    assertEquals(await seen(), levers);
    for (const lever of await page.locator("[data-lever]").all()) {
      await lever.focus();
      const shown = await page.evaluate(() =>
        [...document.querySelectorAll<HTMLElement>(".lever-words")].flatMap((words) => {
          const { height, bottom } = words.getBoundingClientRect();
          return height > 0 ? [{ id: words.id, isWhole: bottom <= innerHeight }] : [];
        })
      );
      const name = await lever.getAttribute("data-lever");
      assertEquals(shown, [{ id: `lever-${name}`, isWhole: true }], "the words of the lever one stands on, whole");
    }
    // the lower pane has room for its name, its bars and its numbers
    const below = await page.locator("#chart tr").nth(2).boundingBox();
    assertGreater(below?.height ?? 0, 80);

    await page.setViewportSize({ width: 360, height: 740 });
    await page.click("#to-levers");
    await tab.until("the first lever is in view, and has the focus", () => {
      const button = document.querySelector("[data-lever]");
      const { top = -1, bottom = Infinity } = button?.getBoundingClientRect() ?? {};
      return top > 60 && bottom < innerHeight && document.activeElement === button;
    });
    await page.locator("[data-lever=flood]").scrollIntoViewIfNeeded();
    await page.click("[data-lever=silence]");
    await tab.until(
      "what comes of it is told in view, wherever one is",
      () => {
        const { top = -1 } = document.getElementById("strip-text")?.getBoundingClientRect() ?? {};
        return __page.strip()?.level === "bad" && top >= 0 && scrollY > 500;
      },
    );
    await page.click("[data-lever=silence]");
    await healed(tab);
    assertClean({ chromium, tab });
  },
);
