// The levers of the demo's page: each makes one thing go wrong in a real way, and says what it teaches and what to
// watch.

import { JUNK } from "../simulator/junk.ts";
import type { Simulator } from "../simulator/server.ts";
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
  #back: ReturnType<typeof setTimeout> | undefined;
  #exchangeIsBack: () => void = () => {};

  /** Moves nothing. */
  constructor(handles: LeverHandles) {
    this.#entries = new Map(Object.entries(this.#table(handles)));
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
      resolve(entry.pull(readOn(name, args, entry.isOn !== undefined)));
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
    const rate = FLOOD_RATE.toLocaleString("en");
    const state: { silence: boolean; stopped: boolean } = { silence: false, stopped: false };
    return {
      hangUp: {
        title: "Hang up",
        teaches: `The exchange closes the connection and takes no new one for ${away} seconds: connections end, and ` +
          "what keeps a feed alive is to try again, with pauses that grow.",
        watch: "The strip counts down to the next try; then prices go on, and the chart shades the time for which " +
          "nobody knows what was traded.",
        pull: () => this.#hangUp(simulator, awayMs),
      },
      silence: {
        title: "Silence",
        teaches:
          "The connection stays open and nothing comes on it any more: no error will ever tell, so the absence " +
          "of heartbeats has to.",
        watch: "For some seconds all seems well but the age of the prices; then the strip says that the exchange is " +
          "silent, and the feed connects anew until you switch this off.",
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
          "heartbeats, which count the trades, give it away.",
        watch: `${first} turns from live to stalled while the others stay live; the feed asks for it again, and then ` +
          "connects anew.",
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
          `The exchange refuses ${last} from now on, in words and not with a code: asking again would not help, ` +
          "and the other products must not suffer for it.",
        watch: `${last} is marked as refused, with the exchange's own words, and stays so until the demo is started ` +
          "again.",
        // a feed that is refused everything gives up
        isThere: () => products.length > 1,
        pull: () => ({ reached: levers.wrongProductErrors(last), product: last }),
      },
      junk: {
        title: "Junk frames",
        teaches: `${JUNK.length} frames arrive that are no prices (not JSON, cut short, a price of zero, of true, of ` +
          '"1e999"): whatever comes off a wire is checked before it is believed.',
        watch: "Rejected rises by the frame, each with its reason, and no price on the page moves because of it.",
        pull: () => ({ reached: levers.junk(JUNK.length), frames: JUNK.length }),
      },
      repeats: {
        title: "Repeats",
        teaches:
          `The same tick arrives ${REPEATS} times more, as after each reconnect, only worse: every feed repeats ` +
          "itself, so each tick needs a name by which it is known again.",
        watch: "Repeated rises, stored does not: the candle counts the tick once.",
        pull: () => ({ reached: levers.repeat(REPEATS), frames: REPEATS }),
      },
      outOfOrder: {
        title: "Out of order",
        teaches:
          "Of each product two trades arrive with the later one first, and one trade comes a minute late: when " +
          "it happened and when it arrived are two things.",
        watch:
          "Received rises by two for each product and by one more; the running candle still closes with the later " +
          `trade, and the late one of ${first} went into the candle of its own minute.`,
        pull: () => {
          const reached = Math.max(...products.map((product) => levers.outOfOrder(product)));
          levers.late(LATE_MS, first);
          return { reached, trades: 2 * products.length + 1 };
        },
      },
      slowDisk: {
        title: "Slow disk",
        teaches:
          `Each write to the store now waits ${slow} seconds first: between a fast side and a slow side there is ` +
          "a queue, and a queue only helps for as long as it has room.",
        watch:
          "Prices on the page go on, since they do not wait for the disk, while ticks queue up before the store; " +
          "with the flood beside it the queue fills, and what no longer fits is dropped, counted and shaded.",
        isThere: () => slowSinks.length > 0,
        isOn: () => slowSinks.some(({ delayMs }) => delayMs > 0),
        pull: (on) => {
          for (const sink of slowSinks) sink.delayMs = on ? SLOW_MS : 0;
          return { on };
        },
      },
      flood: {
        title: "Flood",
        teaches:
          `The market panics: ${rate} trades a second for ${flood} seconds, each told at once; a feed has to be ` +
          "built for its worst minute and not for its average.",
        watch: "The rates of all stages jump together; a store that keeps up has an almost empty queue even now, and " +
          "with the slow disk beside it the queue is full within seconds.",
        pull: () => ({ trades: levers.flood(FLOOD_RATE, floodMs, true), seconds: flood }),
      },
      brokerAway: {
        title: "Broker away",
        teaches:
          "The line to Kafka is cut: what was sent and not confirmed is sent again, and until then it waits here.",
        watch: "Kafka is the stage in trouble and its queue rises, while store and page go on; once you switch this " +
          "off, the queue runs empty and nothing is missing.",
        isThere: () => broker !== undefined,
        isOn: () => broker?.isCut === true,
        pull: (on) => ({ on, sockets: broker?.set(on) ?? 0 }),
      },
    };
  }
}

/** What a switch is to be; false for a pulse. Throws a RangeError for anything else than asked for. */
function readOn(name: string, args: unknown, isSwitch: boolean): boolean {
  const told = (wish: string, value: unknown) =>
    new RangeError(`Cannot pull ${name} as ${wish}: current value is ${JSON.stringify(value)?.slice(0, 100)}`);
  if (typeof args !== "object" || args === null || Array.isArray(args)) {
    throw told("its arguments must be a JSON object", args);
  }
  const given = new Map<string, unknown>(Object.entries(args));
  for (const [key, value] of given) {
    if (!isSwitch || key !== "on") throw told(`it takes no ${JSON.stringify(key)}`, value);
  }
  const on = given.get("on");
  if (isSwitch && typeof on !== "boolean") throw told("on must be true or false", on ?? null);
  return on === true;
}
