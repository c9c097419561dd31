-- Drop every counter of an owner, ARGV[6].
local stop = outdated()
if stop then return stop end
local list = prefix .. 'o:' .. ARGV[6]
for _, key in ipairs(redis.call('SMEMBERS', list)) do redis.call('DEL', key) end
redis.call('DEL', list)
return 0
