/// <reference lib="dom" />
// The strip: one line that tells the truth, for eyes each second, for ears when it becomes another sentence.

import { setAttribute, setText } from "./dom.ts";
import type { Truth } from "./truth.ts";

/** Draws the strip. */
export class StripView {
  readonly #strip: HTMLElement;
  readonly #text: HTMLElement;
  readonly #spoken: HTMLElement;
  #truth: Truth | undefined;

  /**
   * Empty at first.
   * @param strip bears the level
   * @param text seen, not read out by itself
   * @param spoken read out, not seen
   */
  constructor(strip: HTMLElement, text: HTMLElement, spoken: HTMLElement) {
    this.#strip = strip;
    this.#text = text;
    this.#spoken = spoken;
  }

  /** What it says. */
  get truth(): Truth | undefined {
    return this.#truth;
  }

  /** Says it. */
  draw(truth: Truth): void {
    if (truth.kind !== this.#truth?.kind) setText(this.#spoken, truth.text);
    this.#truth = truth;
    setText(this.#text, truth.text);
    setAttribute(this.#strip, "title", truth.text);
    setAttribute(this.#strip, "data-level", truth.level);
  }
}
