-- Start an epoch: the scripts were gone, so this Redis was restarted or another one took over.
-- ARGV: now, id
start_epoch(ARGV[2], clock(ARGV[1]))
return 1
