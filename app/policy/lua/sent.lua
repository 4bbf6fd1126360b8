-- The reserved mail was handed over now: the gap counts from here. Returns when the next may go.
-- KEYS: account. ARGV: now, gap
local now = clock(ARGV[1])
redis.call('HDEL', KEYS[1], 'held')
if redis.call('EXISTS', KEYS[1]) == 1 then
  local last = math.max(now, tonumber(redis.call('HGET', KEYS[1], 'last')) or 0)
  redis.call('HSET', KEYS[1], 'last', last)
  return last + tonumber(ARGV[2])
end
return now + tonumber(ARGV[2])
