-- Put mails that were reserved at `then` and never tried back into every limit. Counts of another
-- epoch were seeded without them.
-- KEYS: account, report of the hour, quota, minutes...
-- ARGV: now, then, epoch, mails in all, mails of each minute...
local now, reserved_at, n = clock(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4])
local epoch = read_epoch(now)
if epoch.id ~= ARGV[3] then return 0 end
local function decrease(key, field)
  local left = tonumber(redis.call('HGET', key, field))
  if left then redis.call('HSET', key, field, math.max(0, left - n)) end
end
local day = math.floor(reserved_at / DAY)
decrease(KEYS[1], math.floor(reserved_at / MINUTE))
for _, key in ipairs({KEYS[1], KEYS[3]}) do
  if tonumber(redis.call('HGET', key, 'day') or '') == day then decrease(key, 'today') end
end
if tonumber(redis.call('HGET', KEYS[3], 'month') or '') == month_of(day) then
  decrease(KEYS[3], 'this_month')
end
redis.call('HDEL', KEYS[1], 'held')
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('DECRBY', KEYS[2], n) end
for i = 4, #KEYS do
  local minute, back = read_minute(KEYS[i], now, epoch), tonumber(ARGV[i + 1])
  local age = minute.newest - math.floor(reserved_at / CELL)
  if age >= 0 and age < SHARES then
    minute[age] = math.max(0, minute[age] - back)
    write_minute(KEYS[i], minute)
  end
end
return 1
