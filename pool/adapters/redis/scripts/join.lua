-- Begin a lease and end the former one, and with it whatever may still be on its way.
--
-- ARGV     6 name of the worker, 7 lease in ms, 8 the former asker, 9 the server's run id, 10 an epoch to begin.
-- Answers  1: trust the counters; 2: refill them, nobody else does; 3: somebody does. Then the epoch, or the one to come;
--          how many workers live; and what the former asker's last calls did.
local lease_ms, server = tonumber(ARGV[7]), redis.call('GET', prefix .. 'server')
local former = prefix .. 'worker:' .. ARGV[8]
if redis.call('EXISTS', former) == 1 then redis.call('SET', former, 'over', 'PX', lease_ms) end
redis.call('SET', KEYS[2], ARGV[6], 'PX', lease_ms)
redis.call('HSET', prefix .. 'done:' .. asker, 'since', ARGV[6])
redis.call('PEXPIRE', prefix .. 'done:' .. asker, DAY_MS)
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZADD', prefix .. 'workers', now_ms, ARGV[6])
redis.call('ZREMRANGEBYSCORE', prefix .. 'workers', '-inf', now_ms - lease_ms)
redis.call('PEXPIRE', prefix .. 'workers', lease_ms)
local live, known = redis.call('ZCARD', prefix .. 'workers'), redis.call('GET', KEYS[1])
-- Counters of another run were read from a disk that may not have had the last of them.
if known and server == ARGV[9] then
  return {1, known, live, redis.call('HGETALL', prefix .. 'done:' .. ARGV[8])}
end
local mine = redis.call('SET', prefix .. 'refill', ARGV[10], 'NX', 'PX', lease_ms)
return {mine and 2 or 3, redis.call('GET', prefix .. 'refill'), live, {}}
