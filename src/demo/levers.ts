// The levers of the demo's page: each causes one realistic fault with the simulator's levers, a slow sink or a cut
// connection, and says what it teaches and what to watch.

import { INVALID_FRAMES } from "../simulator/invalid_frames.ts";
import { ON, readArguments } from "../simulator/levers.ts";
import type { Simulator } from "../simulator/server.ts";
import type { DemoLevers, Lever } from "../web/demo_api.ts";
import type { BrokerLine } from "./broker_line.ts";
import type { SlowSink } from "./slow_sink.ts";

/** What the levers act on. */
export interface LeverHandles {
  /** The exchange. */
  readonly simulator: Simulator;
  /** The sinks that can be slowed down; read each time, so sinks may be added later. */
  readonly slowSinks: readonly SlowSink[];
  /** The connections to Kafka; undefined without Kafka. */
  readonly broker: BrokerLine | undefined;
  /** Default {@link AWAY_MS}. */
  readonly awayMs?: number | undefined;
  /** Default {@link FLOOD_MS}. */
  readonly floodMs?: number | undefined;
  /** What must happen before a lever can be pulled; returns undefined once the levers are ready. */
  readonly notYet?: () => string | undefined;
}

/** How long the exchange refuses connections after a hang-up: long enough to see several tries, ms. */
export const AWAY_MS = 10_000;
/** How long each write of a slow disk waits: long enough to be reported as slow, ms. */
export const SLOW_MS = 12_000;
/** Trades per second of the flood, over all products. */
export const FLOOD_RATE = 10_000;
/** How long the flood lasts, ms. */
export const FLOOD_MS = 15_000;
const REPEATS = 50;
const LATE_MS = 60_000;

interface Entry extends Omit<Lever, "kind" | "on" | "name"> {
  /** Only switches have it. */
  readonly isOn?: () => boolean;
  /** Whether the lever exists in this demo; default yes. */
  readonly isThere?: () => boolean;
  /** `on` is false for a pulse. Returns the answer to the page. */
  readonly pull: (on: boolean) => object;
}

/** See {@link DemoLevers}. */
export class LeverPanel implements DemoLevers, Disposable {
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #notYet: () => string | undefined;
  #back: ReturnType<typeof setTimeout> | undefined;
  #exchangeIsBack: () => void = () => {};

  /** Starts with everything off. */
  constructor(handles: LeverHandles) {
    this.#entries = new Map(Object.entries(this.#table(handles)));
    this.#notYet = handles.notYet ?? (() => undefined);
  }

  /** See {@link DemoLevers.list}. */
  list(): Lever[] {
    return [...this.#entries].filter(([, { isThere }]) => isThere?.() !== false).map(
      ([name, { title, teaches, watch, isOn }]) => ({
        name,
        title,
        teaches,
        watch,
        ...(isOn === undefined ? { kind: "pulse" } : { kind: "switch", on: isOn() }),
      }),
    );
  }

  /** See {@link DemoLevers.pull}: pulses take no arguments, switches take `on`. */
  pull(name: string, args: unknown): Promise<object | false> {
    return new Promise((resolve) => {
      const entry = this.#entries.get(name);
      if (entry === undefined || entry.isThere?.() === false) return resolve(false);
      const wish = this.#notYet();
      if (wish !== undefined) throw new RangeError(`Cannot pull ${name} as ${wish}: it is still being made`);
      const [on] = readArguments(name, { required: entry.isOn === undefined ? [] : [ON], optional: [] }, args);
      resolve(entry.pull(on === true));
    });
  }

  /** Switches everything off. */
  heal(): void {
    this.#exchangeIsBack();
    for (const { isOn, pull } of this.#entries.values()) {
      if (isOn?.() === true) pull(false);
    }
  }

  /** Clears the timer. */
  [Symbol.dispose](): void {
    clearTimeout(this.#back);
  }

  /** Closes every connection and refuses new ones for a while. */
  #hangUp({ levers }: Simulator, awayMs: number): object {
    levers.refuseUpgrade(true);
    clearTimeout(this.#back);
    this.#exchangeIsBack = () => levers.refuseUpgrade(false);
    this.#back = setTimeout(() => this.#exchangeIsBack(), awayMs);
    return { reached: levers.hangUp(), awaySeconds: awayMs / 1000 };
  }

  #table({ simulator, slowSinks, broker, awayMs = AWAY_MS, floodMs = FLOOD_MS }: LeverHandles): Record<string, Entry> {
    const { levers, products } = simulator;
    const [first = ""] = products;
    const last = products.at(-1) ?? first;
    let isSilent = false;
    let isStopped = false;
    return {
      hangUp: {
        title: "Hang up",
        teaches: `The exchange closes the connection and accepts no new one for ${awayMs / 1000} seconds: every ` +
          "connection ends one day, and the cure is to try again, with growing pauses.",
        watch: "The line at the top counts down to the next try; once prices come again, the chart shades the time " +
          "in which trades may be missing.",
        pull: () => this.#hangUp(simulator, awayMs),
      },
      silence: {
        title: "Silence",
        teaches: "The connection stays open and nothing arrives on it, which no error reports: it is noticed only " +
          "because the heartbeats stop, which should come every second.",
        watch: "At first only the ages in the list grow; some seconds later the line at the top turns red, and the " +
          "program reconnects, in vain until you switch this off.",
        isOn: () => isSilent,
        pull: (on) => {
          isSilent = on;
          levers.silent(on);
          return { on };
        },
      },
      loseProduct: {
        title: `${first} stops`,
        teaches: `The exchange goes on trading ${first} but no longer sends its tickers, while all other products ` +
          "arrive: only its heartbeats, which name the last trade, give it away.",
        watch: `In the list only ${first} turns to stalled, about ten seconds later; the program subscribes to it ` +
          "again, and then reconnects.",
        isOn: () => isStopped,
        pull: (on) => {
          isStopped = on;
          levers.loseProduct(first, on);
          return { on, product: first };
        },
      },
      wrongProduct: {
        title: `Delist ${last}`,
        teaches: `The exchange refuses ${last} from now on, in words and without a code: asking again is useless, ` +
          "and the other products must not suffer for it.",
        watch: `${last} turns to refused in the list (select it to read the exchange's own words), and stays so ` +
          "until the demo is restarted.",
        // a feed whose every product is refused gives up
        isThere: () => products.length > 1,
        pull: () => ({ reached: levers.wrongProductErrors(last), product: last }),
      },
      junk: {
        title: "Junk frames",
        // the test of this lever proves these numbers
        teaches:
          `${INVALID_FRAMES.length} messages arrive that are not prices (not JSON, cut short, a price of zero, of true, ` +
          'of "1e999"): everything from the network is checked before it is used.',
        watch: "In the pipeline, decode turns red: 29 rejected, each with its reason, and 1 ignored because of its " +
          "unknown type; 1 is an error message, counted as control, and no price moves.",
        pull: () => ({ reached: levers.junk(INVALID_FRAMES.length), frames: INVALID_FRAMES.length }),
      },
      repeats: {
        title: "Repeats",
        teaches: `The last tick arrives ${REPEATS} more times, as it does once after each reconnect: every feed ` +
          "repeats itself, so each tick needs a number that identifies it.",
        watch: `In the pipeline, decode shows ${REPEATS} repeated, and the store gets none of them: the candle ` +
          "counts that tick once.",
        pull: () => ({ reached: levers.repeat(REPEATS), frames: REPEATS }),
      },
      outOfOrder: {
        title: "Out of order",
        teaches: `Two trades of each product arrive in the wrong order, and one of ${first} arrives a minute late: ` +
          "when it happened and when it arrived are two different times.",
        watch: "No candle ends on a wrong price: each closes with the trade that happened last, and the late one is " +
          "added to the candle of its own minute.",
        pull: () => {
          const reached = Math.max(...products.map((product) => levers.outOfOrder(product)));
          levers.late(LATE_MS, first);
          return { reached, trades: 2 * products.length + 1 };
        },
      },
      slowDisk: {
        title: "Slow disk",
        teaches: `Each write to the store now waits ${SLOW_MS / 1000} seconds: a queue stands between a fast side ` +
          "and a slow side, and it helps only as long as it has room.",
        watch: "Prices go on, since the page does not wait for the disk, while ticks queue up before the store; add " +
          "the flood, and what no longer fits is dropped, counted and shaded.",
        isThere: () => slowSinks.length > 0,
        isOn: () => slowSinks.some(({ delayMs }) => delayMs > 0),
        pull: (on) => {
          for (const sink of slowSinks) sink.delayMs = on ? SLOW_MS : 0;
          return { on };
        },
      },
      flood: {
        title: "Flood",
        teaches: `The market panics, with ${FLOOD_RATE.toLocaleString("en")} trades a second for ${floodMs / 1000} ` +
          "seconds: a price feed is built for its worst minute, not for its average.",
        watch:
          "In the pipeline, all rates jump and the queues stay short, as long as the store keeps up; with the slow " +
          "disk switched on, its queue is full within seconds.",
        pull: () => ({ trades: levers.flood(FLOOD_RATE, floodMs, true), seconds: floodMs / 1000 }),
      },
      brokerAway: {
        title: "Broker away",
        teaches: "The connection to Kafka is cut: what was sent but not acknowledged waits here, and is sent again.",
        watch:
          "In the pipeline, Kafka turns red and its queue grows, while store and page go on; switch this off, and " +
          "the queue empties with nothing missing.",
        isThere: () => broker !== undefined,
        isOn: () => broker?.isCut === true,
        pull: (on) => ({ on, sockets: broker?.set(on) ?? 0 }),
      },
    };
  }
}
