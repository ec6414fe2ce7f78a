// The exchange: whether it takes a connection, answers the subscription, and when each product was traded last. That
// last time is what all later stages are held against: a product that nobody trades is no fault.

import { waitAtMost } from "../core/abort.ts";
import { systemClock } from "../core/clock.ts";
import { secondsText } from "../core/duration.ts";
import { reasonOf } from "../core/errors.ts";
import { type Exchange, type Refusal, refusesChannel } from "../exchanges/exchange.ts";
import { seriesOf } from "../core/record.ts";
import { type Closed, Socket } from "../pipeline/socket.ts";
import { broken, type Finding, ok, Trouble } from "./stage.ts";

/** What to ask for. */
export interface ExchangeWish {
  /** Whose protocol. */
  readonly exchange: Exchange;
  /** Where. */
  readonly url: string;
  /** One of its channels. */
  readonly channel: string;
  /** At least one. */
  readonly products: readonly string[];
  /** Wall clock, ms. */
  readonly now: () => number;
  /** Monotonic ms. */
  readonly elapsed: () => number;
}

/** When each product was traded last, unix seconds by the exchange's clock, by the name that readers know. */
export type LastTrades = Map<string, number>;

/** Until the exchange must have taken the connection, ms. */
const HANDSHAKE_MS = 5000;
/** After the first sign of life, the last trade of each product is waited for so long, ms. */
const ALL_MS = 1500;
const MAX_FRAME_LENGTH = 1_048_576;

/** Subscribes for a moment. Puts what it hears into `trades`. */
export async function lookAtExchange(wish: ExchangeWish, trades: LastTrades, signal: AbortSignal): Promise<Finding> {
  const { exchange, url, channel, products, now, elapsed } = wish;
  const since = elapsed();
  const where = url.replace(/[^\s/]+@/g, "...@");
  let socket: Socket;
  try {
    socket = await Socket.connect(url, { maxFrameLength: MAX_FRAME_LENGTH, handshakeMs: HANDSHAKE_MS }, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw new Trouble(
      `${exchange.title} at ${where}: ${reasonOf(error)}`,
      `${exchange.title} cannot be reached from here: it is away, or a firewall or proxy is in the way`,
      `try it in a browser; see its status page; without the internet: deno task demo, or ${exchange.name.toUpperCase()}_WS_URL`,
    );
  }
  /** Words by product, or by themselves where they name none: each channel refuses on its own. */
  const refusals = new Map<string, string>();
  let unavailable: Refusal | undefined;
  const heard = Promise.withResolvers<void>();
  const all = Promise.withResolvers<void>();
  let firstMs: number | undefined;
  let subscribed: readonly string[] | undefined;
  let answers = 0;
  const onEnd = () => socket.terminate();
  signal.addEventListener("abort", onEnd, { once: true });
  const ended: Promise<Closed> = socket.receive({
    onFrame(text) {
      const decoded = exchange.decode(text, now());
      subscribed = decoded.subscribed ?? subscribed;
      if (decoded.refused !== undefined) {
        const { refused } = decoded;
        refusals.set(refused.kind === "product" ? refused.product : refused.words, refused.words);
        if (refusesChannel(refused, channel)) {
          unavailable = refused;
          heard.resolve();
        }
      }
      for (const { product, exchangeTimeUs } of decoded.ticks) {
        const series = seriesOf(exchange.name, product);
        trades.set(series, Math.max(trades.get(series) ?? 0, exchangeTimeUs / 1e6));
      }
      answers++;
      if (decoded.ticks.length > 0 || decoded.heartbeat !== undefined) {
        firstMs ??= elapsed() - since;
        heard.resolve();
      }
      if (trades.size >= products.length) all.resolve();
      // no product is left that it could speak of
      if (refusals.size >= products.length) heard.resolve();
    },
    onOversize() {},
    relief: () => undefined,
  });
  try {
    for (const frame of exchange.subscribe(products, channel)) socket.send(frame);
    const end = await Promise.race([heard.promise, ended]);
    signal.throwIfAborted();
    const [refused] = refusals.values();
    if (end !== undefined) {
      return broken(
        `${exchange.title} at ${where} hung up: ${end.code}${end.reason === "" ? "" : ` ${end.reason}`}`,
        refused !== undefined
          ? `it refuses the subscription: ${refused}`
          : `${exchange.title} took the connection and ended it: too many connections from this address, or it is restarting`,
        "try again in a minute; if it stays so, see its status page",
      );
    }
    if (firstMs === undefined && unavailable !== undefined) {
      return broken(
        `${exchange.title} refuses the channel ${channel}: ${unavailable.words}`,
        unavailable.kind === "login" ? "the channel needs a login" : "the exchange does not offer this channel",
        `set ${exchange.name.toUpperCase()}_CHANNEL to one of: ${Object.keys(exchange.channels).join(", ")}`,
      );
    }
    if (firstMs === undefined) {
      return broken(
        `${exchange.title} refuses all ${products.length} products: ${refused}`,
        "none of the products is traded there under that name, or its words name another reason",
        `correct ${exchange.name.toUpperCase()}_PRODUCTS`,
      );
    }
    if (trades.size < products.length) await waitAtMost(ALL_MS, Promise.race([all.promise, ended]), systemClock);
  } catch (error) {
    if (signal.aborted) {
      throw new Trouble(
        `${exchange.title} at ${where} takes the connection and says ${
          answers === 0 ? "nothing" : "nothing of a price"
        }`,
        `the subscription was not answered: ${exchange.title} is busy or broken, or something between swallows what it sends`,
        "try again in a minute; if it stays so, see its status page",
      );
    }
    throw error;
  } finally {
    signal.removeEventListener("abort", onEnd);
    socket.terminate();
    await ended;
  }
  const newest = Math.max(0, ...trades.values());
  const facts = {
    url: where,
    channel,
    firstAnswerMs: Math.round(firstMs ?? 0),
    refused: [...refusals.values()],
    lastTrades: Object.fromEntries(trades),
  };
  const [first] = refusals;
  if (first !== undefined && refusals.size < products.length) {
    const [product, words] = first;
    return ok(
      `${exchange.title} answers after ${
        Math.round(firstMs ?? 0)
      } ms, and refuses ${refusals.size} of ${products.length} products: ${
        product === words ? words : `${product}: ${words}`
      }`,
      facts,
    );
  }
  const traded = newest === 0 ? "no trade yet" : `the newest trade is ${secondsText(now() / 1000 - newest)} old`;
  return ok(
    `${exchange.title} answers after ${Math.round(firstMs ?? 0)} ms, ${
      subscribed?.length ?? products.length
    } of ${products.length} products on ${channel}, ${traded}`,
    facts,
  );
}
