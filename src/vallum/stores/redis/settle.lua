-- Puts each cost in the place of what was reserved under the id; where nothing is remembered, does nothing.

local SETTLE = {}

-- Give back units in the sub-window in which they were charged.
local function refund(b, units)
  b.total = b.total - units
  if redis.call('HINCRBY', b.key, text(b.held_sub), text(-units)) > 0 then return end
  redis.call('HDEL', b.key, text(b.held_sub))
  if b.held_sub ~= b.oldest then return end
  b.oldest = -1
  for sub = b.held_sub + 1, b.latest do
    if redis.call('HEXISTS', b.key, text(sub)) == 1 then
      b.oldest = sub
      return
    end
  end
end

function SETTLE.w(b)
  if not b.held then return end
  redis.call('HDEL', b.key, 'i' .. id)
  if b.held > b.cost then refund(b, b.held - b.cost) end
  local set = {'p', text(b.unsettled - 1)}
  local owed = b.debt + max(0, b.cost - b.held)
  if owed > 0 then
    local paid = min(owed, max(0, b.limit - b.total))
    local debt = min(owed - paid, MAX_UNITS)
    if paid > 0 then
      redis.call('HINCRBY', b.key, text(b.sub), text(paid))
      b.total = b.total + paid
      if b.oldest < 0 then b.oldest = b.sub end
    end
    local ahead = min(ceil_div(debt, b.limit), 1 + floor_div(LONGEST_US, b.window))
    b.ends = expiry(b, b.sub + ahead * b.kept)
    set = {'p', text(b.unsettled - 1), 'l', text(b.sub), 'd', text(debt), 'e', text(b.ends)}
  end
  redis.call('HSET', b.key, 'n', text(b.total), 'o', text(b.oldest), unpack(set))
  if owed > 0 then expire_at(b.key, b.ends, now) end
end

function SETTLE.s(b)
  if not b.held then return end
  redis.call('HDEL', b.key, 'i' .. id)
  redis.call('HSET', b.key, 'p', text(b.unsettled - 1))
  if b.cost < b.held then
    local refund_us = min(b.held - b.cost, max(0, b.held_done - b.refunded - b.time))
    redis.call('HSET', b.key, 'a', text(b.done - refund_us), 'r', text(b.refunded + refund_us))
    return
  end
  local done = min(max(b.done, b.time) + b.cost - b.held, b.time + LONGEST_US)
  local ends = max(b.ends, done)
  redis.call('HSET', b.key, 'a', text(done), 'l', text(b.time), 'e', text(ends))
  expire_at(b.key, ends, now)
end

function SETTLE.l(b)
  redis.call('ZREM', b.key, id)
end

for i = 1, #KEYS do
  local b = open(i, now, id)
  SETTLE[b.kind](b)
end
return 1
