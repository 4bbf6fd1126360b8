-- An app's mails of the UTC day and month, in one hash: `warm` (the epoch the counts belong to),
-- `day`, `today`, `month` (months since 1970), `this_month`.
local QUOTA_KEPT = 40 * DAY

-- The month of a day number, and its day of the month (Hinnant's days_from_civil, backwards).
local function month_of(day)
  local z = day + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local leaps = math.floor(doe / 1460) - math.floor(doe / 36524) + math.floor(doe / 146096)
  local year = math.floor((doe - leaps) / 365)
  local doy = doe - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local from_march = math.floor((5 * doy + 2) / 153)
  local date = doy - math.floor((153 * from_march + 2) / 5) + 1
  return (year + era * 400 - 1970) * 12 + from_march + 2, date
end

local function read_quota(key, now, epoch)
  local v = redis.call('HMGET', key, 'warm', 'day', 'today', 'month', 'this_month')
  if v[1] ~= epoch.id then v = {false} end
  local day = math.floor(now / DAY)
  local quota = {day = day, month = month_of(day), is_warm = v[1] ~= false}
  quota.today = tonumber(v[2] or '') == quota.day and tonumber(v[3]) or 0
  quota.this_month = tonumber(v[4] or '') == quota.month and tonumber(v[5]) or 0
  return quota
end

local function quota_room(quota, daily, monthly)
  local room = math.huge
  if daily then room = math.min(room, daily - quota.today) end
  if monthly then room = math.min(room, monthly - quota.this_month) end
  return room
end

local function day_ends(quota) return (quota.day + 1) * DAY end

local function month_ends(quota)
  local _, date = month_of(quota.day)
  local day = quota.day - date + 29
  while month_of(day) == quota.month do day = day + 1 end
  return day * DAY
end

local function write_quota(key, quota, n)
  quota.today, quota.this_month = quota.today + n, quota.this_month + n
  redis.call('HSET', key, 'day', quota.day, 'today', quota.today,
    'month', quota.month, 'this_month', quota.this_month)
  redis.call('PEXPIRE', key, QUOTA_KEPT)
end
