-- What a counter holds. Changes nothing but what dead workers left.
--
-- ARGV  6 counter, 7 now, 8 period, 9 span.
local stop = outdated()
if stop then return stop end
local counter, now, span_s = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[9])
local key = levelKey(counter)
if redis.call('EXISTS', key) == 1 then return levelOf(key) end
key = slidingKey(counter)
local total, first, last = head(key)
if not last then return tonumber(redis.call('HGET', periodKey(counter), ARGV[8])) or 0 end
if last > now + MOST_SKEW_S then return 0 end
while first and first + 1 + span_s <= now do
  local slot = redis.call('HMGET', key, first, '>' .. first)
  total, first = total - (tonumber(slot[1]) or 0), tonumber(slot[2])
end
return total
