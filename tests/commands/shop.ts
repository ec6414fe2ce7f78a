// A store to export and to back up, and where the commands' words go.

import { exportStore } from "../../src/commands/export.ts";
import type { Output } from "../../src/core/terminal.ts";
import { Store } from "../../src/store/store.ts";
import { Notebook } from "../fakes/log.ts";
import { filesSkipped, temporaryFolder } from "../store/files.ts";

export const skipped = filesSkipped();
export const never = new AbortController().signal;
export const NOW = Date.UTC(2026, 9, 4);

/** A store that is open, in a folder of its own. */
export interface Shop {
  readonly folder: string;
  readonly path: string;
  readonly store: Store;
}

/** A test with such a store. */
export function test(name: string, fn: (shop: Shop) => Promise<void>): void {
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

/** Keeps what it is given. */
export function output(onWrite: (text: string) => Promise<void> | void = () => {}) {
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

/** The lines of `deno task export`. */
export async function exported(path: string, ...args: string[]): Promise<string[]> {
  const out = output();
  await exportStore(args, path, out, NOW);
  return out.kept.text.split("\n").slice(0, -1);
}
