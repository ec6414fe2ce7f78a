/// <reference lib="dom" />
// The page: builds its parts, and hands on what comes from the stream, the API and the user.

import { type Interval, intervalMs, INTERVALS } from "../../core/candle.ts";
import { api, messageOf } from "./api.ts";
import { type Below, Chart } from "./chart.ts";
import { ChartData } from "./chart_data.ts";
import { atMostFiveTimes, byId, make, remember, remembered, setAttribute, setText } from "./dom.ts";
import { browserClock } from "./event_stream.ts";
import { ageText, changeText, lengthOf, priceText, REASON_TEXTS, volumeText, windowText, type Zone } from "./format.ts";
import { wholeSecondsText } from "../../core/duration.ts";
import type { Region } from "./gap_regions.ts";
import type { HubMessage } from "./hub.ts";
import { loadLevers } from "./levers_view.ts";
import { PipelineStatus } from "./pipeline.ts";
import { drawNumbers, drawPipeline } from "./pipeline_view.ts";
import { indexFrom } from "./search.ts";
import { queryOf, type Selection, selectionOf, type Style, STYLES } from "./selection.ts";
import { loadSpark } from "./sparkline.ts";
import { openStream } from "./stream_client.ts";
import { type ServerLink, type Truth, truthOf } from "./truth.ts";
import { signOf, stateWord, WatchList } from "./watch_list.ts";
import {
  candlesOf,
  productsOf,
  type WireCandle,
  type WireCandleEvent,
  type WireGap,
  type WireReset,
  type WireStatus,
  type WireTick,
} from "./wire.ts";

/** What tests may look at, as `window.__page`. */
export interface PageView {
  /** The candles as the chart has them, in order of time. */
  candles(): WireCandle[];
  /** The shaded gaps as the chart has them. */
  regions(): readonly Region[];
  /** What the strip says. */
  strip(): Truth | undefined;
  /** What the user looks at. */
  selection(): Selection & { below: Below; zone: Zone };
  /** The chart shows what the server told of the selection. */
  isLoaded(): boolean;
  /** How many candles have room in the chart as it is zoomed now. */
  room(): number;
  /** Streams come through a SharedWorker. */
  isShared(): boolean;
  /** How often the page was drawn. */
  draws(): number;
}

declare global {
  var __page: PageView;
}

/** The shortest interval with a button of its own: a channel of samples sends six in 30 s, and fewer make a candle a dash. */
const SHORTEST = { ticks: "15s", samples: "30s" } as const;
/** Intervals with a button; the others are behind "more". */
const BUTTON_INTERVALS: readonly Interval[] = ["1m", "5m", "15m", "1h", "4h", "1d"];
/** With fewer candles most of the chart is empty. */
const YOUNG_CANDLES = 12;
const BELOWS: readonly Below[] = ["ticks", "volume"];

const pipeline = new PipelineStatus();
const notice = byId("notice");

/** Parts of the legend; those in the middle are told with their names. */
const LEGEND = ["window", "open", "high", "low", "close", "ticks", "volume", "running", "incomplete", "none"] as const;
type LegendPart = typeof LEGEND[number];
const NAMED: readonly LegendPart[] = ["open", "high", "low", "close", "ticks", "volume"];
const legendParts = new Map(LEGEND.map((name) => {
  const value = make("span");
  const words = NAMED.includes(name) ? [make("span", "name", name), " ", value] : [value];
  const part = make("span", `part ${name}`, ...words);
  part.hidden = true;
  // the space is for those who hear it
  byId("legend").append(part, " ");
  return [name, { part, value }];
}));

let zone: Zone = remembered("zone") === "UTC" ? "UTC" : "local";
let below: Below = remembered("below") === "volume" ? "volume" : "ticks";
let selection: Selection = selectionOf(location.search);
let link: ServerLink = { connected: false, since: Date.now() };
let status: WireStatus | undefined;
let statusAt = 0;
let truth: Truth | undefined;
let serverAhead = 0;
let history: ChartData | undefined;
let looked: number | undefined;
let isKeyed = false;
let listTrouble: string | undefined;
let draws = 0;
let isNumbersOpen = false;
let secondPassed = true;
let shortest: typeof SHORTEST[keyof typeof SHORTEST] | undefined;

const chart = new Chart({
  element: byId("chart"),
  onLook: (time, byKey) => {
    looked = time;
    isKeyed = byKey && time !== undefined;
    drawLegend();
  },
  onLeftEnd: () => void history?.loadOlder(),
  onNow: (isInSight) => byId("to-now").hidden = isInSight,
}, zone);

const watchList = new WatchList({
  onChoose: (product) => choose({ product }),
  onChange: () => requestDraw(),
  loadSpark: (product) =>
    loadSpark(async (interval, limit) => {
      const query = new URLSearchParams({ product, interval, limit: String(limit) });
      return candlesOf(await api(`api/candles?${query}`));
    }),
});

const requestDraw = atMostFiveTimes(draw);
const stream = openStream(take);

/** Takes a message of the hub. */
function take(message: HubMessage): void {
  if (message.kind === "link") {
    link = message.link;
    secondPassed = true;
    // after a break: how old prices are, and whether the product is still followed
    if (link.connected || link.nextTry !== undefined) void loadProducts();
  } else if (message.kind === "open") history?.refresh();
  else takeEvent(message.name, message.data);
  requestDraw();
}

function takeEvent(name: string, data: unknown): void {
  const now = Date.now();
  if (name === "tick") watchList.add([data as WireTick], now, serverAhead);
  else if (name === "candle") history?.addCandle(data as WireCandleEvent);
  else if (name === "gap") history?.addGap(data as WireGap);
  else if (name === "status") takeStatus(data as WireStatus, now);
  else if (name === "reset") takeReset(data as WireReset);
}

/** The stream has left something out. */
function takeReset({ product, interval }: WireReset): void {
  if (product === undefined) void loadProducts();
  if (product === undefined || product === history?.product && interval === history.interval) history?.refresh();
}

function takeStatus(next: WireStatus, now: number): void {
  if (next.products !== undefined) watchList.setStates(next.products);
  const isFirst = status === undefined;
  const wasGrowing = status?.historyDone !== undefined;
  status = next;
  statusAt = now;
  serverAhead = next.now * 1000 - now;
  pipeline.add(next);
  drawIntervals(next.channel === "ticker_batch" ? SHORTEST.samples : SHORTEST.ticks);
  const isDemo = next.demo;
  if (document.body.classList.contains("demo") !== isDemo || isFirst) {
    document.body.classList.toggle("demo", isDemo);
    for (const id of ["banner", "levers"]) byId(id).hidden = !isDemo;
    drawNumbersPanel();
    if (isDemo) void loadLevers();
  }
  if (next.historyDone !== undefined || wasGrowing) {
    // the day of the demo is being written: prices and candles are those of the moment
    void loadProducts();
    history?.refresh();
    if (next.historyDone === undefined) watchList.reloadSparks();
  }
  secondPassed = true;
}

let loadingProducts = false;
let productsAttempt = 0;
let productsTimer: ReturnType<typeof setTimeout> | undefined;

async function loadProducts(): Promise<void> {
  if (loadingProducts) return;
  loadingProducts = true;
  clearTimeout(productsTimer);
  try {
    const requestedAt = Date.now();
    watchList.setProducts(productsOf(await api("api/products")), requestedAt);
    listTrouble = undefined;
    productsAttempt = 0;
    if (selection.product === undefined || !watchList.products.includes(selection.product)) firstProduct();
    else if (followed !== selection.product) follow(selection.product);
  } catch (error) {
    listTrouble = `Cannot load the list of products: ${messageOf(error)}`;
    productsTimer = setTimeout(() => void loadProducts(), Math.min(10_000, 1000 * 2 ** productsAttempt++));
  } finally {
    loadingProducts = false;
  }
  requestDraw();
}

let followed: string | undefined;

/** Its candles come from now on; the server must have it, or it would refuse the stream of all windows. */
function follow(product: string): void {
  followed = product;
  stream.show(product, selection.interval);
}

/** Nobody has chosen a product, or one that is not there. */
function firstProduct(): void {
  const [product] = watchList.products;
  const wanted = selection.product;
  if (product === undefined) return;
  show({ ...selection, product });
  globalThis.history.replaceState(null, "", queryOf(selection));
  if (wanted !== undefined) say(`There is no product ${wanted}. This is ${product}.`);
}

/** What the user chose; the URL remembers. */
function choose(change: Partial<Selection>): void {
  const next = { ...selection, ...change };
  if (queryOf(next) === queryOf(selection)) return;
  show(next);
  globalThis.history.pushState(null, "", queryOf(next));
}

/** Shows it. */
function show(next: Selection): void {
  const { product, interval, style } = next;
  const isOther = history?.product !== product || history?.interval !== interval;
  selection = next;
  chart.setStyle(style);
  byId("main").dataset["style"] = style;
  pressIntervals();
  press("style", style);
  watchList.choose(product);
  if (isOther && product !== undefined) {
    history?.close();
    said = "";
    looked = undefined;
    chart.reset(interval);
    // before the list is there, candles of what the URL names are asked for beside it
    if (watchList.products.includes(product)) follow(product);
    let isAwaited = true;
    history = new ChartData({
      product,
      interval,
      ask: (path, signal) => api(path, { signal }),
      messageOf,
      onChange: () => {
        if (!isAwaited || history?.isLoaded !== true) return requestDraw();
        // somebody waits for the first candles
        isAwaited = false;
        draw();
      },
      clock: browserClock,
      serverAhead: () => serverAhead,
    });
    if (scrollY > 0) byId("main").scrollIntoView({ block: "start" });
  }
  draw();
}

let said = "";

/** Says something to the user until another product is chosen. */
function say(text: string): void {
  said = text;
  requestDraw();
}

function draw(): void {
  // what nobody sees is drawn when it is seen
  if (document.visibilityState !== "visible") return;
  draws++;
  const now = Date.now();
  const all = secondPassed;
  secondPassed = false;
  watchList.draw(now, all, link.connected);
  drawHead(now);
  const drawing = history?.draw();
  if (history !== undefined && drawing !== undefined) {
    for (const { open, high, low, close } of drawing.all ? drawing.candles : drawing.changed) {
      for (const price of [open, high, low, close]) watchList.seePrice(history.product, price);
    }
    chart.setDigits(watchList.digits(history.product));
    chart.draw(drawing);
    drawLegend();
  }
  drawNotice();
  if (all) drawStatus(now);
}

function drawStatus(now: number): void {
  const states = watchList.states;
  drawStrip(truthOf({ link, status, statusAt, states, now }));
  if (status === undefined) return;
  setAttribute(byId("pipeline-panel"), "data-current", link.connected ? undefined : "no");
  const picture = isNumbersOpen || status.demo ? pipeline.picture(states, link.connected) : undefined;
  if (picture !== undefined) drawPipeline(byId("pipeline"), picture);
  if (isNumbersOpen) drawNumbers(byId("numbers-tables"), pipeline.numbers(link.connected));
  byId("samples").hidden = status.channel !== "ticker_batch";
  setText(byId("samples-exchange"), status.exchange);
}

/** The line that says how things are: seen each second, read aloud only when another sentence is shown. */
function drawStrip(next: Truth): void {
  if (next.kind !== truth?.kind) setText(byId("strip-spoken"), next.text);
  truth = next;
  setText(byId("strip-text"), next.text);
  setAttribute(byId("strip"), "title", next.text);
  setAttribute(byId("strip"), "data-level", next.level);
}

function drawHead(now: number): void {
  const { product } = selection;
  const known = product === undefined ? undefined : watchList.known(product);
  const price = known?.price === undefined || product === undefined
    ? "–"
    : priceText(known.price, watchList.digits(product));
  setText(byId("product"), product ?? "");
  setText(byId("price"), price);
  const change = byId("change");
  setText(change, known?.change24h === undefined ? "" : `${changeText(known.change24h)} in 24 h`);
  setAttribute(change, "data-sign", known?.change24h === undefined ? undefined : signOf(known.change24h));
  const age = product === undefined ? undefined : watchList.age(product, now);
  const state = link.connected ? known?.state ?? "waiting" : "unknown";
  const words = {
    unknown: "",
    live: "",
    waiting: known === undefined || (known.note === undefined && age === undefined)
      ? "no price yet"
      : `${stateWord(known)}; `,
    quiet: "no trades now; ",
    stalled: "no more ticks from the exchange; ",
    refused: `refused by the exchange${known?.refused === undefined ? "" : ` (${known.refused})`}; `,
  }[state];
  const last = age === undefined ? "" : age < 2 ? "last tick now" : `last tick ${ageText(age)} ago`;
  const ageElement = byId("age");
  setText(ageElement, `${words}${last}`.replace(/; $/, ""));
  setAttribute(ageElement, "title", ageElement.textContent ?? "");
  setAttribute(ageElement, "data-state", state);
  const title = product === undefined ? "Prices" : `${price} ${product}`;
  if (document.title !== title) document.title = title;
}

/** The candle under the crosshair in words, or the newest. */
function drawLegend(): void {
  if (history === undefined) return;
  const { candles, product, interval } = history;
  const digits = watchList.digits(product);
  const candle = looked === undefined ? candles.at(-1) : candles[indexFrom(candles, looked)];
  const time = looked ?? candle?.time;
  const isCandle = candle !== undefined && candle.time === time;
  const texts: Record<LegendPart, string> = {
    window: time === undefined ? "" : windowText(time, interval, zone),
    open: isCandle ? priceText(candle.open, digits) : "",
    high: isCandle ? priceText(candle.high, digits) : "",
    low: isCandle ? priceText(candle.low, digits) : "",
    close: isCandle ? priceText(candle.close, digits) : "",
    ticks: isCandle ? String(candle.ticks) : "",
    volume: !isCandle ? "" : candle.volume === undefined ? "not told" : volumeText(candle.volume),
    running: isCandle && candle.running ? "running" : "",
    incomplete: isCandle && candle.incomplete ? "incomplete" : "",
    none: time !== undefined && !isCandle ? "no candle" : "",
  };
  for (const [name, { part, value }] of legendParts) {
    part.hidden = texts[name] === "";
    setText(value, texts[name]);
  }
  setAttribute(byId("legend"), "data-length", lengthOf(texts.close));
  if (isKeyed) setText(byId("chart-spoken"), legendText());
  drawGapNote(looked === undefined ? undefined : time, interval);
}

/** The legend as it is read out. */
function legendText(): string {
  return [...legendParts.values()].filter(({ part }) => !part.hidden).map(({ part }) => part.textContent).join(" ");
}

/** The gaps that touch the candle under the crosshair. */
function drawGapNote(time: number | undefined, interval: Interval): void {
  const end = (time ?? NaN) + intervalMs(interval) / 1000;
  const gaps = time === undefined ? [] : chart.regions.filter(({ from, to }) => from < end && to >= time);
  const texts = gaps.slice(0, 3).map(({ gap, from, to, open }) => {
    const known = gap.dropped > 0 ? `, ${gap.dropped} ticks known to be lost` : "";
    return `Gap: ${REASON_TEXTS[gap.reason]}, ${open ? "for" : "lasted"} ${wholeSecondsText(to - from)}${known}`;
  });
  const note = byId("gap-note");
  setText(note, texts.join(" · "));
  note.hidden = texts.length === 0;
}

function drawNotice(): void {
  // whether what the URL names is there at all, the list tells
  const isKnown = history !== undefined && watchList.products.includes(history.product);
  const historyTrouble = isKnown && history?.trouble !== undefined
    ? `Cannot load the candles: ${history.trouble}`
    : undefined;
  // the strip says it if the program does not answer at all
  const trouble = link.connected ? listTrouble ?? historyTrouble : undefined;
  let text = said;
  if (trouble !== undefined) text = `${trouble}. Trying again.`;
  else if (history !== undefined && (!history.isLoaded || !isKnown)) {
    text = history.candles.length === 0 ? "Loading…" : "";
  } else {
    if (history !== undefined && history.candles.length === 0) text = `No prices of ${history.product} yet.`;
    // too long for the strip
    if (status?.hint !== undefined) text = `${text} ${status.hint}.`.trimStart();
  }
  setText(notice, text);
  notice.hidden = text === "";
  setAttribute(notice, "data-level", trouble === undefined ? undefined : "bad");
  drawYoung();
}

/** A chart that is nearly empty says why. */
function drawYoung(): void {
  const young = byId("young");
  const count = history?.hasAll ? history.candles.length : 0;
  const isShort = intervalMs(selection.interval) <= intervalMs(shortest ?? SHORTEST.ticks);
  setText(young, `Nothing older is stored yet.${isShort ? "" : " Shorter candles show more."}`);
  young.hidden = count === 0 || count >= YOUNG_CANDLES;
}

/** Marks which button of a group is in force. */
function press(group: string, value: string): void {
  for (const button of document.querySelectorAll<HTMLElement>(`[data-group="${group}"] [data-value]`)) {
    button.setAttribute("aria-pressed", String(button.dataset["value"] === value));
  }
}

function pressIntervals(): void {
  const { interval } = selection;
  press("interval", interval);
  const others = byId("other-intervals", HTMLSelectElement);
  const isOther = [...others.options].some(({ value }) => value === interval);
  others.value = isOther ? interval : "";
  others.classList.toggle("chosen", isOther);
}

/** Offers the intervals that suit the channel. */
function drawIntervals(next: typeof SHORTEST[keyof typeof SHORTEST]): void {
  if (next === shortest) return;
  shortest = next;
  const shown = [next, ...BUTTON_INTERVALS];
  for (const before of document.querySelectorAll('[data-group="interval"] button')) before.remove();
  buttons("interval", shown, (value) => choose({ interval: value as Interval }));
  const rest = INTERVALS.filter((interval) => !shown.includes(interval));
  byId("other-intervals", HTMLSelectElement).replaceChildren(
    new Option("more", ""),
    ...rest.map((interval) => new Option(interval, interval)),
  );
  pressIntervals();
}

/** Fills a group with buttons. */
function buttons(group: string, values: readonly string[], onPress: (value: string) => void): void {
  const element = document.querySelector(`[data-group="${group}"]`);
  element?.prepend(...values.map((value) => {
    const button = make("button", "", value);
    button.type = "button";
    button.dataset["value"] = value;
    button.addEventListener("click", () => onPress(value));
    return button;
  }));
}

function drawNumbersPanel(): void {
  const isDemo = status?.demo ?? false;
  byId("numbers-button").setAttribute("aria-expanded", String(isNumbersOpen));
  byId("numbers-tables").hidden = !isNumbersOpen;
  byId("pipeline-panel").hidden = !isNumbersOpen && !isDemo;
  secondPassed = true;
  requestDraw();
}

/** A choice between this machine's time zone and UTC; where both are the same, there is none. */
function makeZones(): void {
  const group = byId("zone");
  const year = new Date().getFullYear();
  const isUtc = [0, 6].every((month) => new Date(year, month).getTimezoneOffset() === 0);
  if (isUtc) {
    setText(group, "UTC");
    return;
  }
  buttons("zone", ["local", "UTC"], (value) => {
    zone = value === "UTC" ? "UTC" : "local";
    remember("zone", zone);
    chart.setZone(zone);
    press("zone", zone);
    drawLegend();
  });
  const [local] = group.children;
  if (local === undefined) return;
  setText(local, "local time");
  setAttribute(local, "title", Intl.DateTimeFormat().resolvedOptions().timeZone);
  press("zone", zone);
}

buttons("style", STYLES, (value) => choose({ style: value as Style }));
buttons("below", BELOWS, (value) => {
  below = value as Below;
  remember("below", below);
  chart.setBelow(below);
  press("below", below);
});
const others = byId("other-intervals", HTMLSelectElement);
others.addEventListener("change", () => {
  if (others.value !== "") choose({ interval: others.value as Interval });
  pressIntervals();
});
byId("numbers-button").addEventListener("click", () => {
  isNumbersOpen = !isNumbersOpen;
  drawNumbersPanel();
});
byId("to-levers").addEventListener("click", () => {
  byId("levers").scrollIntoView({ block: "start" });
  byId("lever-list").querySelector("button")?.focus({ preventScroll: true });
});
byId("to-now").addEventListener("click", () => chart.goToNow());
addEventListener("popstate", () => {
  const next = selectionOf(location.search);
  show({ ...next, product: next.product ?? watchList.products[0] });
});
document.addEventListener("keydown", (event) => {
  const isTyping = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  byId("filter", HTMLInputElement).focus();
});
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  secondPassed = true;
  requestDraw();
  void loadProducts();
});
// ages and the strip's seconds go on when nothing comes
setInterval(() => {
  secondPassed = true;
  requestDraw();
  if (status?.demo && document.visibilityState === "visible" && draws % 5 === 0) void loadLevers();
}, 1000);

globalThis.__page = {
  candles: () => chart.candles,
  regions: () => chart.regions,
  strip: () => truth,
  selection: () => ({ ...selection, below, zone }),
  isLoaded: () => history?.isLoaded === true && history.trouble === undefined,
  room: () => chart.room,
  isShared: () => stream.isShared,
  draws: () => draws,
};

makeZones();
drawIntervals(SHORTEST.ticks);
chart.setBelow(below);
press("below", below);
press("style", selection.style);
void loadProducts();
if (selection.product !== undefined) {
  show(selection);
  const interval = new URLSearchParams(location.search).get("interval") ?? selection.interval;
  if (interval !== selection.interval) say(`There are no candles of ${interval}. These are of ${selection.interval}.`);
  globalThis.history.replaceState(null, "", queryOf(selection));
}
