-- Correct what was reserved, where it is still counted. Nothing falls below 0.
--
-- ARGV  from 6 for each change: kind, counter, amount, second or period.
local stop = outdated()
if stop then return stop end

local function correct(key, field, amount)
  local before = tonumber(redis.call('HGET', key, field))
  if not before then return 0 end
  amount = math.max(amount, -before)
  redis.call('HINCRBY', key, field, amount)
  return amount
end

for i = 6, #ARGV, 4 do
  local kind, counter, amount, place = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3]
  if kind == 's' then
    local key = slidingKey(counter)
    local changed = correct(key, place, amount)
    if changed ~= 0 then redis.call('HINCRBY', key, 'total', changed) end
  elseif kind == 'p' then
    correct(periodKey(counter), place, amount)
  else
    local key = levelKey(counter)
    local held = (tonumber(redis.call('HGET', key, asker)) or 0) + amount
    if held > 0 then
      redis.call('HSET', key, asker, held)
      redis.call('PEXPIRE', key, DAY_MS)
    else
      redis.call('HDEL', key, asker)
    end
  end
end
remember('0 0')
return 0
