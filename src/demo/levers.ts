// The levers of the demo's page: each causes one realistic fault with the simulator's levers, a slow disk or a cut
// connection, and says what it teaches and what to watch.

import { INVALID_FRAMES } from "../simulator/invalid_frames.ts";
import { ON, readArguments } from "../simulator/levers.ts";
import type { Simulator } from "../simulator/server.ts";
import type { DemoLevers, Lever } from "../web/demo_api.ts";
import type { BrokerConnections } from "./broker_connections.ts";
import type { SlowDisk } from "./slow_disk.ts";

/** What the levers act on. */
export interface LeverTargets {
  readonly simulator: Simulator;
  readonly disk: SlowDisk;
  /** The connections to Kafka; undefined without Kafka. */
  readonly broker: BrokerConnections | undefined;
  /** How long the exchange refuses connections after a hang-up: long enough to see several attempts, ms. Default 10000. */
  readonly awayMs?: number | undefined;
  /** How long the flood lasts, ms. Default 15000. */
  readonly floodMs?: number | undefined;
  /** Whether levers can be pulled. Until the history is complete they would make trades in the middle of it. */
  readonly isReady: () => boolean;
}

/** How long each write of a slow disk waits: long enough to be reported as slow, ms. */
export const SLOW_MS = 12_000;
/** Trades per second of the flood, over all products. */
export const FLOOD_RATE = 10_000;
const REPEATS = 50;
const LATE_MS = 60_000;

interface Entry extends Omit<Lever, "kind" | "on"> {
  /** Only switches have it. */
  readonly isOn?: () => boolean;
  /** `on` is false for a pulse. Returns the answer to the page. */
  readonly pull: (on: boolean) => object;
}

/** The levers, all off at the start. Pulses take no arguments, switches take `on`. */
export class LeverPanel implements DemoLevers, Disposable {
  readonly #targets: LeverTargets;
  readonly #entries: readonly Entry[];
  /** Set while the exchange refuses connections. */
  #awayTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(targets: LeverTargets) {
    this.#targets = targets;
    this.#entries = this.#table(targets);
  }

  /** All levers that exist in this demo. */
  list(): Lever[] {
    return this.#entries.map(({ name, title, teaches, watch, isOn }) => {
      const kind = isOn === undefined ? { kind: "pulse" as const } : { kind: "switch" as const, on: isOn() };
      return { name, title, teaches, watch, ...kind };
    });
  }

  pull(name: string, args: unknown): Promise<object | false> {
    return new Promise((resolve) => {
      const entry = this.#entries.find((entry) => entry.name === name);
      if (entry === undefined) return resolve(false);
      if (!this.#targets.isReady()) throw new RangeError(`Cannot pull ${name}: the day of history is not complete yet`);
      const [on] = readArguments(name, { required: entry.isOn === undefined ? [] : [ON], optional: [] }, args);
      resolve(entry.pull(on === true));
    });
  }

  /** Switches everything off. */
  reset(): void {
    if (this.#awayTimer !== undefined) this.#return();
    for (const { isOn, pull } of this.#entries) if (isOn?.() === true) pull(false);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#awayTimer);
  }

  /** Closes every connection and refuses new ones for a while. */
  #goAway(ms: number): object {
    clearTimeout(this.#awayTimer);
    const { levers } = this.#targets.simulator;
    levers.refuseUpgrade(true);
    this.#awayTimer = setTimeout(() => this.#return(), ms);
    return { reached: levers.hangUp(), awaySeconds: ms / 1000 };
  }

  #return(): void {
    clearTimeout(this.#awayTimer);
    this.#targets.simulator.levers.refuseUpgrade(false);
  }

  #table({ simulator, disk, broker, awayMs = 10_000, floodMs = 15_000 }: LeverTargets): Entry[] {
    const { levers, products } = simulator;
    const [first = ""] = products;
    const last = products.at(-1) ?? first;
    let isSilent = false;
    let isStopped = false;
    const entries: Entry[] = [
      {
        name: "hangUp",
        title: "Hang up",
        teaches: `The exchange closes the connection and refuses new ones for ${awayMs / 1000} seconds: every ` +
          "connection breaks sooner or later, and the remedy is to reconnect, with growing pauses.",
        watch: "The line at the top counts down to the next attempt; once prices arrive again, the chart shades the " +
          "time in which trades may be missing.",
        pull: () => this.#goAway(awayMs),
      },
      {
        name: "silence",
        title: "Silence",
        teaches: "The connection stays open but nothing arrives on it, and no error reports that: it is noticed only " +
          "because the heartbeats stop, which should come every second.",
        watch: "At first only the ages in the list grow; after some seconds the line at the top turns red and the " +
          "program reconnects, without success until you switch this off.",
        isOn: () => isSilent,
        pull: (on) => {
          levers.silent(isSilent = on);
          return { on };
        },
      },
      {
        name: "loseProduct",
        title: `${first} stops`,
        teaches: `The exchange goes on trading ${first} but no longer sends its tickers, while all other products ` +
          "arrive: only the heartbeats, which name the last trade, reveal it.",
        watch: `In the list only ${first} turns to stalled, after about ten seconds; the program subscribes to it ` +
          "again, and then reconnects.",
        isOn: () => isStopped,
        pull: (on) => {
          levers.loseProduct(first, isStopped = on);
          return { on, product: first };
        },
      },
      {
        name: "wrongProduct",
        title: `Delist ${last}`,
        teaches: `The exchange refuses ${last} from now on, with a text instead of an error code: subscribing again ` +
          "is useless, and the other products must not be affected.",
        watch: `${last} turns to refused in the list (select it to read the exchange's message) and stays refused ` +
          "until the demo is restarted.",
        pull: () => ({ reached: levers.wrongProductErrors(last), product: last }),
      },
      {
        name: "junk",
        title: "Junk frames",
        // the test of this lever proves these numbers
        teaches: `${INVALID_FRAMES.length} messages arrive that are not prices (not JSON, cut short, a price of ` +
          'zero, of true, of "1e999"): everything from the network is checked before it is used.',
        watch: "In the pipeline, decode turns red: 29 rejected, each with its reason, and 1 ignored " +
          "because its type is unknown; 1 is an error message, counted as control, and no price moves.",
        pull: () => ({ reached: levers.junk(INVALID_FRAMES.length), frames: INVALID_FRAMES.length }),
      },
      {
        name: "repeats",
        title: "Repeats",
        teaches: `The last tick arrives ${REPEATS} more times, as it does once after each reconnect: every feed ` +
          "repeats itself, so each tick needs a number that identifies it.",
        watch: `In the pipeline, decode shows ${REPEATS} repeated and the store gets none of them: ` +
          "the candle counts that tick once.",
        pull: () => ({ reached: levers.repeat(REPEATS), frames: REPEATS }),
      },
      {
        name: "outOfOrder",
        title: "Out of order",
        teaches: `Two trades of each product arrive in the wrong order, and one of ${first} arrives a minute late: ` +
          "when a trade happened and when it arrived are two different times.",
        watch: "No candle closes at a wrong price: each closes with the trade that happened last, and the late one " +
          "is added to the candle of its own minute.",
        pull: () => {
          const reached = Math.max(...products.map((product) => levers.outOfOrder(product)));
          levers.late(LATE_MS, first);
          return { reached, trades: 2 * products.length + 1 };
        },
      },
      {
        name: "slowDisk",
        title: "Slow disk",
        teaches: `Each write to the store now waits ${SLOW_MS / 1000} seconds: a queue between a fast side and a ` +
          "slow side helps only as long as it has room.",
        watch: "Prices go on, but the chart waits for the store, and ticks queue up before it; " +
          "add the flood, and the ticks that no longer fit are dropped, counted and shaded in the chart.",
        isOn: () => disk.delayMs > 0,
        pull: (on) => {
          disk.delayMs = on ? SLOW_MS : 0;
          return { on };
        },
      },
      {
        name: "flood",
        title: "Flood",
        teaches: `The market panics, with ${FLOOD_RATE.toLocaleString("en")} trades a second for ${floodMs / 1000} ` +
          "seconds: a price feed is built for its worst minute, not for its average.",
        watch: "All rates in the pipeline jump and the queues stay short, as long as the store keeps " +
          "up; with the slow disk switched on, its queue is full within seconds.",
        pull: () => ({ trades: levers.flood(FLOOD_RATE, floodMs, true), seconds: floodMs / 1000 }),
      },
      {
        name: "brokerAway",
        title: "Broker away",
        teaches: "The connection to Kafka is cut: whatever Kafka has not acknowledged waits here and is sent again.",
        watch: "In the pipeline, Kafka turns red and its queue grows, while store and page go on; " +
          "switch this off, and the queue empties with nothing missing.",
        isOn: () => broker?.isCut === true,
        pull: (on) => ({ on, sockets: broker?.set(on) ?? 0 }),
      },
    ];
    // a feed whose every product is refused gives up
    const missing = [...products.length > 1 ? [] : ["wrongProduct"], ...broker === undefined ? ["brokerAway"] : []];
    return entries.filter(({ name }) => !missing.includes(name));
  }
}
