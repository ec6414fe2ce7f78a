/// <reference lib="dom" />
// The page: passes on what comes from the stream, the API and the user, and draws it at most five times a second.

import { type Interval, intervalMs, INTERVALS } from "../../core/candle.ts";
import { api, messageOf } from "./api.ts";
import { type Below, Chart } from "./chart.ts";
import { ChartData } from "./chart_data.ts";
import { atMostFiveTimes, byId, remember, remembered, setAttribute, setText } from "./dom.ts";
import { browserClock } from "./event_stream.ts";
import { ageText, changeText, priceText, type Zone } from "./format.ts";
import type { Region } from "./gap_regions.ts";
import type { HubMessage } from "./hub.ts";
import { drawGapNote, drawLegend } from "./legend.ts";
import { loadLevers } from "./levers_view.ts";
import { PipelineStatus } from "./pipeline.ts";
import { drawNumbers, drawPipeline } from "./pipeline_view.ts";
import { indexFrom } from "./search.ts";
import { queryOf, type Selection, selectionOf, type Style } from "./selection.ts";
import { loadSpark } from "./sparkline.ts";
import { openStream } from "./stream_client.ts";
import { type ServerLink, type StatusLine, statusLine } from "./status_line.ts";
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

/** For tests, as `window.__page`. */
export interface PageView {
  candles(): WireCandle[];
  regions(): readonly Region[];
  strip(): StatusLine | undefined;
  selection(): Selection & { below: Below; zone: Zone };
  /** Whether the server's candles for the selection are in the chart. */
  isLoaded(): boolean;
  /** How many candles fit into the chart at the present zoom. */
  room(): number;
  isShared(): boolean;
  draws(): number;
}

declare global {
  var __page: PageView;
}

/** The shortest interval with a button. A channel of samples sends six in 30 s; fewer make a candle without a body. */
const SHORTEST = { ticks: "15s", samples: "30s" } as const;
/** With fewer candles most of the chart is empty. */
const FEW_CANDLES = 12;
const LIST_RETRY_MS = { first: 1000, longest: 10_000 };

const otherIntervals = byId("other-intervals", HTMLSelectElement);

let zone: Zone = remembered("zone") === "UTC" ? "UTC" : "local";
let below: Below = remembered("below") === "volume" ? "volume" : "ticks";
let selection: Selection = selectionOf(location.search);
let link: ServerLink = { connected: false, since: Date.now() };
let status: WireStatus | undefined;
let statusAt = 0;
/** How far the server's clock is ahead of the browser's, ms. */
let serverAhead = 0;
let shownLine: StatusLine | undefined;
let shortest: Interval = SHORTEST.ticks;
let isNumbersOpen = false;
/** Why the list of products cannot be loaded. */
let listTrouble: string | undefined;
let isLoadingList = false;
let listFailures = 0;
let listTimer: ReturnType<typeof setTimeout> | undefined;
/** The product whose candles the stream sends. */
let followed: string | undefined;
/** The data of the chart; undefined until a product is known. */
let data: ChartData | undefined;
/** The candle under the crosshair, unix seconds. */
let lookedAt: number | undefined;
/** Said to the user until another product or interval is chosen. */
let announcement = "";
/** Everything that changes with time is due to be drawn: ages, and the seconds in the status line. */
let isAllDue = true;
let draws = 0;

const pipeline = new PipelineStatus();

const chart = new Chart({
  element: byId("chart"),
  onLook: (time, byKey) => {
    lookedAt = time;
    const text = drawCandle();
    if (byKey && time !== undefined) setText(byId("chart-spoken"), text);
  },
  onLeftEnd: () => void data?.loadOlder(),
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

function requestDrawAll(): void {
  isAllDue = true;
  requestDraw();
}

// ---- what comes from the server

function take(message: HubMessage): void {
  if (message.kind === "link") {
    link = message.link;
    isAllDue = true;
    // after a break: how old prices are, and whether the product is still in the list
    if (link.connected || link.nextTry !== undefined) void loadProducts();
  } else if (message.kind === "open") data?.refresh();
  else takeEvent(message.name, message.data);
  requestDraw();
}

function takeEvent(name: string, event: unknown): void {
  if (name === "tick") watchList.add([event as WireTick], Date.now(), serverAhead);
  else if (name === "candle") data?.addCandle(event as WireCandleEvent);
  else if (name === "gap") data?.addGap(event as WireGap);
  else if (name === "status") takeStatus(event as WireStatus);
  else if (name === "reset") takeReset(event as WireReset);
}

/** The stream has left something out. */
function takeReset({ product, interval }: WireReset): void {
  if (product === undefined) void loadProducts();
  if (product === undefined || product === data?.product && interval === data.interval) data?.refresh();
}

function takeStatus(next: WireStatus): void {
  if (next.products !== undefined) watchList.setStates(next.products);
  const before = status;
  status = next;
  statusAt = Date.now();
  serverAhead = next.now * 1000 - statusAt;
  pipeline.add(next);
  offerIntervals(next.channel === "ticker_batch" ? SHORTEST.samples : SHORTEST.ticks);
  if (before?.demo !== next.demo) {
    document.body.classList.toggle("demo", next.demo);
    for (const id of ["banner", "levers"]) byId(id).hidden = !next.demo;
    showPanels();
    if (next.demo) void loadLevers();
  }
  if (next.historyDone !== undefined || before?.historyDone !== undefined) {
    // the demo is writing its history, or has just finished
    void loadProducts();
    data?.refresh();
    if (next.historyDone === undefined) watchList.reloadSparks();
  }
  isAllDue = true;
}

async function loadProducts(): Promise<void> {
  if (isLoadingList) return;
  isLoadingList = true;
  clearTimeout(listTimer);
  try {
    const requestedAt = Date.now();
    watchList.setProducts(productsOf(await api("api/products")), requestedAt);
    listTrouble = undefined;
    listFailures = 0;
    if (selection.product === undefined || !watchList.products.includes(selection.product)) showFirstProduct();
    else if (followed !== selection.product) follow(selection.product);
  } catch (error) {
    listTrouble = `Cannot load the list of products: ${messageOf(error)}`;
    const pauseMs = Math.min(LIST_RETRY_MS.longest, LIST_RETRY_MS.first * 2 ** listFailures++);
    listTimer = setTimeout(() => void loadProducts(), pauseMs);
  } finally {
    isLoadingList = false;
  }
  requestDraw();
}

// ---- what the user chooses

/** The product must be in the list: the server refuses the stream of all windows for one that it does not have. */
function follow(product: string): void {
  followed = product;
  stream.show(product, selection.interval);
}

/** Shows the first product, because the URL names none, or one that does not exist. */
function showFirstProduct(): void {
  const [product] = watchList.products;
  const wanted = selection.product;
  if (product === undefined) return;
  show({ ...selection, product });
  history.replaceState(null, "", queryOf(selection));
  if (wanted !== undefined) announcement = `There is no product ${wanted}. This is ${product}.`;
}

/** Shows what the user chose, and keeps it in the URL. */
function choose(change: Partial<Selection>): void {
  const next = { ...selection, ...change };
  if (queryOf(next) === queryOf(selection)) return;
  show(next);
  history.pushState(null, "", queryOf(next));
}

function show(next: Selection): void {
  const { product, interval, style } = next;
  const isOther = data?.product !== product || data?.interval !== interval;
  selection = next;
  chart.setStyle(style);
  byId("main").dataset["style"] = style;
  press("style", style);
  pressInterval();
  watchList.choose(product);
  if (isOther && product !== undefined) {
    data?.close();
    announcement = "";
    lookedAt = undefined;
    chart.reset(interval);
    // the candles of a product in the URL are loaded without waiting for the list
    if (watchList.products.includes(product)) follow(product);
    let isFirst = true;
    data = new ChartData({
      product,
      interval,
      ask: (path, signal) => api(path, { signal }),
      messageOf,
      onChange: () => {
        if (!isFirst || data?.isLoaded !== true) return requestDraw();
        // the user waits for the first candles
        isFirst = false;
        draw();
      },
      clock: browserClock,
      serverAhead: () => serverAhead,
    });
    if (scrollY > 0) byId("main").scrollIntoView({ block: "start" });
  }
  draw();
}

function buttonsOf(group: string): HTMLElement[] {
  return [...document.querySelectorAll<HTMLElement>(`[data-group="${group}"] button`)];
}

function onPress(group: string, take: (value: string) => void): void {
  for (const button of buttonsOf(group)) button.addEventListener("click", () => take(button.dataset["value"] ?? ""));
}

/** Marks one button of a group as pressed. */
function press(group: string, value: string): void {
  for (const button of buttonsOf(group)) button.ariaPressed = String(button.dataset["value"] === value);
}

function pressInterval(): void {
  const { interval } = selection;
  press("interval", interval);
  const isOther = [...otherIntervals.options].some(({ value }) => value === interval);
  otherIntervals.value = isOther ? interval : "";
  otherIntervals.classList.toggle("chosen", isOther);
}

/** Offers the intervals that suit the channel: some have a button, the others are in the list behind "more". */
function offerIntervals(next: Interval): void {
  if (next === shortest && otherIntervals.length > 1) return;
  shortest = next;
  const buttons = buttonsOf("interval");
  const [first] = buttons;
  if (first !== undefined) first.textContent = first.dataset["value"] = next;
  const others = INTERVALS.filter((interval) => !buttons.some(({ dataset }) => dataset["value"] === interval));
  otherIntervals.replaceChildren(new Option("more", ""), ...others.map((interval) => new Option(interval, interval)));
  pressInterval();
}

function showPanels(): void {
  byId("numbers-button").ariaExpanded = String(isNumbersOpen);
  byId("numbers-tables").hidden = !isNumbersOpen;
  byId("pipeline-panel").hidden = !isNumbersOpen && status?.demo !== true;
  requestDrawAll();
}

/** Offers the choice between the browser's time zone and UTC, unless they are the same. */
function offerZones(): void {
  const year = new Date().getFullYear();
  const isUtc = [0, 6].every((month) => new Date(year, month).getTimezoneOffset() === 0);
  if (isUtc) {
    setText(byId("zone"), "UTC");
    return;
  }
  const [local] = buttonsOf("zone");
  if (local !== undefined) local.title = Intl.DateTimeFormat().resolvedOptions().timeZone;
  press("zone", zone);
  onPress("zone", (value) => {
    zone = value as Zone;
    remember("zone", zone);
    chart.setZone(zone);
    press("zone", zone);
    drawCandle();
  });
}

// ---- drawing

function draw(): void {
  // a hidden page is drawn when it is shown
  if (document.visibilityState !== "visible") return;
  draws++;
  const now = Date.now();
  const all = isAllDue;
  isAllDue = false;
  watchList.draw(now, all, link.connected);
  drawHead(now);
  const drawing = data?.draw();
  if (data !== undefined && drawing !== undefined) {
    for (const { open, high, low, close } of drawing.all ? drawing.candles : drawing.changed) {
      for (const price of [open, high, low, close]) watchList.seePrice(data.product, price);
    }
    chart.setDigits(watchList.digits(data.product));
    chart.draw(drawing);
    drawCandle();
  }
  drawNotice();
  if (all) drawStatus(now);
}

function drawStatus(now: number): void {
  const states = watchList.states;
  const next = statusLine({ link, status, statusAt, states, now });
  // read aloud only if it says something else, not for each second in it
  if (next.kind !== shownLine?.kind) setText(byId("strip-spoken"), next.text);
  shownLine = next;
  setText(byId("strip-text"), next.text);
  setAttribute(byId("strip"), "title", next.text);
  setAttribute(byId("strip"), "data-level", next.level);
  if (status === undefined) return;
  setAttribute(byId("pipeline-panel"), "data-current", link.connected ? undefined : "no");
  const picture = isNumbersOpen || status.demo ? pipeline.picture(states, link.connected) : undefined;
  if (picture !== undefined) drawPipeline(byId("pipeline"), picture);
  if (isNumbersOpen) drawNumbers(byId("numbers-tables"), pipeline.numbers(link.connected));
  byId("samples").hidden = status.channel !== "ticker_batch";
  setText(byId("samples-exchange"), status.exchange);
}

/** Product, price, change, and what its state and age are. */
function drawHead(now: number): void {
  const { product = "" } = selection;
  const known = watchList.known(product);
  const age = watchList.age(product, now);
  const price = known?.price === undefined ? "–" : priceText(known.price, watchList.digits(product));
  const change24h = known?.change24h;
  setText(byId("product"), product);
  setText(byId("price"), price);
  setText(byId("change"), change24h === undefined ? "" : `${changeText(change24h)} in 24 h`);
  setAttribute(byId("change"), "data-sign", change24h === undefined ? undefined : signOf(change24h));
  const state = link.connected ? known?.state ?? "waiting" : "unknown";
  const reason = known?.refused === undefined ? "" : ` (${known.refused})`;
  const isUnpriced = known === undefined || (known.note === undefined && age === undefined);
  const stateText = {
    unknown: "",
    live: "",
    waiting: isUnpriced ? "no price yet" : stateWord(known),
    quiet: "no trades now",
    stalled: "no more ticks from the exchange",
    refused: `refused by the exchange${reason}`,
  }[state];
  const ageWords = age === undefined ? "" : age < 2 ? "last tick now" : `last tick ${ageText(age)} ago`;
  const text = [stateText, ageWords].filter((part) => part !== "").join("; ");
  setText(byId("age"), text);
  setAttribute(byId("age"), "title", text);
  setAttribute(byId("age"), "data-state", state);
  document.title = product === "" ? "Prices" : `${price} ${product}`;
}

/** Draws the candle under the crosshair, or the newest, in words. Returns the text. */
function drawCandle(): string {
  if (data === undefined) return "";
  const { candles, product, interval } = data;
  const candle = lookedAt === undefined ? candles.at(-1) : candles[indexFrom(candles, lookedAt)];
  const time = lookedAt ?? candle?.time;
  drawGapNote(lookedAt, interval, chart.regions);
  return drawLegend(time, candle?.time === time ? candle : undefined, interval, watchList.digits(product), zone);
}

/** What the user must know about the chart: trouble, advice, or why it is empty. */
function drawNotice(): void {
  // if the product of the URL does not exist, the list says so
  const isListed = data !== undefined && watchList.products.includes(data.product);
  const dataTrouble = isListed && data?.trouble !== undefined ? `Cannot load the candles: ${data.trouble}` : undefined;
  // if the program does not answer at all, the status line says so
  const trouble = link.connected ? listTrouble ?? dataTrouble : undefined;
  const isEmpty = data !== undefined && data.candles.length === 0;
  let text = announcement;
  if (trouble !== undefined) text = `${trouble}. Trying again.`;
  else if (data !== undefined && (!data.isLoaded || !isListed)) text = isEmpty ? "Loading…" : "";
  else {
    if (isEmpty) text = `No prices of ${data?.product} yet.`;
    if (status?.hint !== undefined) text = `${text} ${status.hint}.`.trimStart();
  }
  const notice = byId("notice");
  setText(notice, text);
  notice.hidden = text === "";
  setAttribute(notice, "data-level", trouble === undefined ? undefined : "bad");

  const count = data?.hasAll ? data.candles.length : 0;
  const isShortest = intervalMs(selection.interval) <= intervalMs(shortest);
  const young = byId("young");
  setText(young, `Nothing older is stored yet.${isShortest ? "" : " Shorter candles show more."}`);
  young.hidden = count === 0 || count >= FEW_CANDLES;
}

// ---- events of the page

onPress("interval", (value) => choose({ interval: value as Interval }));
otherIntervals.addEventListener("change", () => {
  if (otherIntervals.value !== "") choose({ interval: otherIntervals.value as Interval });
  pressInterval();
});
onPress("style", (value) => choose({ style: value as Style }));
onPress("below", (value) => {
  below = value as Below;
  remember("below", below);
  chart.setBelow(below);
  press("below", below);
});
byId("numbers-button").addEventListener("click", () => {
  isNumbersOpen = !isNumbersOpen;
  showPanels();
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
  byId("filter").focus();
});
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  requestDrawAll();
  void loadProducts();
});
setInterval(() => {
  requestDrawAll();
  // another window may have pulled a lever
  if (status?.demo && document.visibilityState === "visible" && draws % 5 === 0) void loadLevers();
}, 1000);

globalThis.__page = {
  candles: () => chart.candles,
  regions: () => chart.regions,
  strip: () => shownLine,
  selection: () => ({ ...selection, below, zone }),
  isLoaded: () => data?.isLoaded === true && data.trouble === undefined,
  room: () => chart.room,
  isShared: () => stream.isShared,
  draws: () => draws,
};

offerZones();
offerIntervals(SHORTEST.ticks);
chart.setBelow(below);
press("below", below);
press("style", selection.style);
void loadProducts();
if (selection.product !== undefined) {
  show(selection);
  const interval = new URLSearchParams(location.search).get("interval") ?? selection.interval;
  if (interval !== selection.interval) {
    announcement = `There are no candles of ${interval}. These are of ${selection.interval}.`;
  }
  history.replaceState(null, "", queryOf(selection));
}
