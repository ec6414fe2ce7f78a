// Put before the queries that show prices. The rule is the same as on the web page, src/web/page/format.ts.
import "strings"

// How many decimals a number has in its shortest form.
decimalsOf = (price) => {
  text = string(v: price)
  point = strings.index(v: text, substr: ".")
  return if point < 0 then 0 else strings.strlen(v: text) - point - 1
}

// How many decimals a price needs: all that it has, and below 10,000 at least two. Grafana accepts at most 15.
neededFor = (price) => {
  own = decimalsOf(price: price)
  return if own > 15 then 15 else if own < 2 and price < 10000.0 then 2 else own
}
