-- Give up the lease: what the asker held is free at once.
--
-- ARGV  6 name of the worker.
redis.call('DEL', KEYS[2], prefix .. 'done:' .. asker)
redis.call('ZREM', prefix .. 'workers', ARGV[6])
return 0
