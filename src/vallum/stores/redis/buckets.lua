-- What the scripts share: the state of one bucket, read and forgotten in.  The same arithmetic as core/windows.py,
-- core/smooth.py and core/leases.py; a differential test holds the two equal.
--
-- ARGV: now in microseconds, or '' for the server's clock; the id; then FIELDS per key: kind ('w' window, 's' smooth,
-- 'l' leases), cost (of smooth: work), limit (of smooth: the burst's work), window, sub-windows, kept, months.
--
-- Numbers are doubles: all stay below 2^53, products too, and division is made exact by taking the remainder first.
-- What is written goes through %.0f, since tostring() drops digits.

local FIELDS = 7
local LONGEST_US = 3653 * 86400 * 1000000
local MAX_UNITS = 1e15
local MAX_UNSETTLED = 4096
local BUSY_US = 1000000
local GRACE_MS = 10000

local fmod, max, min, match = math.fmod, math.max, math.min, string.match

local function text(number)
  return string.format('%.0f', number)
end

local function floor_div(a, b)
  return (a - fmod(a, b)) / b
end

local function ceil_div(a, b)
  local rest = fmod(a, b)
  return (a - rest) / b + (rest > 0 and 1 or 0)
end

local function clock()
  if ARGV[1] ~= '' then return tonumber(ARGV[1]) end
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- A key stays a while longer than it counts, so that a clock set back a little finds it as it was.
local function expire_at(key, ends, now)
  redis.call('PEXPIRE', key, text(ceil_div(max(0, ends - now), 1000) + GRACE_MS))
end

local function remove(key, names)
  if #names > 0 then redis.call('HDEL', key, unpack(names)) end
end

-- Calendar months ------------------------------------------------------------------------------------------------------

local DAY_US, EPOCH, JANUARY = 86400000000, 719468, 2

local function month_of(now)
  local days = floor_div(now, DAY_US) + EPOCH
  local era, day = floor_div(days, 146097), fmod(days, 146097)
  local year = floor_div(
    day - floor_div(day, 1460) + floor_div(day, 36524) - floor_div(day, 146096), 365)
  day = day - (365 * year + floor_div(year, 4) - floor_div(year, 100))
  return (era * 400 + year) * 12 + floor_div(5 * day + 2, 153) + JANUARY
end

local function start_of_month(month)
  local year, rest = floor_div(month - JANUARY, 12), fmod(month - JANUARY, 12)
  local days = 365 * year + floor_div(year, 4) - floor_div(year, 100) + floor_div(year, 400)
  return (days + floor_div(153 * rest + 2, 5) - EPOCH) * DAY_US
end

-- Windows --------------------------------------------------------------------------------------------------------------
-- A hash: n total, o oldest sub-window with units (-1: none), l latest, d debt, e end, p unsettled reservations,
-- f when something last ceased to count; a number: the units of that sub-window; 'i' and an id: its sub-window and units.

local function sub_window(b, now)
  if b.months > 0 then return floor_div(month_of(now), b.months) end
  local rest = fmod(now, b.window)
  return (now - rest) / b.window * b.parts + floor_div(rest * b.parts, b.window)
end

local function expiry(b, sub)
  local ends = sub + b.kept
  if b.months > 0 then return start_of_month(ends * b.months) end
  local rest = fmod(ends, b.parts)
  return (ends - rest) / b.parts * b.window + ceil_div(rest * b.window, b.parts)
end

-- Drop sub-windows and reservations from before `oldest`.
local function prune_window(b, oldest)
  local all, gone = redis.call('HGETALL', b.key), {}
  b.oldest = -1
  for i = 1, #all, 2 do
    local name, sub = all[i], nil
    if match(name, '^%d') then
      sub = tonumber(name)
      if sub < oldest then
        b.total = b.total - all[i + 1]
      elseif b.oldest < 0 or sub < b.oldest then
        b.oldest = sub
      end
    elseif match(name, '^i') then
      sub = tonumber(match(all[i + 1], '^%d+'))
      if sub < oldest then b.unsettled = b.unsettled - 1 end
    end
    if sub and sub < oldest then gone[#gone + 1] = name end
  end
  remove(b.key, gone)
  redis.call('HSET', b.key, 'n', text(b.total), 'o', text(b.oldest), 'p', text(b.unsettled), 'f', text(b.sub))
end

local function open_window(b, now, id)
  b.parts, b.kept, b.months = tonumber(ARGV[b.at + 4]), tonumber(ARGV[b.at + 5]), tonumber(ARGV[b.at + 6])
  b.sub = sub_window(b, now)
  local name = text(b.sub)
  local v = redis.call('HMGET', b.key, 'n', 'o', 'l', 'd', 'e', 'p', name, 'i' .. id, 'f')
  if v[5] and tonumber(v[5]) <= now then
    redis.call('DEL', b.key)
    v = {}
  end
  b.total, b.oldest, b.latest = tonumber(v[1] or 0), tonumber(v[2] or -1), tonumber(v[3] or -1)
  b.debt, b.ends, b.unsettled = tonumber(v[4] or 0), tonumber(v[5] or 0), tonumber(v[6] or 0)
  b.units = tonumber(v[7] or 0)
  local latest = max(b.latest, tonumber(v[9] or -1))
  if b.sub < latest then  -- the clock went back: this bucket's time stands still
    b.sub = latest
    b.units = tonumber(redis.call('HGET', b.key, text(b.sub)) or 0)
  end
  local first = b.sub - b.kept + 1
  if b.oldest >= 0 and b.oldest < first then prune_window(b, first) end
  b.first = first
  if v[8] then
    local sub, units = match(v[8], '^(%d+) (%d+)$')
    sub = tonumber(sub)
    if sub >= first then
      b.held_sub, b.held = sub, tonumber(units)
    elseif redis.call('HDEL', b.key, 'i' .. id) == 1 then
      b.unsettled = b.unsettled - 1
      redis.call('HSET', b.key, 'p', text(b.unsettled))
    end
  end
end

-- Smooth ---------------------------------------------------------------------------------------------------------------
-- A hash: a when the work is done, l latest time, r refunded, o eldest reservation's sub-window, e end, p unsettled
-- reservations; 'i' and an id: its sub-window, work, and when it is done.

local PARTS = 24

local function part_of(b, now)
  local rest = fmod(now, b.window)
  return (now - rest) / b.window * PARTS + floor_div(rest * PARTS, b.window)
end

local function prune_smooth(b, oldest)
  local all, gone = redis.call('HGETALL', b.key), {}
  b.eldest = -1
  for i = 1, #all, 2 do
    if match(all[i], '^i') then
      local part = tonumber(match(all[i + 1], '^%d+'))
      if part < oldest then
        gone[#gone + 1] = all[i]
      elseif b.eldest < 0 or part < b.eldest then
        b.eldest = part
      end
    end
  end
  remove(b.key, gone)
  b.unsettled = b.unsettled - #gone
  b.eldest = max(b.eldest, 0)
  redis.call('HSET', b.key, 'o', text(b.eldest), 'p', text(b.unsettled))
end

local function open_smooth(b, now, id)
  local v = redis.call('HMGET', b.key, 'a', 'l', 'r', 'o', 'e', 'p', 'i' .. id)
  if v[5] and tonumber(v[5]) <= now then
    redis.call('DEL', b.key)
    v = {}
  end
  b.done, b.latest, b.refunded = tonumber(v[1] or 0), tonumber(v[2] or 0), tonumber(v[3] or 0)
  b.eldest, b.ends, b.unsettled = tonumber(v[4] or 0), tonumber(v[5] or 0), tonumber(v[6] or 0)
  b.time = max(now, b.latest)
  local oldest = part_of(b, b.time) - PARTS
  if b.unsettled > 0 and b.eldest < oldest then prune_smooth(b, oldest) end
  if v[7] then
    local part, work, done = match(v[7], '^(%d+) (%d+) (%d+)$')
    if tonumber(part) >= oldest then b.held, b.held_done = tonumber(work), tonumber(done) end
  end
end

-- Leases ---------------------------------------------------------------------------------------------------------------
-- A sorted set: ids by their end.

local function open_leases(b, now, id)
  redis.call('ZREMRANGEBYSCORE', b.key, '-inf', text(now))
  b.held = tonumber(redis.call('ZSCORE', b.key, id) or nil)
end

local function hold(b, now, id)
  redis.call('ZADD', b.key, text(max(b.held or 0, now + b.window)), id)
  expire_at(b.key, now + b.window, now)
end

-- ----------------------------------------------------------------------------------------------------------------------

local OPEN = {w = open_window, s = open_smooth, l = open_leases}

local function open(index, now, id)
  local at = 3 + (index - 1) * FIELDS
  local b = {
    key = KEYS[index], at = at, kind = ARGV[at],
    cost = tonumber(ARGV[at + 1]), limit = tonumber(ARGV[at + 2]), window = tonumber(ARGV[at + 3]),
  }
  OPEN[b.kind](b, now, id)
  return b
end

local now, id = clock(), ARGV[2]
