// Stands after feed.flux. `unstored`, one table: each product, and for how many seconds the producer has told of a tick that
// InfluxDB lacks; 0 where it lacks none. A quiet product lacks none, however long it is quiet. A producer that has not answered for a
// minute gives no row, unless a tick that it reported before is missing.
import "date"
import "regexp"

// No tick of more than a day ago: the exchange sends the last trade of a product first, however old.
oldest = date.sub(d: 1d, from: v.timeRangeStop)

told = feed(field: "feed_tick_time_seconds", start: date.sub(d: 10m, from: v.timeRangeStop))
  |> filter(fn: (r) => int(v: r._value) > int(v: oldest) / 1000000000)
  // records may bear whole seconds
  |> map(fn: (r) => ({product: r.product, _time: r._time, tick: int(v: r._value)}))

// As the producer calls it, without the exchange before it. Its place is before all that was told.
newest = from(bucket: v.defaultBucket)
  |> range(start: oldest, stop: date.add(d: 1h, to: v.timeRangeStop))
  |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price")
  |> last()
  |> map(fn: (r) => ({
    product: regexp.replaceAllString(r: /^[a-z0-9_]+:/, v: r.product, t: ""),
    _time: 1970-01-01T00:00:00Z,
    tick: int(v: r._time) / 1000000000,
  }))

// From the oldest look on that told of a tick which is not there.
unstored = union(tables: [newest, told])
  |> group(columns: ["product"])
  |> sort(columns: ["_time"])
  |> reduce(
    identity: {stored: 0, since: 0, told: 0},
    fn: (r, accumulator) => {
      isStored = int(v: r._time) == 0
      return {
        stored: if isStored then r.tick else accumulator.stored,
        told: if isStored then accumulator.told else int(v: r._time),
        since: if not isStored and accumulator.since == 0 and r.tick > accumulator.stored then int(v: r._time) else accumulator.since,
      }
    },
  )
  |> filter(fn: (r) => r.since > 0 or r.told > int(v: date.sub(d: 1m, from: v.timeRangeStop)))
  |> map(fn: (r) => ({
    product: r.product,
    _value: if r.since == 0 then 0.0 else float(v: int(v: v.timeRangeStop) - r.since) / 1000000000.0,
  }))
  |> group()
