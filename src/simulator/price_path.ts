// How a simulated price moves: calm and volatile hours, bursts that fade, trends, and all products mostly together, as
// in a real market. Pure; one step is one trade, about one second at the usual rate.

import { seededRandom } from "./random.ts";

/** Size of one step in calm times, as a fraction of the price; with everything below, 2 to 3 % a day. */
const STEP = 6e-5;
/** Fraction of the trades that do not move the price. */
const STILL = 0.35;
/** Correlation of a product's move with the market's. */
const TOGETHER = 0.85;
const ALONE = Math.sqrt(1 - TOGETHER ** 2);
/** A burst about every half hour; it fades within ten minutes. */
const BURST_CHANCE = 1 / 1800;
const BURST_FADES = 1 - 1 / 600;
/** Volatile and calm hours. */
const MOOD_FADES = 1 - 1 / 10_800;
const MOOD_STEP = 0.005;
/** Trends of about half an hour. */
const DRIFT_FADES = 1 - 1 / 2400;
const DRIFT_STEP = 1.6e-8;
/** Pull towards the start price, over days: keeps a walk of weeks near it. */
const HOME = 1 / 259_200;

/** Uniform and triangular noise around 0, both with standard deviation 1. */
const throwDie = (random: () => number) => (random() - 0.5) * 3.464;
const throwDice = (random: () => number) => (random() + random() - 1) * 2.449;

/** The path of one product's price. */
export class PricePath {
  /** The price now, in the unit of `start`, not rounded. Set it when a trade happened at another price. */
  value: number;
  readonly #start: number;
  readonly #own: () => number;
  /** The same numbers for all products of a market, so that they move together. */
  readonly #market: () => number;
  readonly #beta: number;
  #burst = 0;
  #mood = 0;
  #drift = 0;

  /** `own` is the product's own random generator. */
  constructor(start: number, marketSeed: number, own: () => number) {
    this.#start = start;
    this.value = start;
    this.#own = own;
    this.#market = seededRandom(marketSeed);
    this.#beta = 0.8 + own() * 0.6;
  }

  step(): void {
    const market = this.#market;
    this.#burst *= BURST_FADES;
    if (market() < BURST_CHANCE) this.#burst += 0.5 + market() * 2.5;
    this.#mood = this.#mood * MOOD_FADES + throwDie(market) * MOOD_STEP;
    this.#drift = this.#drift * DRIFT_FADES + throwDie(market) * DRIFT_STEP;
    const shared = throwDice(market);
    const alone = throwDice(this.#own);
    if (this.#own() < STILL) return;
    const mood = Math.exp(this.#mood);
    const size = STEP * this.#beta * mood * (1 + this.#burst);
    const home = Math.log(this.#start / this.value) * HOME;
    this.value *= 1 + size * (TOGETHER * shared + ALONE * alone) + mood * this.#drift + home;
  }
}
