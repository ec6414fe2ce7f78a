// The list of exchanges: a new one is a file in this folder and a line here.

import { coinbase } from "./coinbase.ts";
import type { Exchange } from "./exchange.ts";

/** All exchanges, by name. */
export const EXCHANGES: Readonly<Record<string, Exchange>> = { coinbase };

/** The one that is meant when nobody says which. */
export const DEFAULT_EXCHANGE: Exchange = coinbase;
