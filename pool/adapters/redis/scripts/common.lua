-- What every script begins with: who asks, what the keys are called, and whether the asker may still change anything.
--
-- KEYS    epoch, the asker's lease. All other names begin with the prefix too, so a hash tag in it keeps them together.
-- ARGV    1 prefix, 2 epoch as the asker knows it, 3 the asker, 4 and 5 slot and batch of this call, then the script's own.
--
-- prefix epoch             set while the counters may be trusted; gone with them when Redis was emptied
-- prefix worker:<asker>    a lease: what an asker holds counts while it lives, and only then may it change anything;
--                          "over" where the worker goes on as another asker and hands over what it holds
-- prefix done:<asker>      slot -> what the last batch's calls did, read when an answer was lost
-- prefix s:<epoch>:<name>  sliding window: hash of total, first, last, second -> amount, >second -> the next second
-- prefix l:<epoch>:<name>  level: hash of asker -> amount
-- prefix p:<name>          period: hash of period -> amount, the last few
-- prefix o:<owner>         names of an owner's counters, to forget them by
-- prefix r:<epoch>:…       what a period's count was reckoned from after a loss
-- prefix refill            the epoch to come, while the counters are being refilled
local prefix, epoch, asker = ARGV[1], ARGV[2], ARGV[3]
local OUTDATED = -2
local DAY_MS, FOREVER_MS = 86400000, 34560000000
-- Clocks of workers may differ by this much. A slot further in the future is of a clock that was set back.
local MOST_SKEW_S = 60

-- Nil, or the number to answer with: the counters are not those the asker knew, or it was taken for dead. A call that was
-- held up on its way, and for which the asker has helped itself since, comes to nothing by this.
local function outdated()
  local known = redis.call('MGET', KEYS[1], KEYS[2])
  if not known[2] or known[2] == 'over' then return OUTDATED end
  if known[1] ~= epoch and redis.call('GET', prefix .. 'refill') ~= epoch then return OUTDATED end
end

local function remember(what)
  redis.call('HSET', prefix .. 'done:' .. asker, ARGV[4], ARGV[5] .. ' ' .. what)
end

local function prolong(key, ttl_ms)
  if redis.call('PTTL', key) < ttl_ms then redis.call('PEXPIRE', key, ttl_ms) end
end

-- Note a counter that came into being. A name whose counter is over goes when others come, so the list stays short.
local function enlist(counter, key, ttl_ms)
  local owner = string.match(counter, '^(.-)/')
  if not owner then return end
  local list = prefix .. 'o:' .. owner
  redis.call('SADD', list, key)
  prolong(list, ttl_ms + DAY_MS)
  for _, other in ipairs(redis.call('SRANDMEMBER', list, 2)) do
    if redis.call('EXISTS', other) == 0 then redis.call('SREM', list, other) end
  end
end

local function slidingKey(counter) return prefix .. 's:' .. epoch .. ':' .. counter end
local function levelKey(counter) return prefix .. 'l:' .. epoch .. ':' .. counter end
local function periodKey(counter) return prefix .. 'p:' .. counter end

local function head(key)
  local fields = redis.call('HMGET', key, 'total', 'first', 'last')
  return tonumber(fields[1]) or 0, tonumber(fields[2]), tonumber(fields[3])
end

-- The whole window as second -> amount.
local function slots(key)
  local amounts, fields = {}, redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local second = tonumber(fields[i])
    if second then amounts[second] = tonumber(fields[i + 1]) end
  end
  return amounts
end

local function rewrite(counter, amounts, ttl_ms)
  local key, seconds, total = slidingKey(counter), {}, 0
  for second, amount in pairs(amounts) do
    if amount > 0 then
      seconds[#seconds + 1] = second
      total = total + amount
    end
  end
  ttl_ms = math.max(ttl_ms, redis.call('PTTL', key))
  redis.call('DEL', key)
  if #seconds == 0 or ttl_ms <= 0 then return end
  table.sort(seconds)
  for i, second in ipairs(seconds) do
    redis.call('HSET', key, second, amounts[second])
    if seconds[i + 1] then redis.call('HSET', key, '>' .. second, seconds[i + 1]) end
  end
  redis.call('HSET', key, 'total', total, 'first', seconds[1], 'last', seconds[#seconds])
  redis.call('PEXPIRE', key, ttl_ms)
  enlist(counter, key, ttl_ms)
end

-- What all living askers hold of a level; what the dead held is dropped.
local living = {[asker] = true}
local function levelOf(key)
  local sum, fields = 0, redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local holder = fields[i]
    if living[holder] == nil then living[holder] = redis.call('EXISTS', prefix .. 'worker:' .. holder) == 1 end
    if living[holder] then
      sum = sum + tonumber(fields[i + 1])
    else
      redis.call('HDEL', key, holder)
    end
  end
  return sum
end

-- Periods are named so that later ones sort later. Two are kept: clocks differ, and a request may settle after its day.
local function addToPeriod(counter, period, amount, ttl_ms)
  local key = periodKey(counter)
  local used = redis.call('HINCRBY', key, period, amount)
  if used == amount then
    local periods = redis.call('HKEYS', key)
    table.sort(periods)
    for i = 1, #periods - 2 do
      if periods[i] ~= period then redis.call('HDEL', key, periods[i]) end
    end
    enlist(counter, key, ttl_ms)
  elseif period == '' then -- for ever: then its name on the list is to live as long
    enlist(counter, key, ttl_ms)
  end
  prolong(key, ttl_ms)
  return used
end
