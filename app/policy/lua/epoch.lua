-- Which life of this Redis the counts belong to: "id since", in rate:epoch. A wiped Redis has none
-- and starts one; a restarted one, whose counts may be an old copy's, is given one (renew.lua).
-- Counts of another epoch are cold. Times are milliseconds. An empty limit is no limit.
local MINUTE, DAY, KEPT = 60000, 86400000, 172800000
-- A grant of the last epoch is claimed within 2 s or not used; then PostgreSQL knows all of them.
local SETTLING = 3000

local function clock(given)
  if given ~= '' then return tonumber(given) end
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function start_epoch(id, now)
  redis.call('SET', 'rate:epoch', string.format('%s %.0f', id, now))
  return {id = id, since = now}
end

local function read_epoch(now)
  local id, since = string.match(redis.call('GET', 'rate:epoch') or '', '(%S+) (%d+)')
  if not id then return start_epoch(string.format('%.0f', now), now) end
  since = tonumber(since)
  if since > now then return start_epoch(id, now) end -- the system time went back
  return {id = id, since = since}
end
