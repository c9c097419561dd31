-- Note that a worker has handed in what it knows for the epoch to come, and keep its place; answers how many have.
--
-- ARGV  6 name of the worker, 7 lease in ms.
local stop = outdated()
if stop then return stop end
local lease_ms, given = tonumber(ARGV[7]), prefix .. 'given:' .. epoch
redis.call('SADD', given, ARGV[6])
redis.call('PEXPIRE', given, DAY_MS)
redis.call('PEXPIRE', KEYS[2], lease_ms)
redis.call('PEXPIRE', prefix .. 'refill', lease_ms)
return redis.call('SCARD', given)
