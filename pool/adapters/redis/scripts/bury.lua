-- What the former asker ARGV[6] held is held by this one now.
redis.call('DEL', prefix .. 'worker:' .. ARGV[6])
return 0
