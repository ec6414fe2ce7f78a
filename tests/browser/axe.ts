/// <reference lib="dom" />
// axe-core on a page: what keeps people with other eyes, hands or programs out, as far as a program can find it.

import type {} from "axe-core";
import type { Tab } from "./chromium.ts";

/** A finding of the kind that must not be there. */
export interface Finding {
  /** axe's name of the rule. */
  readonly rule: string;
  /** serious or critical. */
  readonly impact: string;
  /** What it asks for. */
  readonly help: string;
  /** Where, and what exactly. */
  readonly nodes: readonly string[];
}

/** The serious and critical findings on the page as it is now. */
export async function seriousFindings({ page }: Tab): Promise<Finding[]> {
  const { default: axe } = await import("axe-core");
  // over the debugger and not as a script of the page, which its policy would forbid
  if (!await page.evaluate(() => "axe" in globalThis)) await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() =>
    (globalThis as unknown as { axe: typeof import("axe-core") }).axe.run()
  );
  return violations.filter(({ impact }) => impact === "serious" || impact === "critical").map((violation) => ({
    rule: violation.id,
    impact: violation.impact ?? "",
    help: violation.help,
    nodes: violation.nodes.map(({ target, failureSummary }) =>
      `${target.join(" ")}: ${(failureSummary ?? "").split("\n").slice(1).join("; ").trim()}`
    ),
  }));
}
