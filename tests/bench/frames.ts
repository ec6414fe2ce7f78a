// Frames for the benches: shaped like captured ones, each one different, generated from their number.

const PRODUCTS = ["ETH-USD", "BTC-USD", "SOL-USD", "BNB-USD", "XRP-USD", "ADA-USD", "AVAX-USD", "DOT-USD"];
const START_MS = Date.UTC(2026, 9, 3, 20, 58, 31);

/** Ticker frame number `i`, of 390 to 410 bytes like Coinbase's. */
export function frameText(i: number): string {
  const product = PRODUCTS[i % PRODUCTS.length];
  const cents = 8_400_000 + (i * 7919) % 90_000;
  const price = (cents / 100).toFixed(2);
  const time = new Date(START_MS + i / 20).toISOString().replace("Z", `${String(i % 1000).padStart(3, "0")}Z`);
  const size = ((i * 104_729) % 99_999_999 / 1e8).toFixed(8);
  return `{"type":"ticker","sequence":${137_212_619_516 + i * 3},"product_id":"${product}","price":"${price}",` +
    `"open_24h":"84430.55","volume_24h":"${1836 + i % 100}.96781750","low_24h":"84400","high_24h":"85021.57",` +
    `"volume_30d":"175984.53012145","best_bid":"${price}","best_bid_size":"${size}",` +
    `"best_ask":"${((cents + 1) / 100).toFixed(2)}","best_ask_size":"0.05223077","side":"${i % 2 ? "buy" : "sell"}",` +
    `"time":"${time}","trade_id":${1_102_042_811 + i},"last_size":"${size}"}`;
}
