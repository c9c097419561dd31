-- The counters are refilled: begin the epoch ARGV[2] on the server whose run id is ARGV[6]. 0 if another worker took over.
if redis.call('GET', prefix .. 'refill') ~= epoch then return 0 end
redis.call('SET', KEYS[1], epoch, 'PX', FOREVER_MS)
redis.call('SET', prefix .. 'server', ARGV[6], 'PX', FOREVER_MS)
redis.call('DEL', prefix .. 'refill')
return 1
