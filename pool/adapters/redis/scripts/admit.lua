-- Reserve the first offer all of whose bounds hold.
--
-- ARGV     6 now, then for each offer: how many bounds, and for each bound: kind, counter, most, amount, span or period, TTL.
-- Answers  offer, second, what is left of each bound; or -1 and for each offer: the bound in the way, what is left of it,
--          and the second whose slot must go first.
local stop = outdated()
if stop then return stop end
local now = tonumber(ARGV[6])
local windows, levels = {}, {}

-- The window without what is over.
local function window(counter, span_s)
  if windows[counter] then return windows[counter] end
  local key = slidingKey(counter)
  local total, first, last = head(key)
  if last and last > now + MOST_SKEW_S then
    redis.call('DEL', key)
    total, first, last = 0, nil, nil
  end
  local oldest = first
  while first and first + 1 + span_s <= now do
    local slot = redis.call('HMGET', key, first, '>' .. first)
    redis.call('HDEL', key, first, '>' .. first)
    total, first = total - (tonumber(slot[1]) or 0), tonumber(slot[2])
  end
  if oldest and not first then
    redis.call('DEL', key)
    total, last = 0, nil
  elseif first ~= oldest then
    redis.call('HSET', key, 'total', total, 'first', first)
  end
  windows[counter] = {key = key, total = total, first = first, last = last}
  return windows[counter]
end

local function freeingSecond(it, excess)
  local second = it.first
  while second do
    local slot = redis.call('HMGET', it.key, second, '>' .. second)
    excess = excess - (tonumber(slot[1]) or 0)
    if excess <= 0 then return second end
    second = tonumber(slot[2])
  end
  return -1
end

-- What is used of the bound at ARGV[i].
local function use(i)
  local kind, counter, extra = ARGV[i], ARGV[i + 1], ARGV[i + 4]
  if kind == 's' then return window(counter, tonumber(extra)).total end
  if kind == 'l' then
    levels[counter] = levelOf(levelKey(counter))
    return levels[counter]
  end
  return tonumber(redis.call('HGET', periodKey(counter), extra)) or 0
end

-- Put into a window at `second`, which is not before its last: what a slower clock adds counts a little longer.
local function slide(counter, amount, second, span_s)
  local it = windows[counter]
  if it.last == second then
    redis.call('HINCRBY', it.key, second, amount)
  else
    redis.call('HSET', it.key, second, amount)
    if it.last then redis.call('HSET', it.key, '>' .. it.last, second) end
  end
  local born = not it.first
  it.first, it.last, it.total = it.first or second, second, it.total + amount
  redis.call('HSET', it.key, 'total', it.total, 'first', it.first, 'last', second)
  local ttl_ms = math.ceil((second - now + span_s + 2) * 1000)
  redis.call('PEXPIRE', it.key, ttl_ms)
  if born then enlist(counter, it.key, ttl_ms) end
  return it.total
end

local function raise(counter, amount)
  local key = levelKey(counter)
  local held = redis.call('HINCRBY', key, asker, amount)
  redis.call('PEXPIRE', key, DAY_MS)
  if held == amount then enlist(counter, key, DAY_MS) end
  levels[counter] = levels[counter] + amount
  return levels[counter]
end

local function put(i, second)
  local kind, counter, amount, extra = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 3]), ARGV[i + 4]
  if kind == 's' then return slide(counter, amount, second, tonumber(extra)) end
  if kind == 'l' then return raise(counter, amount) end
  return addToPeriod(counter, extra, amount, tonumber(ARGV[i + 5]))
end

-- Take all bounds from ARGV[i] on. They are put in one second, so that a correction needs to know but one.
local function take(offer, i, count)
  local second = math.floor(now)
  for each = i, i + 6 * count - 6, 6 do
    if ARGV[each] == 's' then second = math.max(second, windows[ARGV[each + 1]].last or second) end
  end
  local answer = {offer, second}
  for each = i, i + 6 * count - 6, 6 do
    answer[#answer + 1] = tonumber(ARGV[each + 2]) - put(each, second)
  end
  remember(offer .. ' ' .. second)
  return answer
end

local refusals, i, offer = {-1}, 7, 0
while ARGV[i] do
  local count, fits = tonumber(ARGV[i]), true
  for number = 0, count - 1 do
    local at = i + 1 + 6 * number
    local most, amount, used = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), use(at)
    if used + amount > most then
      local second = -1
      if ARGV[at] == 's' and amount <= most then
        second = freeingSecond(windows[ARGV[at + 1]], used + amount - most)
      end
      refusals[#refusals + 1] = number
      refusals[#refusals + 1] = math.max(0, most - used)
      refusals[#refusals + 1] = second
      fits = false
      break
    end
  end
  if fits then return take(offer, i + 1, count) end
  i, offer = i + 1 + 6 * count, offer + 1
end
return refusals
