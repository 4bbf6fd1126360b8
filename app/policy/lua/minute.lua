-- A sliding minute: one string "cell count count ...", the mails of the newest two seconds first.
-- A mail of the 31st cell back may be younger than 60 seconds, so all 31 count: never over, at
-- most two seconds late. In the first minute of an epoch, what a lost Redis may have granted counts
-- as a full minute that fades away.
local CELL, SHARES = 2000, 31

local function read_minute(key, now, epoch)
  local newest = math.floor(now / CELL)
  local minute = {newest = newest, used = 0, since = epoch.since}
  for age = 0, SHARES - 1 do minute[age] = 0 end
  local age
  for number in string.gmatch(redis.call('GET', key) or '', '%d+') do
    if not age then
      age = newest - tonumber(number)
    else
      local at = math.max(0, age) -- below zero: the system time went back
      if at < SHARES then
        minute[at] = minute[at] + tonumber(number)
        minute.used = minute.used + tonumber(number)
      end
      age = age + 1
    end
  end
  return minute
end

local function minute_room(minute, limit, now)
  local lost = limit * math.max(0, 1 - (now - minute.since) / MINUTE)
  return limit - math.ceil(lost) - minute.used
end

-- When one more mail fits; a second later at least, so that a small chunk fits too.
local function minute_opens(minute, limit, now)
  local excess, age = minute.used - limit + 1, SHARES
  while excess > 0 and age > 0 do
    age = age - 1
    excess = excess - minute[age]
  end
  local opens = age == SHARES and now or (minute.newest - age + SHARES) * CELL
  if now - minute.since < MINUTE then
    local used = math.min(limit, 1 + minute.used)
    opens = math.max(opens, minute.since + math.ceil(MINUTE * used / limit))
  end
  return math.max(now + 1000, opens)
end

local function add_to_minute(minute, n)
  minute[0], minute.used = minute[0] + n, minute.used + n
end

local function write_minute(key, minute)
  local last = 0
  for age = 1, SHARES - 1 do if minute[age] > 0 then last = age end end
  redis.call('SET', key, minute.newest .. ' ' .. table.concat(minute, ' ', 0, last), 'PX', 130000)
end

-- A domain that is slowed gets its minute in small helpings, not in one burst.
local function helping_room(minute, limit, now)
  return math.min(minute_room(minute, limit, now), math.ceil(limit / 10) - minute[0])
end

local function helping_opens(minute, limit, now)
  if minute_room(minute, limit, now) < 1 then return minute_opens(minute, limit, now) end
  return math.max(now + 1000, (minute.newest + 1) * CELL)
end
