-- Note that a worker has handed in what it knows for the epoch to come, and keep its place; answers how many have, and
-- whether storage is being asked.
--
-- ARGV  6 name of the worker, 7 lease in ms, 8 "keep", "ask": storage is asked from now on; or "look": keep nothing.
local stop = outdated()
if stop then return stop end
local lease_ms, given, asked = tonumber(ARGV[7]), prefix .. 'given:' .. epoch, prefix .. 'asked:' .. epoch
if ARGV[8] ~= 'look' then
  redis.call('SADD', given, ARGV[6])
  redis.call('PEXPIRE', given, DAY_MS)
  redis.call('PEXPIRE', KEYS[2], lease_ms)
  redis.call('PEXPIRE', prefix .. 'refill', lease_ms)
end
if ARGV[8] == 'ask' then redis.call('SET', asked, 1, 'PX', DAY_MS) end
return {redis.call('SCARD', given), redis.call('EXISTS', asked)}
