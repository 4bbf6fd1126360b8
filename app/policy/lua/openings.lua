-- Tell how many mails quotas and minutes allow until now + horizon; consumes nothing.
-- KEYS: quotas..., minutes... ARGV: now, horizon, quotas, {daily, monthly}..., {limit}...
-- Returns {count, slot, is warm} of each key
local now = clock(ARGV[1])
local horizon, quotas, out = now + tonumber(ARGV[2]), tonumber(ARGV[3]), {}
local epoch = read_epoch(now)
for i, key in ipairs(KEYS) do
  local room, slot, warm = 0, now, 1
  if i <= quotas then
    local daily, monthly = tonumber(ARGV[2 + 2 * i]), tonumber(ARGV[3 + 2 * i])
    local quota = read_quota(key, now, epoch)
    room, warm = quota_room(quota, daily, monthly), quota.is_warm and 1 or 0
    if daily and quota.today >= daily then slot = day_ends(quota) end
    if monthly and quota.this_month >= monthly then slot = math.max(slot, month_ends(quota)) end
  else
    local limit, cell = tonumber(ARGV[3 + quotas + i]), read_minute(key, now, epoch)
    if minute_room(cell, limit, now) < 1 then slot = minute_opens(cell, limit, now) end
    room = minute_room(read_minute(key, horizon, epoch), limit, horizon)
  end
  out[3 * i - 2], out[3 * i - 1], out[3 * i] = math.max(0, room), slot, warm
end
return out
