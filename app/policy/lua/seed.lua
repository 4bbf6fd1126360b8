-- Rebuild a cold account from what the database counted; does nothing when it is warm already, or
-- when the counts were read for an epoch that is over.
-- KEYS: account. ARGV: now, epoch or '' for this one, {minute number, mails}... oldest first
local now = clock(ARGV[1])
local epoch = read_epoch(now)
if ARGV[2] ~= '' and ARGV[2] ~= epoch.id then return 0 end
if redis.call('HGET', KEYS[1], 'warm') == epoch.id then return 0 end
redis.call('DEL', KEYS[1])
local minute, today, last = math.floor(now / MINUTE), 0, 0
for i = 3, #ARGV, 2 do
  local cell, n = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  if cell > minute - CELLS then redis.call('HINCRBY', KEYS[1], math.min(cell, minute), n) end
  if math.floor(cell * MINUTE / DAY) == math.floor(now / DAY) then today = today + n end
  last = math.max(last, math.min(now, (cell + 1) * MINUTE))
end
redis.call('HSET', KEYS[1], 'warm', epoch.id, 'day', math.floor(now / DAY), 'today', today, 'last', last)
redis.call('PEXPIRE', KEYS[1], KEPT)
return 1
