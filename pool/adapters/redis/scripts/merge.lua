-- Bring counters up to what an asker knows.
--
-- ARGV  6 how, then for each entry: kind, counter, amount, second or period, TTL. Without a TTL only what exists is changed.
--
-- add     what was taken while Redis was away, and what is held of levels
-- most    the higher count stays
-- seen, owed, stored   after a loss: what the counter was last seen at, what was taken alone since, what storage has
local stop = outdated()
if stop then return stop end
local how, windows = ARGV[6], {}
local add = how == 'add' or how == 'owed'
local HOUR_MS = 3600000

-- What was taken since the loss may be in storage already, or not yet. So a period's count is the highest of what is left
-- of it, of what storage has, and of what was seen and all owe. What is shared again meanwhile comes on top.
local function estimate(counter, period, amount, ttl_ms)
  local record = prefix .. 'r:' .. epoch .. ':' .. counter .. ':' .. period
  local known = redis.call('HMGET', record, 'left', 'stored', 'seen', 'owed')
  local it = {stored = tonumber(known[2]) or 0, seen = tonumber(known[3]) or 0, owed = tonumber(known[4]) or 0}
  local left = tonumber(known[1]) or tonumber(redis.call('HGET', periodKey(counter), period)) or 0
  local function count() return math.max(left, it.stored, it.seen + it.owed) end
  local before = count()
  it[how] = how == 'owed' and it.owed + amount or math.max(it[how], amount)
  redis.call('HSET', record, 'left', left, how, it[how])
  redis.call('PEXPIRE', record, HOUR_MS)
  if count() ~= before then addToPeriod(counter, period, count() - before, ttl_ms) end
end

local function mergePeriod(counter, period, amount, ttl_ms)
  local before = tonumber(redis.call('HGET', periodKey(counter), period))
  if not before and ttl_ms == 0 then return end
  before = before or 0
  local after = add and math.max(0, before + amount) or math.max(before, amount)
  if after ~= before then addToPeriod(counter, period, after - before, ttl_ms) end
end

local function mergeWindow(counter, given)
  local key = slidingKey(counter)
  if not add then
    local sum = 0
    for _, amount in pairs(given.amounts) do sum = sum + amount end
    if sum > head(key) then rewrite(counter, given.amounts, given.ttl_ms) end
    return
  end
  local amounts = slots(key)
  for second, amount in pairs(given.amounts) do
    if amounts[second] or given.ttl_ms > 0 then amounts[second] = (amounts[second] or 0) + amount end
  end
  rewrite(counter, amounts, given.ttl_ms)
end

for i = 7, #ARGV, 5 do
  local kind, counter, amount, ttl_ms = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 4])
  if kind == 's' then
    windows[counter] = windows[counter] or {amounts = {}, ttl_ms = 0}
    local given, second = windows[counter], tonumber(ARGV[i + 3])
    given.amounts[second] = (given.amounts[second] or 0) + amount
    given.ttl_ms = math.max(given.ttl_ms, ttl_ms)
  elseif kind == 'l' then
    redis.call('HSET', levelKey(counter), asker, amount)
    redis.call('PEXPIRE', levelKey(counter), DAY_MS)
    enlist(counter, levelKey(counter), DAY_MS)
  elseif how == 'add' or how == 'most' then
    mergePeriod(counter, ARGV[i + 3], amount, ttl_ms)
  else
    estimate(counter, ARGV[i + 3], amount, ttl_ms)
  end
end
for counter, given in pairs(windows) do mergeWindow(counter, given) end
remember('0 0')
return 0
