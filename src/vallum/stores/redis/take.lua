-- Takes every demand from its bucket, or none of them.
-- Answers now, then three numbers for each key: how it stands (used, until more comes back; of smooth: its time, when
-- its work is done) and how long until the demand fits, 0 if it does.

local WAIT, CHARGE, STANDING = {}, {}, {}

function WAIT.w(b)
  if b.held then return 0 end
  if id ~= '' and b.unsettled >= MAX_UNSETTLED then
    prune_window(b, b.first)
    if b.unsettled >= MAX_UNSETTLED then return BUSY_US end
  end
  local excess = b.total + b.debt + b.cost - b.limit
  if excess <= 0 then return 0 end
  if b.cost > b.limit then return b.window end
  if b.oldest >= 0 then
    local names = {}
    for sub = b.oldest, b.latest do names[#names + 1] = text(sub) end
    for i, units in ipairs(redis.call('HMGET', b.key, unpack(names))) do
      excess = excess - (units or 0)
      if excess <= 0 then return expiry(b, b.oldest + i - 1) - now end
    end
  end
  return b.ends - now
end

function CHARGE.w(b)
  if b.held then return end
  local units = b.cost + b.debt
  b.total = b.total + units
  local set = {'n', text(b.total)}
  if units > 0 then
    set[3], set[4] = text(b.sub), text(b.units + units)
    if b.oldest < 0 then
      b.oldest = b.sub
      set[5], set[6] = 'o', text(b.sub)
    end
  end
  local ends = b.debt > 0 or b.sub ~= b.latest
  if ends then
    b.ends = expiry(b, b.sub)
    local n = #set
    set[n + 1], set[n + 2], set[n + 3], set[n + 4] = 'l', text(b.sub), 'e', text(b.ends)
    set[n + 5], set[n + 6] = 'd', '0'
    b.debt = 0
  end
  if id ~= '' then
    local n = #set
    set[n + 1], set[n + 2] = 'i' .. id, text(b.sub) .. ' ' .. text(b.cost)
    set[n + 3], set[n + 4] = 'p', text(b.unsettled + 1)
  end
  redis.call('HSET', b.key, unpack(set))
  if ends then expire_at(b.key, b.ends, now) end
end

function STANDING.w(b)
  return b.total + b.debt, b.oldest >= 0 and expiry(b, b.oldest) - now or 0
end

function WAIT.s(b)
  if b.held then return 0 end
  if id ~= '' and b.unsettled >= MAX_UNSETTLED then return BUSY_US end
  if b.cost > b.limit then return b.window end
  local excess = max(0, b.done - b.time) + b.cost - b.limit
  return excess <= 0 and 0 or b.time + excess - now
end

function CHARGE.s(b)
  if b.held then return end
  b.done = min(max(b.done, b.time) + b.cost, b.time + LONGEST_US)
  local ends = max(b.ends, b.done)
  local set = {'a', text(b.done), 'l', text(b.time)}
  if id ~= '' then
    local part = part_of(b, b.time)
    local last = part + PARTS + 1
    local rest = fmod(last, PARTS)
    ends = max(ends, (last - rest) / PARTS * b.window + ceil_div(rest * b.window, PARTS))
    if b.unsettled == 0 then set[5], set[6] = 'o', text(part) end
    local n = #set
    set[n + 1], set[n + 2] = 'i' .. id, text(part) .. ' ' .. text(b.cost) .. ' ' .. text(b.done + b.refunded)
    set[n + 3], set[n + 4] = 'p', text(b.unsettled + 1)
  end
  local n = #set
  set[n + 1], set[n + 2] = 'e', text(ends)
  redis.call('HSET', b.key, unpack(set))
  expire_at(b.key, ends, now)
end

function STANDING.s(b)
  return b.time, b.done
end

function WAIT.l(b)
  b.count = redis.call('ZCARD', b.key)
  local excess = b.count - b.limit
  if b.held or excess < 0 then return 0 end
  return redis.call('ZRANGE', b.key, text(excess), text(excess), 'WITHSCORES')[2] - now
end

function CHARGE.l(b)
  if b.held then return end
  hold(b, now, id)
  b.count = b.count + 1
end

function STANDING.l(b)
  local first = redis.call('ZRANGE', b.key, '0', '0', 'WITHSCORES')[2]
  return b.count, first and first - now or 0
end

local buckets, waits, fits = {}, {}, true
for i = 1, #KEYS do
  local b = open(i, now, id)
  buckets[i], waits[i] = b, WAIT[b.kind](b)
  if waits[i] > 0 then fits = false end
end
local reply = {now}
for i, b in ipairs(buckets) do
  if fits then CHARGE[b.kind](b) end
  local n = #reply
  reply[n + 1], reply[n + 2] = STANDING[b.kind](b)
  reply[n + 3] = waits[i]
end
return reply
