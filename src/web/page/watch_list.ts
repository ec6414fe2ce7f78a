/// <reference lib="dom" />
// The list of all products: prices, changes, small lines, ages and states; filter and keys. Only rows that are seen are drawn.

import { make, setAttribute, setText } from "./dom.ts";
import { ageText, changeText, lengthOf, PriceDigits, priceText } from "./format.ts";
import { SPARK, type Spark, sparkPath } from "./sparkline.ts";
import { ageOf, type ProductRow, type WireState, type WireTick } from "./wire.ts";

/** What the list is built from. */
export interface WatchListOptions {
  /** The listbox. */
  readonly list: HTMLElement;
  /** The filter's field. */
  readonly filter: HTMLInputElement;
  /** Says that nothing fits. */
  readonly nothing: HTMLElement;
  /** A product was chosen. */
  readonly onChoose: (product: string) => void;
  /** Something is to be drawn. */
  readonly onChange: () => void;
  /** Loads a product's small line. */
  readonly loadSpark: (product: string) => Promise<Spark>;
}

interface Row {
  readonly product: string;
  readonly element: HTMLElement;
  readonly price: HTMLElement;
  readonly change: HTMLElement;
  readonly state: HTMLElement;
  readonly path: SVGPathElement;
  readonly span: SVGTitleElement;
  readonly digits: PriceDigits;
  known: ProductRow;
  /** When its last trade was made, the browser's clock, ms. */
  tradedAt: number | undefined;
  open24h: number | undefined;
  lastTime: number;
  seen: boolean;
  dirty: boolean;
  isDrawn: boolean;
  spark: Spark | undefined;
  /** When it was asked for. */
  sparkAt: number;
  sparkDrawnAt: number;
}

const SVG = "http://www.w3.org/2000/svg";
/** A small line is loaded anew so often, ms: until then ticks continue it. */
const SPARK_MS = 15 * 60_000;
/** Its end follows the price so often, ms: of a day nobody sees less. One that gets longer is drawn at once. */
const SPARK_DRAW_MS = 10_000;
/** After a failure, ms. */
const SPARK_RETRY_MS = 20_000;
/** The browser has six connections to a host, and two streams may hold some. */
const SPARKS_AT_ONCE = 2;

/** The list at the left. */
export class WatchList {
  readonly #options: WatchListOptions;
  readonly #rows = new Map<string, Row>();
  readonly #observer: IntersectionObserver;
  #chosen: string | undefined;
  #active: string | undefined;
  #loading = 0;
  /** As the stream told last: it tells changes alone, and some before the list is there. */
  readonly #told = new Map<string, WireState>();
  /** Of all products that a price is known of. */
  readonly #digits = new Map<string, PriceDigits>();
  /** The newest ticks of products that are not in the list yet. */
  readonly #early = new Map<string, WireTick>();

  /** Empty at first. */
  constructor(options: WatchListOptions) {
    this.#options = options;
    const { list, filter } = options;
    this.#observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const row = this.#rows.get((target as HTMLElement).dataset["product"] ?? "");
        if (row !== undefined) row.seen = isIntersecting;
      }
      options.onChange();
    }, { rootMargin: "100px" });
    list.addEventListener("click", (event) => {
      const element = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-product]") : null;
      const product = element?.dataset["product"];
      if (product === undefined) return;
      this.#activate(product);
      options.onChoose(product);
    });
    list.addEventListener("keydown", (event) => this.#key(event));
    list.addEventListener("focus", () => this.#activate(this.#active ?? this.#chosen ?? this.#visible()[0]?.product));
    filter.addEventListener("input", () => this.#filter());
    filter.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        filter.value = "";
        this.#filter();
      } else if (event.key === "ArrowDown") {
        list.focus();
        this.#activate(this.#visible()[0]?.product);
      } else if (event.key === "Enter") {
        const [first] = this.#visible();
        if (first !== undefined) options.onChoose(first.product);
      } else {
        return;
      }
      event.preventDefault();
    });
  }

  /** All products, in the order of the list. */
  get products(): readonly string[] {
    return [...this.#rows.keys()];
  }

  /** What is known of a product. */
  known(product: string): ProductRow | undefined {
    return this.#rows.get(product)?.known;
  }

  /** How many decimals its prices have. */
  digits(product: string): number {
    return this.#digits.get(product)?.digits ?? 2;
  }

  /** Takes a price into account for the number of decimals. */
  seePrice(product: string, price: number): void {
    const row = this.#rows.get(product);
    if (this.#digitsOf(product).see(price) && row !== undefined) row.dirty = true;
  }

  /** Age of a product's last trade, seconds. */
  age(product: string, now: number): number | undefined {
    const tradedAt = this.#rows.get(product)?.tradedAt;
    return tradedAt === undefined ? undefined : (now - tradedAt) / 1000;
  }

  /**
   * Takes the list as the API tells it.
   * @param ahead what the server's clock is ahead of ours, ms
   */
  setProducts(products: readonly ProductRow[], now: number, ahead: number): void {
    const names = products.map(({ product }) => product);
    if (names.join("\n") !== this.products.join("\n")) this.#build(names);
    for (const known of products) {
      const row = this.#rows.get(known.product);
      if (row === undefined) continue;
      // a tick that came meanwhile is newer
      row.known = (known.time ?? 0) >= row.lastTime ? known : { ...known, ...priceOf(row.known) };
      row.lastTime = Math.max(row.lastTime, known.time ?? 0);
      if (known.price !== undefined) row.digits.see(known.price);
      if (known.ageSeconds !== undefined && row.known === known) row.tradedAt = now - known.ageSeconds * 1000;
      row.dirty = true;
    }
    this.setStates([...this.#told.values()]);
    // of those that the answer knows, it knows how old they are
    const early = [...this.#early.values()].filter(({ product, time }) =>
      time > (this.#rows.get(product)?.lastTime ?? time)
    );
    this.#early.clear();
    this.add(early, now, ahead);
    this.#options.onChange();
  }

  /**
   * Takes ticks, new ones and those that the stream sends once more.
   * @param ahead what the server's clock is ahead of ours, ms
   */
  add(ticks: readonly WireTick[], now: number, ahead: number): void {
    for (const tick of ticks) {
      const { product, price, time, open24h } = tick;
      const row = this.#rows.get(product);
      if (row === undefined) {
        if (time >= (this.#early.get(product)?.time ?? 0)) this.#early.set(product, tick);
        continue;
      }
      if (time < row.lastTime) continue;
      row.dirty = true;
      // one that is known is as old as before
      if (time > row.lastTime) row.tradedAt = now - ageOf(tick, now + ahead);
      row.lastTime = time;
      row.digits.see(price);
      if (row.spark?.add(price, time)) row.sparkDrawnAt = -Infinity;
      row.open24h = open24h ?? row.open24h;
      const change24h = row.open24h === undefined ? row.known.change24h : (price / row.open24h - 1) * 100;
      row.known = { ...row.known, price, time, ...(change24h === undefined ? {} : { change24h }) };
    }
  }

  /** Loads all small lines anew. */
  reloadSparks(): void {
    for (const row of this.#rows.values()) row.sparkAt = -Infinity;
  }

  /** Takes states. */
  setStates(states: readonly WireState[]): void {
    for (const told of states) {
      const { product, state, refused, note } = told;
      this.#told.set(product, told);
      const row = this.#rows.get(product);
      if (row === undefined) continue;
      const { refused: oldRefused, note: oldNote, ...known } = row.known;
      if (known.state === state && oldRefused === refused && oldNote === note) continue;
      row.known = {
        ...known,
        state,
        ...(refused === undefined ? {} : { refused }),
        ...(note === undefined ? {} : { note }),
      };
      row.dirty = true;
    }
  }

  /** All states. */
  get states(): WireState[] {
    return [...this.#rows.values()].map(({ known }) => known);
  }

  /** Marks the product that the chart shows. */
  choose(product: string | undefined): void {
    this.#chosen = product;
    for (const row of this.#rows.values()) row.element.setAttribute("aria-selected", String(row.product === product));
    if (product !== undefined && this.#active === undefined) this.#activate(product, false);
    else if (product !== undefined) this.#activate(product, false);
  }

  /**
   * Draws the rows that are seen and changed, or all that are seen.
   * @param isKnown the server tells how products stand; else nobody knows it now
   */
  draw(now: number, all: boolean, isKnown: boolean): void {
    for (const row of this.#rows.values()) {
      // once they are all drawn, so that nobody who scrolls fast sees an empty one
      if (row.element.hidden || (!row.seen && row.isDrawn)) continue;
      if (row.dirty || all) this.#draw(row, now, isKnown);
      if (!row.seen) continue;
      const isDue = now - row.sparkAt > (row.spark?.isOutgrown ? SPARK_RETRY_MS : SPARK_MS);
      if (isDue && this.#loading < SPARKS_AT_ONCE) this.#loadSpark(row, now);
    }
  }

  #build(names: readonly string[]): void {
    const { list } = this.#options;
    this.#observer.disconnect();
    const before = new Map(this.#rows);
    this.#rows.clear();
    for (const [i, product] of names.entries()) {
      this.#rows.set(product, before.get(product) ?? this.#row(product, `product-${i}`));
    }
    list.replaceChildren(...[...this.#rows.values()].map(({ element }) => element));
    for (const { element } of this.#rows.values()) this.#observer.observe(element);
    this.choose(this.#chosen);
    this.#filter();
  }

  #row(product: string, id: string): Row {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${SPARK.width} ${SPARK.height}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    svg.setAttribute("class", "spark");
    const path = document.createElementNS(SVG, "path");
    const span = document.createElementNS(SVG, "title");
    svg.append(span, path);
    const name = make("span", "name", product);
    name.title = product;
    const price = make("span", "price");
    const change = make("span", "change");
    const state = make("span", "state");
    const element = make("div", "row", name, svg, price, state, change);
    element.id = id;
    element.dataset["product"] = product;
    element.setAttribute("role", "option");
    element.setAttribute("aria-selected", "false");
    return {
      product,
      element,
      price,
      change,
      state,
      path,
      span,
      digits: this.#digitsOf(product),
      known: { product, exchange: "", state: "waiting" },
      tradedAt: undefined,
      open24h: undefined,
      lastTime: 0,
      seen: false,
      dirty: true,
      isDrawn: false,
      spark: undefined,
      sparkAt: -Infinity,
      sparkDrawnAt: -Infinity,
    };
  }

  #digitsOf(product: string): PriceDigits {
    let digits = this.#digits.get(product);
    if (digits === undefined) this.#digits.set(product, digits = new PriceDigits());
    return digits;
  }

  #draw(row: Row, now: number, isKnown: boolean): void {
    const { price, change24h, state, refused, note } = row.known;
    const isNewPrice = row.dirty;
    row.dirty = false;
    row.isDrawn = true;
    const age = row.tradedAt === undefined ? "now" : ageText((now - row.tradedAt) / 1000);
    const isPlain = age === "now" || state === "refused";
    const word = stateWord({ state, note });
    setText(row.state, !isKnown ? (age === "now" ? "unknown" : `${age} ago`) : isPlain ? word : `${word}, ${age}`);
    setAttribute(row.element, "data-state", isKnown ? state : "unknown");
    setAttribute(row.state, "title", refused);
    if (!isNewPrice) return;
    const text = price === undefined ? "–" : priceText(price, row.digits.digits);
    setText(row.price, text);
    setAttribute(row.element, "data-length", lengthOf(text));
    setText(row.change, change24h === undefined ? "" : changeText(change24h));
    setAttribute(row.change, "data-sign", change24h === undefined ? undefined : signOf(change24h));
    if (row.spark !== undefined && now - row.sparkDrawnAt > SPARK_DRAW_MS) {
      row.sparkDrawnAt = now;
      setAttribute(row.path, "d", sparkPath(row.spark.prices));
      setText(row.span, row.spark.title);
    }
  }

  async #loadSpark(row: Row, now: number): Promise<void> {
    row.sparkAt = now;
    this.#loading++;
    try {
      const spark = await this.#options.loadSpark(row.product);
      const { price, time } = row.known;
      // what came while it was asked for
      if (price !== undefined && time !== undefined) spark.add(price, time);
      for (const each of spark.prices) row.digits.see(each);
      row.spark = spark;
    } catch {
      // said where the chart fails to load; here the line is missing for a while
      row.sparkAt = now - SPARK_MS + SPARK_RETRY_MS;
    } finally {
      this.#loading--;
    }
    row.dirty = true;
    row.sparkDrawnAt = -Infinity;
    this.#options.onChange();
  }

  #visible(): Row[] {
    return [...this.#rows.values()].filter(({ element }) => !element.hidden);
  }

  #filter(): void {
    const { filter, nothing } = this.#options;
    const wanted = filter.value.trim().toLowerCase();
    for (const { product, element } of this.#rows.values()) {
      element.hidden = !product.toLowerCase().includes(wanted);
    }
    nothing.hidden = this.#visible().length > 0 || this.#rows.size === 0;
    if (!nothing.hidden) setText(nothing, `No product has “${filter.value.trim()}” in its name.`);
    this.#options.onChange();
  }

  #activate(product: string | undefined, scroll = true): void {
    const row = product === undefined ? undefined : this.#rows.get(product);
    this.#active = row?.product;
    for (const { element } of this.#rows.values()) element.classList.toggle("active", element === row?.element);
    setAttribute(this.#options.list, "aria-activedescendant", row?.element.id);
    if (scroll) row?.element.scrollIntoView({ block: "nearest" });
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const rows = this.#visible();
    const place = rows.findIndex(({ product }) => product === this.#active);
    const to = (index: number) => this.#activate(rows[Math.min(rows.length - 1, Math.max(0, index))]?.product);
    if (event.key === "ArrowDown") to(place + 1);
    else if (event.key === "ArrowUp") to(place - 1);
    else if (event.key === "PageDown") to(place + 10);
    else if (event.key === "PageUp") to(place - 10);
    else if (event.key === "Home") to(0);
    else if (event.key === "End") to(rows.length - 1);
    else if (event.key === "Enter" || event.key === " ") {
      if (this.#active !== undefined) this.#options.onChoose(this.#active);
    } else if (event.key.length === 1) {
      this.#options.filter.focus();
      return;
    } else {
      return;
    }
    event.preventDefault();
  }
}

/** How a product stands, in a word or two: one that waits says why, where the exchange has said so. */
export function stateWord(
  { state, note }: { state: WireState["state"]; note?: WireState["note"] | undefined },
): string {
  return state === "waiting" ? note ?? state : state;
}

/** Of a change: `up`, `down` or `none`. */
export function signOf(change: number): string {
  return Math.abs(change) < 0.005 ? "none" : change > 0 ? "up" : "down";
}

function priceOf({ price, time, change24h }: ProductRow): Partial<ProductRow> {
  return {
    ...(price === undefined ? {} : { price }),
    ...(time === undefined ? {} : { time }),
    ...(change24h === undefined ? {} : { change24h }),
  };
}
