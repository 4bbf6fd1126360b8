-- What is known of one account, in one hash: `warm` (the epoch its counts belong to), `day` and
-- `today` (UTC day number, mails of that day), `last` (when the last mail went), `held` (a mail
-- reserved under a gap is on its way until then), and one field per minute number with its mails.
local CELLS = 61 -- a mail of the 61st minute back may be younger than 60 minutes

local function read_account(key, now, epoch)
  local minute, fields = math.floor(now / MINUTE), {'warm', 'day', 'today', 'last', 'held'}
  for i = 0, CELLS - 1 do fields[6 + i] = minute - i end
  local v = redis.call('HMGET', key, unpack(fields))
  if v[1] ~= epoch.id then v = {false} end
  local account = {minute = minute, cells = {}, used = 0, is_warm = v[1] ~= false}
  account.today = tonumber(v[2] or '') == math.floor(now / DAY) and tonumber(v[3]) or 0
  account.last, account.held = tonumber(v[4] or '') or 0, tonumber(v[5] or '') or 0
  for i = 0, CELLS - 1 do
    account.cells[i] = tonumber(v[6 + i] or '') or 0 -- by age in minutes
    account.used = account.used + account.cells[i]
  end
  return account
end

-- When one more mail fits into the rolling hour: the oldest minutes have to leave it.
local function hour_opens(account, limit, now)
  local excess, i = account.used - limit + 1, CELLS
  while excess > 0 and i > 0 do
    i = i - 1
    excess = excess - account.cells[i]
  end
  if i == CELLS then return now end
  return (account.minute - i + CELLS) * MINUTE
end

-- When the next mail may go under a minimum gap. A mail on its way is over now at the earliest.
local function gap_opens(account, gap, now)
  if account.held > now then return math.min(account.held, now + gap) end
  return math.max(now, account.last + gap)
end

local function write_cells(key, account, now, n)
  if redis.call('HINCRBY', key, account.minute, n) == n then
    for _, field in ipairs(redis.call('HKEYS', key)) do
      local minute = tonumber(field)
      if minute and minute <= account.minute - CELLS then redis.call('HDEL', key, field) end
    end
  end
  redis.call('HSET', key, 'day', math.floor(now / DAY), 'today', account.today + n)
  redis.call('PEXPIRE', key, KEPT)
end
