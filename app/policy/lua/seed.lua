-- Rebuild a cold account from what the database counted; does nothing when it is warm already.
-- KEYS: account. ARGV: now, {minute number, mails}... oldest first
local now = clock(ARGV[1])
if redis.call('HSETNX', KEYS[1], 'warm', 1) == 0 then return 0 end
local minute, today, last = math.floor(now / MINUTE), 0, 0
for i = 2, #ARGV, 2 do
  local cell, n = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  if cell > minute - CELLS then redis.call('HINCRBY', KEYS[1], math.min(cell, minute), n) end
  if math.floor(cell * MINUTE / DAY) == math.floor(now / DAY) then today = today + n end
  last = math.max(last, math.min(now, (cell + 1) * MINUTE))
end
redis.call('HSET', KEYS[1], 'day', math.floor(now / DAY), 'today', today, 'last', last)
redis.call('PEXPIRE', KEYS[1], KEPT)
return 1
