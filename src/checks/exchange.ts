// The exchange: whether it accepts a connection and answers the subscription, and when each product was last traded. Later
// stages are compared with these times, so that a product that is not traded does not count as late.

import type { Config } from "../config/config.ts";
import { waitAtMost } from "../core/abort.ts";
import { systemClock } from "../core/clock.ts";
import { secondsText } from "../core/duration.ts";
import { reasonOf } from "../core/errors.ts";
import { seriesOf } from "../core/record.ts";
import { type Refusal, refusesChannel } from "../exchanges/exchange.ts";
import { Socket } from "../pipeline/socket.ts";
import { type Finding, ok, Problem } from "./stage.ts";

/** The longest time until the exchange accepts the connection, ms. */
const HANDSHAKE_MS = 5000;
/** How long to wait for the last trade of every product after the first answer, ms. */
const ALL_PRODUCTS_MS = 1500;
const MAX_FRAME_LENGTH = 1_048_576;
const TRY_LATER = "try again in a minute; if it stays so, look at the exchange's status page";

/**
 * Subscribes for a moment.
 *
 * @param lastTrades receives the time of each product's last trade, unix seconds by the exchange's clock
 */
export async function checkExchange(
  { exchange, feedUrl, channel, products }: Pick<Config, "exchange" | "feedUrl" | "channel" | "products">,
  lastTrades: Map<string, number>,
  signal: AbortSignal,
): Promise<Finding> {
  const since = systemClock.elapsed();
  const setting = exchange.name.toUpperCase();
  const url = feedUrl.replace(/[^\s/]+@/g, "...@");
  const address = `${exchange.title} at ${url}`;
  let socket: Socket;
  try {
    socket = await Socket.connect(feedUrl, { maxFrameLength: MAX_FRAME_LENGTH, handshakeMs: HANDSHAKE_MS }, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw new Problem(
      `${address}: ${reasonOf(error)}`,
      `${exchange.title} is down, or a firewall or proxy blocks the connection`,
      `open the exchange's status page; without internet access run deno task demo, or set ${setting}_WS_URL to a simulator`,
    );
  }
  // Messages by product, because a product may be refused once for each channel. A message that names no product is its own key.
  const refusals = new Map<string, string>();
  let channelRefusal: Refusal | undefined;
  const answered = Promise.withResolvers<void>();
  const complete = Promise.withResolvers<void>();
  let answerMs: number | undefined;
  let subscribed = products.length;
  let frames = 0;
  const onAbort = () => socket.terminate();
  signal.addEventListener("abort", onAbort, { once: true });
  const closed = socket.receive({
    onFrame(text) {
      frames++;
      const { subscribed: accepted, refused, ticks, heartbeat } = exchange.decode(text, Date.now());
      subscribed = accepted?.length ?? subscribed;
      if (refused !== undefined) {
        refusals.set(refused.kind === "product" ? refused.product : refused.words, refused.words);
        if (refusesChannel(refused, channel)) channelRefusal = refused;
      }
      for (const { product, exchangeTimeUs } of ticks) {
        const series = seriesOf(exchange.name, product);
        lastTrades.set(series, Math.max(lastTrades.get(series) ?? 0, exchangeTimeUs / 1e6));
      }
      if (ticks.length > 0 || heartbeat !== undefined) answerMs ??= Math.round(systemClock.elapsed() - since);
      if (answerMs !== undefined || channelRefusal !== undefined || refusals.size >= products.length) {
        answered.resolve();
      }
      if (lastTrades.size >= products.length) complete.resolve();
    },
    onOversize() {},
    relief: () => undefined,
  });
  try {
    for (const frame of exchange.subscribe(products, channel)) socket.send(frame);
    const close = await Promise.race([answered.promise, closed]);
    if (signal.aborted) {
      throw new Problem(
        `${address} accepts the connection but sends ${frames === 0 ? "nothing" : "no price"}`,
        `${exchange.title} is overloaded or broken, or a proxy drops what it sends`,
        TRY_LATER,
      );
    }
    const [words] = refusals.values();
    if (close !== undefined) {
      throw new Problem(
        `${address} closed the connection: ${close.code} ${close.reason}`.trimEnd(),
        words === undefined
          ? `${exchange.title} is restarting, or there are too many connections from this address`
          : `it refuses the subscription: ${words}`,
        TRY_LATER,
      );
    }
    if (answerMs === undefined && channelRefusal !== undefined) {
      throw new Problem(
        `${exchange.title} refuses the channel ${channel}: ${channelRefusal.words}`,
        channelRefusal.kind === "login" ? "the channel needs a login" : "the exchange does not have this channel",
        `set ${setting}_CHANNEL to one of: ${Object.keys(exchange.channels).join(", ")}`,
      );
    }
    if (answerMs === undefined) {
      throw new Problem(
        `${exchange.title} refuses all ${products.length} products: ${words}`,
        "none of the products exists there under that name, or the exchange gives another reason",
        `correct ${setting}_PRODUCTS`,
      );
    }
    if (lastTrades.size < products.length) {
      await waitAtMost(ALL_PRODUCTS_MS, Promise.race([complete.promise, closed]), systemClock);
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    socket.terminate();
    await closed;
  }
  const answers = `${exchange.title} answers after ${answerMs} ms`;
  const facts = {
    url,
    channel,
    firstAnswerMs: answerMs,
    refused: [...refusals.values()],
    lastTrades: Object.fromEntries(lastTrades),
  };
  const [refusal] = refusals;
  if (refusal !== undefined && refusals.size < products.length) {
    const [product, words] = refusal;
    const first = product === words ? words : `${product}: ${words}`;
    return ok(`${answers}, but refuses ${refusals.size} of ${products.length} products: ${first}`, facts);
  }
  const age = Date.now() / 1000 - Math.max(...lastTrades.values());
  const newest = lastTrades.size === 0 ? "no trade yet" : `the newest trade is ${secondsText(age)} old`;
  return ok(`${answers}, ${subscribed} of ${products.length} products on ${channel}, ${newest}`, facts);
}
