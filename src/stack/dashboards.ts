// `deno task dashboards`: generates Grafana's dashboards and alert rules. The files are committed; a test checks that they are
// up to date.

import { RULES } from "./dashboards/alerts.ts";
import { PIPELINE } from "./dashboards/pipeline.ts";
import { PRICES } from "./dashboards/prices.ts";

/** Texts by path, below grafana-provisioning. */
export const FILES: Readonly<Record<string, string>> = {
  "alerting/rules.yaml": RULES,
  "dashboards/json/pipeline.json": `${JSON.stringify(PIPELINE, null, 2)}\n`,
  "dashboards/json/prices.json": `${JSON.stringify(PRICES, null, 2)}\n`,
};

if (import.meta.main) {
  for (const [path, text] of Object.entries(FILES)) {
    await Deno.writeTextFile(new URL(`../../grafana-provisioning/${path}`, import.meta.url), text);
  }
}
