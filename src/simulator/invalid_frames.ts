// Frames that a client of Coinbase must not take for a price, and must survive. Pure.

const NESTED = "[".repeat(5000);

/** A ticker that is valid except for its price. */
function priced(price: string): string {
  const tail = `"time":"2026-01-01T00:00:00.000000Z","trade_id":1}`;
  return `{"type":"ticker","sequence":1,"product_id":"BTC-USD","price":${price},${tail}`;
}

/** Text and binary frames, none of them a valid ticker. */
export const INVALID_FRAMES: readonly (string | Uint8Array)[] = [
  "not JSON",
  `{"type":"ticker","product_id":"BTC-USD","pri`,
  "[]",
  "42",
  new Uint8Array([0x00, 0xff, 0x7b, 0x7d]),
  "null",
  "",
  `"ticker"`,
  "true",
  "{}",
  `[{"type":"ticker","product_id":"BTC-USD","price":"1","sequence":1,"trade_id":1}]`,
  `{"type":"ticker"}`,
  `{"type":5,"product_id":["BTC-USD"],"price":{}}`,
  priced("true"),
  priced("null"),
  priced("[5]"),
  priced('""'),
  priced('"0"'),
  priced('"-1"'),
  priced('"NaN"'),
  priced('"0x10"'),
  priced('"1e999"'),
  `{"type":"ticker","sequence":1,"product_id":5,"price":"1","time":"2026-01-01T00:00:00.000000Z","trade_id":1}`,
  `{"type":"ticker","sequence":1,"price":"1","time":"2026-01-01T00:00:00.000000Z","trade_id":1}`,
  `{"__proto__":{"type":"ticker","product_id":"BTC-USD","price":"1"}}`,
  `{"type":"a type of next year","product_id":"BTC-USD","price":"1"}`,
  new Uint8Array(0),
  "\u0000",
  "\ufeff{}",
  `{"type":"error"}`,
  NESTED,
];

/** A text frame of exactly this size; JSON unless it is too short for that. */
export function hugeFrame(bytes: number): string {
  const [head, tail] = [`{"type":"huge","padding":"`, `"}`];
  const padding = bytes - head.length - tail.length;
  return padding < 0 ? "x".repeat(bytes) : `${head}${"x".repeat(padding)}${tail}`;
}
