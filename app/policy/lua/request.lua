-- A token bucket of requests: "tokens at", filled evenly, at most `burst` tokens.
-- KEYS[1] bucket; ARGV now ('' = the clock of Redis), tokens a minute, burst, wanted.
-- Returns granted, tokens left (whole), ms until the bucket is full, ms until one token is there.
local t = redis.call('TIME')
local now = ARGV[1] ~= '' and tonumber(ARGV[1]) or t[1] * 1000 + math.floor(t[2] / 1000)
local per_ms, burst, wanted = tonumber(ARGV[2]) / 60000, tonumber(ARGV[3]), tonumber(ARGV[4])
local tokens, at = string.match(redis.call('GET', KEYS[1]) or '', '(%S+) (%S+)')
tokens = tokens and tonumber(tokens) + math.max(0, now - tonumber(at)) * per_ms or burst
tokens = math.min(burst, tokens)
local granted = math.min(wanted, math.floor(tokens))
tokens = tokens - granted
local full_ms = math.ceil((burst - tokens) / per_ms)
redis.call('SET', KEYS[1], string.format('%.4f %.0f', tokens, now), 'PX', full_ms + 1000)
local next_ms = tokens >= 1 and 0 or math.ceil((1 - tokens) / per_ms)
return {granted, math.floor(tokens), full_ms, next_ms}
