// The list of exchanges: a new one is a file in this directory and a line here.

import { coinbase } from "./coinbase.ts";
import type { Exchange } from "./exchange.ts";

/** All exchanges by name. */
export const EXCHANGES: Readonly<Record<string, Exchange>> = { coinbase };

/** The exchange if EXCHANGE is not set. */
export const DEFAULT_EXCHANGE: Exchange = coinbase;
