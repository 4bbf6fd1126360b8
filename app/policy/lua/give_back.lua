-- Put mails that were reserved at `then` and never tried back into every limit.
-- KEYS: account, report of the hour, minutes... ARGV: now, then, mails in all, mails of each minute...
local now, reserved_at, n = clock(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local function decrease(key, field)
  local left = tonumber(redis.call('HGET', key, field))
  if left then redis.call('HSET', key, field, math.max(0, left - n)) end
end
decrease(KEYS[1], math.floor(reserved_at / MINUTE))
if tonumber(redis.call('HGET', KEYS[1], 'day')) == math.floor(reserved_at / DAY) then
  decrease(KEYS[1], 'today')
end
redis.call('HDEL', KEYS[1], 'held')
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('DECRBY', KEYS[2], n) end
for i = 3, #KEYS do
  local cell, back = read_minute(KEYS[i], now), tonumber(ARGV[i + 1])
  local age = cell.minute - math.floor(reserved_at / MINUTE)
  if age == 0 then cell.current = math.max(0, cell.current - back) end
  if age == 1 then cell.previous = math.max(0, cell.previous - back) end
  write_minute(KEYS[i], cell)
end
return 1
