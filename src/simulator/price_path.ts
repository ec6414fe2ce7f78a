// How a made-up price moves: calm hours and nervous ones, bursts that fade, legs in one direction, and all products of a
// market mostly together, as real ones do. Pure; one step is one trade, about a second's worth at the usual rate.

import { seededRandom } from "./random.ts";

/** Size of one step in calm times, as a part of the price: together with all below, 2 to 3 % a day. */
const STEP = 6e-5;
/** Of so many trades one does not move the price. */
const STILL = 0.35;
/** How much of a product's move is the market's. */
const TOGETHER = 0.85;
const ALONE = Math.sqrt(1 - TOGETHER ** 2);
/** A burst about every half hour; it fades within ten minutes. */
const BURST_CHANCE = 1 / 1800;
const BURST_FADES = 1 - 1 / 600;
/** Nervous and calm hours. */
const MOOD_FADES = 1 - 1 / 10_800;
const MOOD_STEP = 0.005;
/** Legs of half an hour or so. */
const DRIFT_FADES = 1 - 1 / 2400;
const DRIFT_STEP = 1.6e-8;
/** The pull home, over days, keeps a walk of weeks near its start. */
const HOME = 1 / 259_200;

/** One die, or two, whose sum is most often near 0: the spread of both is made 1. */
const throwDie = (random: () => number) => (random() - 0.5) * 3.464;
const throwDice = (random: () => number) => (random() + random() - 1) * 2.449;

/** The path of one product's price. */
export class PricePath {
  readonly #start: number;
  readonly #own: () => number;
  /** The same numbers for all products of a market, so that they move together without knowing each other. */
  readonly #market: () => number;
  readonly #beta: number;
  #value: number;
  #burst = 0;
  #mood = 0;
  #drift = 0;

  /** Where it starts, in any unit; the seed of the market; chance of the product's own. */
  constructor(start: number, marketSeed: number, own: () => number) {
    this.#start = start;
    this.#value = start;
    this.#own = own;
    this.#market = seededRandom(marketSeed);
    this.#beta = 0.8 + own() * 0.6;
  }

  /** The price now, not rounded. */
  get value(): number {
    return this.#value;
  }

  /** Somebody has traded at this price: the path goes on from there. */
  set value(value: number) {
    this.#value = value;
  }

  /** One trade on. */
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
    const home = Math.log(this.#start / this.#value) * HOME;
    this.#value *= 1 + size * (TOGETHER * shared + ALONE * alone) + mood * this.#drift + home;
  }
}
