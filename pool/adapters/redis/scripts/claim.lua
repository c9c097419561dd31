-- Lead a chore: 1 or 0.
--
-- ARGV  6 chore, 7 who, 8 seconds, 9 now.
local stop = outdated()
if stop then return stop end
local key, now, ttl_s = prefix .. 'chore:' .. ARGV[6], tonumber(ARGV[9]), tonumber(ARGV[8])
local known = redis.call('HMGET', key, 'holder', 'until')
if known[1] and known[1] ~= ARGV[7] and tonumber(known[2]) > now then return 0 end
redis.call('HSET', key, 'holder', ARGV[7], 'until', now + ttl_s)
redis.call('PEXPIRE', key, math.ceil((ttl_s + MOST_SKEW_S) * 1000))
return 1
