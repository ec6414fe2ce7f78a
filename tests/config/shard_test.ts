// Shards: each product belongs to exactly one, whatever else is followed; they are about equally large, and few products
// move when a shard is added.

import { assert, assertEquals } from "@std/assert";
import { coinbase } from "../../src/exchanges/coinbase.ts";
import { MAX_SHARDS, productsOf, shardOf } from "../../src/config/shard.ts";
import { Random } from "../fakes/random.ts";

/** Names as exchanges have them, none twice. */
function names(count: number, random: Random): string[] {
  const found = new Set<string>();
  const letters = () => String.fromCharCode(...Array.from({ length: random.int(2, 5) }, () => random.int(65, 90)));
  while (found.size < count) found.add(`${letters()}-${random.pick(["USD", "EUR", "GBP", "BTC", "USDT"])}`);
  return [...found];
}

function sizes(products: readonly string[], of: number): number[] {
  return Array.from({ length: of }, (_, index) => productsOf({ number: index + 1, of }, products).length);
}

for (const seed of [1, 2, 3]) {
  const products = names(2000, new Random(seed));

  for (const count of [1, 2, 3, 5, 16]) {
    Deno.test(`productsOf(): each of 2000 products is with exactly one of ${count} shards (seed ${seed})`, () => {
      const shards = Array.from(
        { length: count },
        (_, index) => productsOf({ number: index + 1, of: count }, products),
      );
      assertEquals(shards.flat().sort(), products.toSorted());
      // in the order in which they were named
      for (const own of shards) assertEquals(own, products.filter((product) => own.includes(product)));
    });

    Deno.test(`productsOf(): ${count} shards hold about as many of 2000 products each (seed ${seed})`, () => {
      const fair = products.length / count;
      // five times the standard deviation of throwing dice
      const most = 5 * Math.sqrt(fair * (1 - 1 / count));
      for (const size of sizes(products, count)) assert(Math.abs(size - fair) <= most, `${size} of about ${fair}`);
    });

    Deno.test(`shardOf(): a shard is added to ${count}: few products move, and only to the new one (seed ${seed})`, () => {
      const moved = products.filter((product) => shardOf(product, count) !== shardOf(product, count + 1));
      assertEquals(moved.filter((product) => shardOf(product, count + 1) !== count + 1), []);
      const fair = products.length / (count + 1);
      assert(Math.abs(moved.length - fair) <= 5 * Math.sqrt(fair), `${moved.length} of about ${fair}`);
    });
  }

  Deno.test(`productsOf(): what else is followed changes nothing for a product (seed ${seed})`, () => {
    const random = new Random(seed);
    for (let i = 0; i < 100; i++) {
      const shard = { number: random.int(1, 7), of: 7 };
      const some = products.filter(() => random.chance(0.1));
      const own = productsOf(shard, products);
      assertEquals(productsOf(shard, some), some.filter((product) => own.includes(product)));
    }
  });
}

Deno.test("productsOf(): the default products are shared evenly by as many shards as there can be", () => {
  for (let of = 1; of <= coinbase.defaultProducts.length; of++) {
    const found = sizes(coinbase.defaultProducts, of);
    assert(Math.max(...found) - Math.min(...found) <= 1, `${of}: ${found}`);
  }
});

// with another result after an upgrade, products would have no shard, or two, until all are upgraded
const KNOWN: [product: string, of: number, shard: number][] = [
  ["BTC-USD", 3, 3],
  ["ETH-USD", 3, 2],
  ["SOL-USD", 3, 3],
  ["", 3, 1],
  ["1INCH-USD", 16, 10],
  ["BTC-USD", MAX_SHARDS, 862],
];
for (const [product, of, shard] of KNOWN) {
  Deno.test(`shardOf(): ${JSON.stringify(product)} of ${of} stays where it always was`, () => {
    assertEquals(shardOf(product, of), shard);
  });
}
