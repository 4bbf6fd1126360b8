-- Take up to the wanted mails out of every limit at once; what is refused consumes nothing.
-- KEYS: account, report of the hour, quota of the app, gates..., limited domains...
-- ARGV: now, hourly, daily, gap, held for, daily quota, monthly quota, gates, {gate name, limit}...,
--   {wanted, limit of the domain}...
-- Returns {binding or '', when a refused mail may come back, now, epoch, granted of each domain...}
local now = clock(ARGV[1])
local hourly, daily, gap = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local quota_day, quota_month = tonumber(ARGV[6]), tonumber(ARGV[7])
local is_limited, has_quota = hourly or daily or gap > 0, quota_day or quota_month
local epoch = read_epoch(now)
local account, quota, gates, domains, wanted, left = nil, nil, {}, {}, 0, math.huge
local may_seed_at = math.max(now, epoch.since + SETTLING)

if is_limited then
  account = read_account(KEYS[1], now, epoch)
  if not account.is_warm then return {'cold', may_seed_at, now, epoch.id} end
  if hourly then left = math.min(left, hourly - account.used) end
  if daily then left = math.min(left, daily - account.today) end
  if gap > 0 then
    local is_free = account.held <= now and account.last + gap <= now
    left = math.min(left, is_free and 1 or 0)
  end
else
  redis.call('UNLINK', KEYS[1]) -- mails of an unlimited account are not counted: be cold afterwards
end
if has_quota then
  quota = read_quota(KEYS[3], now, epoch)
  if not quota.is_warm then return {'app_cold', may_seed_at, now, epoch.id} end
  left = math.min(left, quota_room(quota, quota_day, quota_month))
end

local key, arg = 3, 9
for _ = 1, tonumber(ARGV[8]) do
  key = key + 1
  local gate = {name = ARGV[arg], key = KEYS[key], limit = tonumber(ARGV[arg + 1])}
  gate.minute = read_minute(gate.key, now, epoch)
  left = math.min(left, minute_room(gate.minute, gate.limit, now))
  gates[#gates + 1], arg = gate, arg + 2
end
left = math.max(0, left)

local total, domain_opens, granted = 0, nil, {}
while arg <= #ARGV do
  local want, limit, room = tonumber(ARGV[arg]), tonumber(ARGV[arg + 1]), math.huge
  local domain
  if limit then
    key = key + 1
    domain = {key = KEYS[key], minute = read_minute(KEYS[key], now, epoch)}
    room = math.max(0, helping_room(domain.minute, limit, now))
  end
  local got = math.min(want, left, room)
  if domain and got > 0 then
    add_to_minute(domain.minute, got)
    write_minute(domain.key, domain.minute)
  end
  if domain and got < want and got == room then
    local opens = helping_opens(domain.minute, limit, now)
    domain_opens = math.min(domain_opens or opens, opens)
  end
  left, total, wanted = left - got, total + got, wanted + want
  granted[#granted + 1], arg = got, arg + 2
end

if total > 0 then
  if account then
    write_cells(KEYS[1], account, now, total)
    account.used, account.today = account.used + total, account.today + total
    account.cells[0] = account.cells[0] + total
    if gap > 0 then redis.call('HSET', KEYS[1], 'last', now, 'held', now + tonumber(ARGV[5])) end
  end
  if quota then write_quota(KEYS[3], quota, total) end
  for _, gate in ipairs(gates) do
    add_to_minute(gate.minute, total)
    write_minute(gate.key, gate.minute)
  end
  if redis.call('INCRBY', KEYS[2], total) == total then redis.call('EXPIRE', KEYS[2], 7200) end
end

local binding, slot = '', now
local function bind(name, opens)
  if opens > slot then binding, slot = name, opens end
end
if total < wanted then
  if hourly then bind('account_hour', hour_opens(account, hourly, now)) end
  if daily and account.today >= daily then bind('account_day', (math.floor(now / DAY) + 1) * DAY) end
  if gap > 0 then bind('account_gap', total > 0 and now + gap or gap_opens(account, gap, now)) end
  if quota_day and quota.today >= quota_day then bind('app_day', day_ends(quota)) end
  if quota_month and quota.this_month >= quota_month then bind('app_month', month_ends(quota)) end
  for _, gate in ipairs(gates) do
    if minute_room(gate.minute, gate.limit, now) < 1 then
      bind(gate.name, minute_opens(gate.minute, gate.limit, now))
    end
  end
  if domain_opens then bind('domain', domain_opens) end
end
return {binding, slot, now, epoch.id, unpack(granted)}
