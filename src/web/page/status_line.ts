// The status line of the page: one sentence from the last status and the state of the page's connection. Pure.

import { awayText } from "./format.ts";
import { wholeSecondsText } from "../../core/duration.ts";
import type { WireState, WireStatus } from "./wire.ts";

/** How serious the status is. */
export type Level = "good" | "warn" | "bad";

/** The status line. */
export interface StatusLine {
  /** See {@link Level}. */
  readonly level: Level;
  /** One word for the kind of status: it stays the same while only numbers in the text change. */
  readonly kind: string;
  /** The sentence. */
  readonly text: string;
}

/** The page's connection to its server; times are the browser's clock, ms. */
export interface ServerLink {
  /** Events arrive. */
  readonly connected: boolean;
  /** When `connected` changed. */
  readonly since: number;
  /** When the next attempt is made, while there is no connection. */
  readonly nextTry?: number | undefined;
}

/** What {@link statusLine} needs. */
export interface StatusInput {
  /** See {@link ServerLink}. */
  readonly link: ServerLink;
  /** The last status. */
  readonly status: WireStatus | undefined;
  /** When it came, the browser's clock, ms. */
  readonly statusAt: number;
  /** The state of each product. */
  readonly states: Iterable<WireState>;
  /** The browser's clock, ms. */
  readonly now: number;
}

const SINK_TITLES: Readonly<Record<string, string>> = {
  sqlite: "store",
  live: "open pages",
  kafka: "Kafka",
  stdout: "output",
};

/** The name of a sink on the page. */
export function sinkTitle(name: string): string {
  return SINK_TITLES[name] ?? name;
}

function nextTry(seconds: number | undefined): string {
  return seconds === undefined ? "" : `, next try in ${wholeSecondsText(Math.ceil(Math.max(0, seconds)))}`;
}

/** Up to two names, and how many more. */
function names(products: readonly string[]): string {
  const [first = "", second] = products;
  if (second === undefined) return first;
  return products.length === 2 ? `${first} and ${second}` : `${first} and ${products.length - 1} others`;
}

/** The most serious trouble comes first. */
export function statusLine({ link, status, statusAt, states, now }: StatusInput): StatusLine {
  if (!link.connected || status === undefined) return connectionLine(link, status !== undefined, now);
  const elapsed = Math.max(0, now - statusAt) / 1000;
  const { exchange, clockTrouble, lastTrouble, nextTrySeconds, lastFrameSeconds, delaySeconds, historyDone } = status;
  if (historyDone !== undefined) {
    return { level: "warn", kind: "history", text: `making a day of history, ${Math.floor(historyDone * 100)} %` };
  }
  if (status.link !== "open") {
    const since = lastFrameSeconds === undefined
      ? `no data from ${exchange} yet`
      : `no data from ${exchange} for ${wholeSecondsText(lastFrameSeconds + elapsed)}`;
    if (status.link === "silent") return { level: "bad", kind: "silent", text: `${since}, although connected` };
    const next = nextTry(nextTrySeconds === undefined ? undefined : nextTrySeconds - elapsed);
    const first = lastFrameSeconds === undefined && lastTrouble === undefined && nextTrySeconds === undefined;
    if (first) return { level: "warn", kind: "connecting", text: `connecting to ${exchange}` };
    const why = lastTrouble === undefined ? "" : ` (${lastTrouble})`;
    return { level: "bad", kind: "closed", text: `${since}${next || ", connecting"}${why}` };
  }
  if (clockTrouble !== undefined) return { level: "bad", kind: "clock", text: clockTrouble };
  const live = delaySeconds === undefined ? `live from ${exchange}` : `live, ${exchange} ${awayText(delaySeconds)}`;
  const troubles: { readonly kind: string; readonly level: Level; readonly text: string }[] = [];
  for (const { name, state, trouble } of status.sinks) {
    if (state === "ok") continue;
    const title = sinkTitle(name);
    const text = state === "connecting" ? `${title} is not ready yet` : `trouble with ${title}`;
    troubles.push({ kind: name, level: "bad", text: trouble === undefined ? text : `${text}: ${trouble}` });
  }
  const stalled: string[] = [];
  const refused: string[] = [];
  let accepted = 0;
  for (const { product, state } of states) {
    if (state === "refused") refused.push(product);
    else accepted++;
    if (state === "stalled") stalled.push(product);
  }
  if (stalled.length > 0 && stalled.length === accepted) {
    return { level: "bad", kind: "stalled", text: `connected, but ${exchange} sends no prices` };
  }
  if (stalled.length > 0) {
    troubles.push({ kind: "stalled", level: "warn", text: `${exchange} sends no more ticks of ${names(stalled)}` });
  }
  if (refused.length > 0) {
    troubles.push({ kind: "refused", level: "warn", text: `${exchange} refused ${names(refused)}` });
  }
  const [worst] = troubles;
  if (worst === undefined) return { level: "good", kind: "live", text: live };
  return {
    level: worst.level,
    kind: troubles.map(({ kind }) => kind).join(),
    text: [live, ...troubles.map(({ text }) => text)].join("; "),
  };
}

function connectionLine({ connected, since, nextTry: at }: ServerLink, wasThere: boolean, now: number): StatusLine {
  const seconds = (now - since) / 1000;
  if (connected || (!wasThere && seconds < 3)) {
    return { level: "warn", kind: "opening", text: "connecting to the program" };
  }
  const next = nextTry(at === undefined ? undefined : (at - now) / 1000);
  const text = wasThere && seconds < 2
    ? "the program closed the connection; reconnecting"
    : wasThere
    ? `no answer from the program for ${wholeSecondsText(seconds)}${next || ", trying"}`
    : `the program does not answer${next || ", trying"}`;
  return { level: "bad", kind: "away", text };
}
