-- What benchmarks/serving.py has wrk send: the bodies of a file, one after another; GET for an empty line, or for a path. All that
-- was measured is told as one line of JSON.
--
--     wrk -t1 ... -s serving.lua URL -- BODIES [PAUSE]
--
-- Each connection waits about PAUSE milliseconds before it sends again. Of answers 200, took_ms is read as well then: what the
-- service measured from their arrival.

local bodies, at, pause, threads = {}, 0, nil, {}
counts, took = {}, {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  for line in io.lines(arguments[1]) do table.insert(bodies, line) end
  pause = tonumber(arguments[2])
  if pause then
    delay = function() return math.floor(pause * (0.5 + math.random())) end
  end
end

function request()
  at = at % #bodies + 1
  if bodies[at] == "" then return wrk.format("GET") end
  if bodies[at]:sub(1, 1) == "/" then return wrk.format("GET", bodies[at]) end
  return wrk.format("POST", nil, {["Content-Type"] = "application/json"}, bodies[at])
end

function response(status, headers, body)
  local key = tostring(status)
  counts[key] = (counts[key] or 0) + 1
  if pause and status == 200 then table.insert(took, tonumber(body:match('"took_ms":([%d.]+)')) or 0) end
end

function done(summary, latency, requests)
  local thread, told, errors = threads[1], {}, summary.errors
  for key, count in pairs(thread:get("counts")) do table.insert(told, '"' .. key .. '":' .. count) end
  local times = thread:get("took")
  table.sort(times)
  print(string.format(
    'TOLD {"seconds":%f,"p50_ms":%f,"p99_ms":%f,"took_p99_ms":%f,"lost":%d,"statuses":{%s}}',
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    times[math.ceil(0.99 * #times)] or 0, errors.connect + errors.read + errors.write + errors.timeout,
    table.concat(told, ",")))
end
