// Put before the queries of the pipeline. A metric of the producers, which Telegraf scrapes every 10 s. Each producer has its own
// series with the tag `url`.
feed = (field, start=v.timeRangeStart, stop=v.timeRangeStop) => from(bucket: v.defaultBucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == "prometheus" and r._field == field)

// How much a counter rose between two samples. After a restart it begins at 0, so its whole value is new.
risen = (tables=<-) => tables
  |> difference(nonNegative: true, initialZero: true)

// Adds a null for each window without a row: otherwise Grafana draws a line or a bar up to the next row, and a dead producer looks
// alive.
withNulls = (tables=<-) => tables
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> aggregateWindow(every: v.windowPeriod, fn: sum, createEmpty: true, timeSrc: "_start")
