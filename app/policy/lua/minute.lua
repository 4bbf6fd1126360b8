-- A sliding minute in one string "minute previous current": the previous minute's mails count by
-- the share of it that still lies within the last 60 seconds, rounded up.
local function read_minute(key, now)
  local minute = math.floor(now / MINUTE)
  local m, previous, current = string.match(redis.call('GET', key) or '', '(%d+) (%d+) (%d+)')
  local age = m and minute - tonumber(m) or 2
  if age == 0 then return {minute = minute, previous = tonumber(previous), current = tonumber(current)} end
  return {minute = minute, previous = age == 1 and tonumber(current) or 0, current = 0}
end

local function minute_room(cell, limit, now)
  local share = 1 - (now % MINUTE) / MINUTE
  return limit - math.ceil(cell.previous * share) - cell.current
end

-- When one more mail fits; a second later at least, so that a small chunk fits too.
local function minute_opens(cell, limit, now)
  local free, weight, from = limit - 1 - cell.current, cell.previous, cell.minute * MINUTE
  if free < 0 then free, weight, from = limit - 1, cell.current, from + MINUTE end
  local share = weight > 0 and math.max(0, 1 - free / weight) or 0
  return math.max(now + 1000, from + math.ceil(share * MINUTE))
end

local function write_minute(key, cell)
  redis.call('SET', key, string.format('%d %d %d', cell.minute, cell.previous, cell.current), 'PX', 130000)
end
