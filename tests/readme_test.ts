// Compares the documentation with the program: tables of settings, names of tasks, links, and sums.

import { assert, assertEquals } from "@std/assert";
import { SETTINGS } from "../src/config/config.ts";
import { anchorOf } from "../src/stack/dashboards/alerts.ts";

const readable = Deno.permissions.querySync({ name: "read", path: "README.md" }).state === "granted";
const skipped = readable ? "" : " [skipped: needs --allow-read]";
const readme = readable ? Deno.readTextFileSync(new URL("../README.md", import.meta.url)) : "";
const settingsPage = readable ? Deno.readTextFileSync(new URL("../docs/settings.md", import.meta.url)) : "";

const root = new URL("../", import.meta.url);
const pages = readable
  ? ["README.md", ...[...Deno.readDirSync(new URL("docs", root))].map(({ name }) => `docs/${name}`)]
  : [];

/** The trimmed cells of a table's rows. */
function rowsOf(markdown: string): string[][] {
  return markdown.trim().split("\n").map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
}

Deno.test({
  name: `docs/settings.md describes every setting as config.ts does${skipped}`,
  ignore: !readable,
  fn() {
    const table = /<!-- settings -->([\s\S]*?)<!-- \/settings -->/.exec(settingsPage)?.[1] ?? "";
    const [, , ...rows] = rowsOf(table);
    const wanted = SETTINGS.map(({ name, default: value, meaning, expected }) => [
      `\`${name}\``,
      value === "" ? "none" : `\`${value}\``,
      `${meaning} (${expected})`,
    ]);
    const asMarkdown = wanted.map((row) => `| ${row.join(" | ")} |`).join("\n");
    assertEquals(
      rows,
      wanted,
      `the table should be:\n\n| setting | default | meaning |\n| --- | --- | --- |\n${asMarkdown}\n`,
    );
  },
});

Deno.test({
  name: `README's table of settings has the defaults of config.ts${skipped}`,
  ignore: !readable,
  fn() {
    const table = /^## Settings\n[^|]*((?:\|.*\n)+)/m.exec(readme)?.[1] ?? "";
    const [, , ...rows] = rowsOf(table);
    assertEquals(rows.length, 8);
    for (const [name, value] of rows) {
      const setting = SETTINGS.find((each) => `\`${each.name}\`` === name);
      assert(setting, `README: ${name} is not a setting`);
      const wanted = setting.name === "COINBASE_PRODUCTS"
        ? `${setting.default.split(",").length === 8 ? "eight" : "?"} products`
        : setting.default === ""
        ? "none"
        : `\`${setting.default}\``;
      assertEquals(value, wanted, name);
    }
  },
});

Deno.test({
  name: `documentation names only tasks of deno.json and benches of tests/bench/main.ts${skipped}`,
  ignore: !readable,
  fn() {
    const { tasks } = JSON.parse(Deno.readTextFileSync(new URL("deno.json", root)));
    const text = pages.map((page) => Deno.readTextFileSync(new URL(page, root))).join("\n");
    const named = [...text.matchAll(/(?:deno|deno@[\d.]+) task ([a-z:]+)/g)].map((match) => match[1] ?? "");
    assert(named.length > 5);
    assertEquals(named.filter((name) => !Object.hasOwn(tasks, name)), []);
    for (const [name, task] of Object.entries(tasks)) {
      assert((task as { description?: string }).description, `task ${name} has no description`);
    }
    const benches = [...text.matchAll(/deno task bench ([a-z]+)/g)].map((match) => match[1] ?? "");
    assert(benches.length > 1);
    const source = Deno.readTextFileSync(new URL("tests/bench/main.ts", root));
    assertEquals(benches.filter((name) => !source.includes(`\n  ${name}: "`)), []);
  },
});

/** The anchors that GitHub generates from the headings of a page. */
function anchorsOf(markdown: string): string[] {
  return [...markdown.replace(/^```[\s\S]*?^```/gm, "").matchAll(/^#+ (.+)$/gm)]
    .map(([, heading]) => anchorOf(heading ?? ""));
}

Deno.test({
  name: `documentation: every picture has an alternative text, and every linked file and heading exists${skipped}`,
  ignore: !readable,
  fn() {
    const pictures = new Set<string>();
    for (const page of pages) {
      const markdown = Deno.readTextFileSync(new URL(page, root));
      for (const [, picture, text, target] of markdown.matchAll(/(!?)\[([^\]]*)\]\(([^)\s]+)\)/g)) {
        if (/^https?:/.test(target ?? "")) continue;
        const [path, anchor] = (target ?? "").split("#");
        const file = path === "" ? new URL(page, root) : new URL(path ?? "", new URL(page, root));
        assert(Deno.statSync(file), `${page}: ${target}`);
        if (anchor !== undefined) {
          assert(anchorsOf(Deno.readTextFileSync(file)).includes(anchor), `${page}: no heading for ${target}`);
        }
        if (picture === "!") {
          assert((text ?? "").length > 20, `${page}: ${target} has no alternative text`);
          pictures.add(file.pathname.replace(root.pathname, ""));
        }
      }
    }
    const media = [...Deno.readDirSync(new URL("media", root))].map(({ name }) => `media/${name}`);
    assertEquals([...pictures].sort(), media.sort(), "pictures that pages show");
  },
});

Deno.test({
  name: `docs/reliability.md has totals that are the sums of the rounds${skipped}`,
  ignore: !readable,
  fn() {
    const [, ...lines] = Deno.readTextFileSync(new URL("docs/reliability-rounds.csv", root)).trim().split("\n");
    // only the faults and remarks contain commas, and then they are quoted
    const rounds = lines.map((line) => line.replace(/"[^"]*"/g, "").split(","));
    const table = /^\| seed .*\n((?:\|.*\n)+)/m.exec(Deno.readTextFileSync(new URL("docs/reliability.md", root)))?.[1];
    const [, ...rows] = rowsOf((table ?? "").replaceAll(/[*]/g, ""));
    assertEquals(rows.map(([seed]) => seed), ["7", "2026", "31", "all"]);
    const number = (text: string | undefined) => Number(text?.replaceAll(",", ""));
    for (const [seed, count, , sent, kafka, influx, store, declared, undeclared, repeats] of rows) {
      const own = rounds.filter((round) => seed === "all" || round[0] === seed);
      const sums = Array.from({ length: 9 }, (_, i) => own.reduce((sum, round) => sum + number(round[i + 3]), 0));
      assertEquals(
        [count, sent, kafka, influx, store, ...(declared ?? "").split(" / "), undeclared, repeats].map(number),
        [own.length, ...sums],
        `seed ${seed}`,
      );
    }
  },
});
