// Put before the queries of product states: the worse, the higher.
numberOf = (state) => if state == "live" then 0
  else if state == "quiet" then 1
  else if state == "waiting" then 2
  else if state == "stalled" then 3
  else 4
