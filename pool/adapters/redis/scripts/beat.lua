-- Renew the asker's lease; answers how many workers live.
--
-- ARGV  6 name of the worker, 7 lease in ms.
local stop = outdated()
if stop then return stop end
local lease_ms = tonumber(ARGV[7])
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('PEXPIRE', KEYS[2], lease_ms)
redis.call('PEXPIRE', KEYS[1], FOREVER_MS)
redis.call('PEXPIRE', prefix .. 'server', FOREVER_MS)
redis.call('PEXPIRE', prefix .. 'done:' .. asker, DAY_MS)
redis.call('PEXPIRE', prefix .. 'words', 8 * DAY_MS)
redis.call('ZADD', prefix .. 'workers', now_ms, ARGV[6])
redis.call('ZREMRANGEBYSCORE', prefix .. 'workers', '-inf', now_ms - lease_ms)
redis.call('PEXPIRE', prefix .. 'workers', lease_ms)
return redis.call('ZCARD', prefix .. 'workers')
