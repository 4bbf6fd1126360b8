-- Tell how many mails each account may send until now + horizon; consumes nothing.
-- KEYS: accounts... ARGV: now, horizon, {hourly, daily, gap}... Returns {count, slot, is warm}...
local now = clock(ARGV[1])
local epoch = read_epoch(now)
local horizon, out = now + tonumber(ARGV[2]), {}
for i, key in ipairs(KEYS) do
  local hourly, daily, gap = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2])
  local account, room, slot = read_account(key, now, epoch), math.huge, now
  if hourly then
    local leaving = math.min(CELLS, math.floor(horizon / MINUTE) - account.minute)
    local used = account.used
    for age = CELLS - leaving, CELLS - 1 do used = used - account.cells[age] end
    room, slot = hourly - used, hour_opens(account, hourly, now)
  end
  if daily then
    room = math.min(room, daily - account.today)
    if account.today >= daily then slot = math.max(slot, (math.floor(now / DAY) + 1) * DAY) end
  end
  if gap > 0 then
    local opens = gap_opens(account, gap, now)
    room = math.min(room, opens < horizon and math.ceil((horizon - opens) / gap) or 0)
    slot = math.max(slot, opens)
  end
  out[3 * i - 2], out[3 * i - 1], out[3 * i] = math.max(0, room), slot, account.is_warm and 1 or 0
end
return out
