// The levers of the demo's page: each makes one thing go wrong in a real way, and says what it teaches and what to
// watch.

import { coinbase } from "../exchanges/coinbase.ts";
import { JUNK } from "../simulator/junk.ts";
import { ON, readArguments } from "../simulator/levers.ts";
import type { Simulator } from "../simulator/server.ts";
import { Intake } from "../pipeline/intake.ts";
import { Stats } from "../core/stats.ts";
import type { DemoLevers, Lever } from "../web/demo_api.ts";
import type { BrokerLine } from "./broker_line.ts";
import type { SlowSink } from "./slow_sink.ts";

/** What the levers move. */
export interface LeverHandles {
  /** The exchange. */
  readonly simulator: Simulator;
  /** The sinks that can be slow; looked at anew each time. */
  readonly slowSinks: readonly SlowSink[];
  /** The line to Kafka; undefined: there is no Kafka. */
  readonly broker: BrokerLine | undefined;
  /** Default {@link AWAY_MS}. */
  readonly awayMs?: number | undefined;
  /** Default {@link FLOOD_MS}. */
  readonly floodMs?: number | undefined;
  /** What must be so before a lever can be pulled; undefined: nothing more. */
  readonly notYet?: () => string | undefined;
}

/** How long the exchange takes no connection after it has hung up: long enough to see tries and pauses, ms. */
export const AWAY_MS = 10_000;
/** How long each write of a slow disk waits: long enough that the lane calls it slow, ms. */
export const SLOW_MS = 12_000;
/** Of the flood: per second, over all products. */
export const FLOOD_RATE = 10_000;
/** How long it lasts, ms. */
export const FLOOD_MS = 15_000;
const REPEATS = 50;
const LATE_MS = 60_000;

interface Entry extends Omit<Lever, "kind" | "on" | "name"> {
  /** Of a switch. */
  readonly isOn?: () => boolean;
  /** Whether there is anything to move; default yes. */
  readonly isThere?: () => boolean;
  /** `on` is false for a pulse. */
  readonly pull: (on: boolean) => object;
}

/** See {@link DemoLevers}. */
export class LeverPanel implements DemoLevers, Disposable {
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #notYet: () => string | undefined;
  #back: ReturnType<typeof setTimeout> | undefined;
  #exchangeIsBack: () => void = () => {};

  /** Moves nothing. */
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

  /** See {@link DemoLevers.pull}: pulses take nothing, switches `on`. */
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

  /** No timer is left. */
  [Symbol.dispose](): void {
    clearTimeout(this.#back);
  }

  /** The exchange is away: it hangs up, and takes no connection for a while. */
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
    const [away, slow, flood] = [awayMs / 1000, SLOW_MS / 1000, floodMs / 1000];
    const junk = countJunk();
    const rate = FLOOD_RATE.toLocaleString("en");
    const state: { silence: boolean; stopped: boolean } = { silence: false, stopped: false };
    return {
      hangUp: {
        title: "Hang up",
        teaches:
          `The exchange ends the connection and takes no new one for ${away} seconds: every connection ends one ` +
          "day, and the cure is to try again, with pauses that grow.",
        watch:
          "The line at the top counts down to the next try; once prices come again, the chart shades the time of " +
          "which nobody knows what was traded.",
        pull: () => this.#hangUp(simulator, awayMs),
      },
      silence: {
        title: "Silence",
        teaches: "The connection stays open and nothing comes on it, which no error ever reports: it is noticed only " +
          "because the heartbeats stop, which should come every second.",
        watch: "At first only the ages in the list grow; some seconds later the line at the top turns red, and the " +
          "program connects anew, in vain until you switch this off.",
        isOn: () => state.silence,
        pull: (on) => {
          state.silence = on;
          levers.silent(on);
          return { on };
        },
      },
      loseProduct: {
        title: `${first} stops`,
        teaches: `The exchange goes on trading ${first} and no longer tells us, while all others arrive: only its ` +
          "heartbeats, which name the last trade, give it away.",
        watch: `In the list ${first} alone turns to stalled, some ten seconds later; the program asks for it again, ` +
          "and then connects anew.",
        isOn: () => state.stopped,
        pull: (on) => {
          state.stopped = on;
          levers.loseProduct(first, on);
          return { on, product: first };
        },
      },
      wrongProduct: {
        title: `Delist ${last}`,
        teaches:
          `The exchange refuses ${last} from now on, in words and without a code: asking again is useless, and ` +
          "the other products must not suffer for it.",
        watch:
          `${last} turns to refused in the list (choose it to read the exchange's own words), and stays so until ` +
          "the demo is started again.",
        // a feed that is refused everything gives up
        isThere: () => products.length > 1,
        pull: () => ({ reached: levers.wrongProductErrors(last), product: last }),
      },
      junk: {
        title: "Junk frames",
        teaches:
          `${JUNK.length} messages arrive that are no prices (not JSON, cut short, a price of zero, of true, of ` +
          '"1e999"): what comes off a wire is checked before it is believed.',
        watch: `On the road the box decode turns red: ${junk.rejectedTotal} rejected, each with its reason, and ` +
          `${junk.ignored} ignored, as its type is unknown; ${junk.control} is an error message, counted as control, ` +
          "and no price moves.",
        pull: () => ({ reached: levers.junk(JUNK.length), frames: JUNK.length }),
      },
      repeats: {
        title: "Repeats",
        teaches:
          `The last tick arrives ${REPEATS} times more, as it does once after each reconnect: every feed repeats ` +
          "itself, so each tick needs a number by which it is known again.",
        watch:
          `On the road the box decode says ${REPEATS} repeated, and the store gets none of them: the candle counts ` +
          "that tick once.",
        pull: () => ({ reached: levers.repeat(REPEATS), frames: REPEATS }),
      },
      outOfOrder: {
        title: "Out of order",
        teaches:
          `Of each product two trades arrive in the wrong order, and one of ${first} comes a minute late: when ` +
          "it happened and when it arrived are two things.",
        watch:
          "No candle ends on a wrong price: each closes with the trade that happened last, and the late one goes " +
          "into the candle of its own minute.",
        pull: () => {
          const reached = Math.max(...products.map((product) => levers.outOfOrder(product)));
          levers.late(LATE_MS, first);
          return { reached, trades: 2 * products.length + 1 };
        },
      },
      slowDisk: {
        title: "Slow disk",
        teaches: `Each write to the store now waits ${slow} seconds: between a fast side and a slow side stands a ` +
          "queue, and it helps only for as long as it has room.",
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
        teaches: `The market panics, with ${rate} trades a second for ${flood} seconds: what handles prices is built ` +
          "for its worst minute and not for its average.",
        watch: "On the road all rates jump and the queues stay short, as long as the store keeps up; with the slow " +
          "disk switched on, its queue is full within seconds.",
        pull: () => ({ trades: levers.flood(FLOOD_RATE, floodMs, true), seconds: flood }),
      },
      brokerAway: {
        title: "Broker away",
        teaches: "The line to Kafka is cut: what was sent and not confirmed waits here, and is sent again later.",
        watch:
          "On the road Kafka turns red and its queue grows, while store and page go on; switch this off, and the " +
          "queue runs empty with nothing missing.",
        isThere: () => broker !== undefined,
        isOn: () => broker?.isCut === true,
        pull: (on) => ({ on, sockets: broker?.set(on) ?? 0 }),
      },
    };
  }
}

/** The counters after all the junk, counted as the feed counts it. */
function countJunk(): Stats {
  const stats = new Stats();
  const limits = { channel: coinbase.defaultChannel, products: undefined, maxFrameLength: 1_048_576 };
  const intake = new Intake({ exchange: coinbase, ...limits, stats }, { onTick() {} });
  const decoder = new TextDecoder();
  for (const frame of JUNK) intake.accept(typeof frame === "string" ? frame : decoder.decode(frame));
  return stats;
}
