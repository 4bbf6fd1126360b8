-- What is known of one account, in one hash: `warm` (its counts can be trusted), `day` and `today`
-- (UTC day number, mails of that day), `last` (when the last mail went), `held` (a mail reserved
-- under a gap is on its way until then), and one field per minute number with that minute's mails.
-- Times are milliseconds. An empty limit is no limit.
local MINUTE, DAY, KEPT = 60000, 86400000, 172800000
local CELLS = 61 -- a mail of the 61st minute back may be younger than 60 minutes

local function clock(given)
  if given ~= '' then return tonumber(given) end
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function read_account(key, now)
  local minute, fields = math.floor(now / MINUTE), {'warm', 'day', 'today', 'last', 'held'}
  for i = 0, CELLS - 1 do fields[6 + i] = minute - i end
  local v = redis.call('HMGET', key, unpack(fields))
  local account = {minute = minute, cells = {}, used = 0, is_warm = v[1] ~= false}
  account.today = tonumber(v[2]) == math.floor(now / DAY) and tonumber(v[3]) or 0
  account.last, account.held = tonumber(v[4]) or 0, tonumber(v[5]) or 0
  for i = 0, CELLS - 1 do
    account.cells[i] = tonumber(v[6 + i]) or 0 -- by age in minutes
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
