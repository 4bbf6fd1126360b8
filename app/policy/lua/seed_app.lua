-- Rebuild an app's cold quota from what the database counted; like seed.
-- KEYS: quota. ARGV: now, epoch or '' for this one, day, mails of the day, month, mails of the month
local now = clock(ARGV[1])
local epoch = read_epoch(now)
if ARGV[2] ~= '' and ARGV[2] ~= epoch.id then return 0 end
if redis.call('HGET', KEYS[1], 'warm') == epoch.id then return 0 end
redis.call('HSET', KEYS[1], 'warm', epoch.id, 'day', ARGV[3], 'today', ARGV[4],
  'month', ARGV[5], 'this_month', ARGV[6])
redis.call('PEXPIRE', KEYS[1], QUOTA_KEPT)
return 1
