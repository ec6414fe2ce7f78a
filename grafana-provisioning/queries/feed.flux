// Stands before the queries of the pipeline. What the producers tell of themselves: Telegraf asks them each 10 s. Of
// several each has series of its own, told apart by the tag `url`.
feed = (field, start=v.timeRangeStart, stop=v.timeRangeStop) => from(bucket: v.defaultBucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == "prometheus" and r._field == field)

// How much a counter rose, sample by sample. After a restart it begins anew, and all it has by then is new.
risen = (tables=<-) => tables
  |> difference(nonNegative: true, initialZero: true)

// Adds a null for each window without a row: Grafana draws a line or a bar on to the next row, so a dead producer would look alive.
withNulls = (tables=<-) => tables
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> aggregateWindow(every: v.windowPeriod, fn: sum, createEmpty: true, timeSrc: "_start")
