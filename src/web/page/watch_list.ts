/// <reference lib="dom" />
// The list of all products: price, change, sparkline, age and state of each; filter and keys. Draws only rows in sight.

import { byId, make, setAttribute, setText } from "./dom.ts";
import { ageText, changeText, lengthOf, PriceDigits, priceText } from "./format.ts";
import { SPARK, type Spark, sparkPath } from "./sparkline.ts";
import { ageOf, type ProductRow, type WireState, type WireTick } from "./wire.ts";

/** What the list is built from. */
export interface WatchListOptions {
  readonly onChoose: (product: string) => void;
  /** Called when something should be drawn. */
  readonly onChange: () => void;
  readonly loadSpark: (product: string) => Promise<Spark>;
}

/** What is known of a product. The stream may name one before the list does. */
class Product {
  readonly digits = new PriceDigits();
  known: ProductRow;
  /** The stream has sent its state: later states come from there too, since those of the list may be older. */
  isStateStreamed = false;
  /** When its last trade was made, the browser's clock, ms. */
  tradedAt: number | undefined;
  open24h: number | undefined;
  /** The price, or the number of its decimals, has changed since it was drawn. */
  isDirty = true;
  row: Row | undefined;
  spark: Spark | undefined;
  /** When the sparkline was loaded, ms. */
  sparkAt = -Infinity;
  sparkDrawnAt = -Infinity;

  constructor(product: string) {
    this.known = { product, exchange: "", state: "waiting" };
  }

  see(price: number): void {
    if (this.digits.see(price)) this.isDirty = true;
  }
}

interface Row {
  readonly element: HTMLElement;
  readonly price: HTMLElement;
  readonly change: HTMLElement;
  readonly state: HTMLElement;
  readonly path: SVGPathElement;
  readonly sparkTitle: SVGTitleElement;
  isInSight: boolean;
  isDrawn: boolean;
}

const SVG = "http://www.w3.org/2000/svg";
/** How often a sparkline is loaded again, ms; until then ticks continue it. */
const SPARK_MS = 15 * 60_000;
/** How often its last point follows the price, ms. A new point is drawn at once. */
const SPARK_DRAW_MS = 10_000;
/** Pause after a failure, ms. */
const SPARK_RETRY_MS = 20_000;
/** A browser opens six connections to a host, and streams may use some. */
const SPARKS_AT_ONCE = 2;

/** How many rows a key moves. */
const STEPS: Readonly<Record<string, number>> = {
  ArrowDown: 1,
  ArrowUp: -1,
  PageDown: 10,
  PageUp: -10,
  Home: -Infinity,
  End: Infinity,
};

/** The list at the left. */
export class WatchList {
  readonly #options: WatchListOptions;
  readonly #list = byId("products");
  readonly #filter = byId("filter", HTMLInputElement);
  readonly #nothing = byId("nothing");
  readonly #products = new Map<string, Product>();
  /** The products of the list, in its order. */
  #listed: string[] = [];
  readonly #observer: IntersectionObserver;
  /** The product that the chart shows. */
  #chosen: string | undefined;
  /** The product that the keys have reached. */
  #active: string | undefined;
  #loading = 0;

  constructor(options: WatchListOptions) {
    this.#options = options;
    this.#observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const row = this.#products.get(productOf(target) ?? "")?.row;
        if (row !== undefined) row.isInSight = isIntersecting;
      }
      options.onChange();
    }, { rootMargin: "100px" });
    const list = this.#list;
    const filter = this.#filter;
    list.addEventListener("click", ({ target }) => {
      const product = target instanceof Element ? productOf(target.closest("[data-product]")) : undefined;
      if (product === undefined) return;
      this.#activate(product);
      options.onChoose(product);
    });
    list.addEventListener("keydown", (event) => this.#key(event));
    list.addEventListener("focus", () => this.#activate(this.#active ?? this.#chosen ?? this.#visible()[0]));
    filter.addEventListener("input", () => this.#applyFilter());
    filter.addEventListener("keydown", (event) => {
      const [first] = this.#visible();
      if (event.key === "Escape") {
        filter.value = "";
        this.#applyFilter();
      } else if (event.key === "ArrowDown") {
        list.focus();
        this.#activate(first);
      } else if (event.key === "Enter") {
        if (first !== undefined) options.onChoose(first);
      } else {
        return;
      }
      event.preventDefault();
    });
  }

  /** All products, in the order of the list. */
  get products(): readonly string[] {
    return this.#listed;
  }

  known(product: string): ProductRow | undefined {
    return this.#products.get(product)?.known;
  }

  digits(product: string): number {
    return this.#products.get(product)?.digits.digits ?? 2;
  }

  /** Takes a price into account for the number of decimals. */
  seePrice(product: string, price: number): void {
    this.#product(product).see(price);
  }

  /** Age of a product's last trade, seconds. */
  age(product: string, now: number): number | undefined {
    const tradedAt = this.#products.get(product)?.tradedAt;
    return tradedAt === undefined ? undefined : (now - tradedAt) / 1000;
  }

  /** The states of all products in the list. */
  get states(): WireState[] {
    return this.#listed.map((product) => this.#product(product).known);
  }

  /**
   * Takes the answer of `/api/products`.
   * @param requestedAt when it was requested, ms: an age counted from then is never too small
   */
  setProducts(rows: readonly ProductRow[], requestedAt: number): void {
    for (const row of rows) {
      const product = this.#product(row.product);
      const { known } = product;
      // a tick that came meanwhile is newer
      const isNewer = (known.time ?? 0) > (row.time ?? 0);
      if (row.price !== undefined) product.see(row.price);
      if (row.ageSeconds !== undefined && !isNewer) product.tradedAt = requestedAt - row.ageSeconds * 1000;
      const { price = row.price, time = row.time, change24h = row.change24h } = isNewer ? known : row;
      const state = product.isStateStreamed ? known : row;
      product.known = compact({ ...row, price, time, change24h, ...stateOf(state) });
      product.isDirty = true;
    }
    const names = rows.map(({ product }) => product);
    if (names.join("\n") !== this.#listed.join("\n")) this.#build(names);
    this.#options.onChange();
  }

  /**
   * Takes ticks of the stream, which may send one twice.
   * @param ahead how far the server's clock is ahead of the browser's, ms
   */
  add(ticks: readonly WireTick[], now: number, ahead: number): void {
    for (const tick of ticks) {
      const { product: name, price, time, open24h } = tick;
      const product = this.#product(name);
      const before = product.known.time ?? 0;
      if (time < before) continue;
      if (time > before) product.tradedAt = now - ageOf(tick, now + ahead);
      product.see(price);
      product.isDirty = true;
      if (product.spark?.add(price, time)) product.sparkDrawnAt = -Infinity;
      const open = product.open24h = open24h ?? product.open24h;
      const change24h = open === undefined ? product.known.change24h : (price / open - 1) * 100;
      product.known = compact({ ...product.known, price, time, change24h });
    }
  }

  setStates(states: readonly WireState[]): void {
    for (const state of states) {
      const product = this.#product(state.product);
      product.isStateStreamed = true;
      product.known = compact({ ...product.known, ...stateOf(state) });
      product.isDirty = true;
    }
  }

  reloadSparks(): void {
    for (const product of this.#products.values()) product.sparkAt = -Infinity;
  }

  /** Marks the product that the chart shows. */
  choose(chosen: string | undefined): void {
    this.#chosen = chosen;
    for (const [name, { row }] of this.#products) {
      if (row !== undefined) row.element.ariaSelected = String(name === chosen);
    }
    if (chosen !== undefined) this.#activate(chosen, false);
  }

  /**
   * Draws the rows in sight: those that changed, or all, because ages grow.
   * @param isCurrent false if the program does not answer: then states are unknown
   */
  draw(now: number, all: boolean, isCurrent: boolean): void {
    for (const name of this.#listed) {
      const product = this.#product(name);
      const { row, spark } = product;
      // rows out of sight are drawn once, so that scrolling never shows an empty one
      if (row === undefined || row.element.hidden || (!row.isInSight && row.isDrawn)) continue;
      if (product.isDirty || all) drawRow(product, row, now, isCurrent);
      if (!row.isInSight) continue;
      const isDue = now - product.sparkAt > (spark?.isOutgrown ? SPARK_RETRY_MS : SPARK_MS);
      if (isDue && this.#loading < SPARKS_AT_ONCE) void this.#loadSpark(product, now);
    }
  }

  #product(name: string): Product {
    let product = this.#products.get(name);
    if (product === undefined) this.#products.set(name, product = new Product(name));
    return product;
  }

  #build(names: string[]): void {
    this.#listed = names;
    this.#observer.disconnect();
    const elements = names.map((name, i) => (this.#product(name).row ??= makeRow(name, `product-${i}`)).element);
    this.#list.replaceChildren(...elements);
    for (const element of elements) this.#observer.observe(element);
    this.choose(this.#chosen);
    this.#applyFilter();
  }

  async #loadSpark(product: Product, now: number): Promise<void> {
    product.sparkAt = now;
    this.#loading++;
    try {
      const spark = await this.#options.loadSpark(product.known.product);
      const { price, time } = product.known;
      // the newest tick may have come while it was loading
      if (price !== undefined && time !== undefined) spark.add(price, time);
      for (const each of spark.prices) product.see(each);
      product.spark = spark;
    } catch {
      // the chart says what fails; here the line is missing for a while
      product.sparkAt = now - SPARK_MS + SPARK_RETRY_MS;
    } finally {
      this.#loading--;
    }
    product.isDirty = true;
    product.sparkDrawnAt = -Infinity;
    this.#options.onChange();
  }

  /** The products that pass the filter. */
  #visible(): string[] {
    return this.#listed.filter((name) => this.#product(name).row?.element.hidden === false);
  }

  #applyFilter(): void {
    const wanted = this.#filter.value.trim();
    for (const name of this.#listed) {
      const { row } = this.#product(name);
      if (row !== undefined) row.element.hidden = !name.toLowerCase().includes(wanted.toLowerCase());
    }
    this.#nothing.hidden = this.#visible().length > 0 || this.#listed.length === 0;
    if (!this.#nothing.hidden) setText(this.#nothing, `No products match “${wanted}”.`);
    this.#options.onChange();
  }

  #activate(name: string | undefined, scroll = true): void {
    const row = name === undefined ? undefined : this.#products.get(name)?.row;
    this.#active = row && name;
    this.#list.querySelector(".active")?.classList.remove("active");
    row?.element.classList.add("active");
    setAttribute(this.#list, "aria-activedescendant", row?.element.id);
    if (scroll) row?.element.scrollIntoView({ block: "nearest" });
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const step = STEPS[event.key];
    if (step !== undefined) {
      const visible = this.#visible();
      const index = visible.findIndex((name) => name === this.#active) + step;
      this.#activate(visible[Math.min(visible.length - 1, Math.max(0, index))]);
    } else if (event.key === "Enter" || event.key === " ") {
      if (this.#active !== undefined) this.#options.onChoose(this.#active);
    } else {
      // the letter goes into the filter
      if (event.key.length === 1) this.#filter.focus();
      return;
    }
    event.preventDefault();
  }
}

function makeRow(product: string, id: string): Row {
  const svg = document.createElementNS(SVG, "svg");
  const attributes = { class: "spark", viewBox: `0 0 ${SPARK.width} ${SPARK.height}`, preserveAspectRatio: "none" };
  for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
  svg.ariaHidden = "true";
  const path = document.createElementNS(SVG, "path");
  const sparkTitle = document.createElementNS(SVG, "title");
  svg.append(sparkTitle, path);
  const name = make("span", "name", product);
  name.title = product;
  const price = make("span", "price");
  const change = make("span", "change");
  const state = make("span", "state");
  const element = make("div", "row", name, svg, price, state, change);
  element.id = id;
  element.dataset["product"] = product;
  element.role = "option";
  element.ariaSelected = "false";
  return { element, price, change, state, path, sparkTitle, isInSight: false, isDrawn: false };
}

function drawRow(product: Product, row: Row, now: number, isCurrent: boolean): void {
  const { price, change24h, state, refused } = product.known;
  const isNewPrice = product.isDirty;
  product.isDirty = false;
  row.isDrawn = true;
  const age = product.tradedAt === undefined ? "now" : ageText((now - product.tradedAt) / 1000);
  const word = stateWord(product.known);
  const current = age === "now" || state === "refused" ? word : `${word}, ${age}`;
  setText(row.state, isCurrent ? current : age === "now" ? "unknown" : `${age} ago`);
  setAttribute(row.element, "data-state", isCurrent ? state : "unknown");
  setAttribute(row.state, "title", refused);
  if (!isNewPrice) return;
  const text = price === undefined ? "–" : priceText(price, product.digits.digits);
  setText(row.price, text);
  setAttribute(row.element, "data-length", lengthOf(text));
  setText(row.change, change24h === undefined ? "" : changeText(change24h));
  setAttribute(row.change, "data-sign", change24h === undefined ? undefined : signOf(change24h));
  if (product.spark !== undefined && now - product.sparkDrawnAt > SPARK_DRAW_MS) {
    product.sparkDrawnAt = now;
    setAttribute(row.path, "d", sparkPath(product.spark.prices));
    setText(row.sparkTitle, product.spark.title);
  }
}

function productOf(element: Element | null): string | undefined {
  return element instanceof HTMLElement ? element.dataset["product"] : undefined;
}

function stateOf({ state, refused, note }: Omit<WireState, "product">) {
  return { state, refused, note };
}

/** Without fields that are undefined. */
function compact(row: { [Name in keyof ProductRow]: ProductRow[Name] | undefined }): ProductRow {
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== undefined)) as unknown as ProductRow;
}

/** The state of a product for people: a waiting product shows the exchange's reason, if there is one. */
export function stateWord({ state, note }: Pick<WireState, "state" | "note">): string {
  return state === "waiting" ? note ?? state : state;
}

/** The direction of a change, as it is written with two decimals: `up`, `down` or `none`. */
export function signOf(change: number): string {
  return Math.abs(change) < 0.005 ? "none" : change > 0 ? "up" : "down";
}
