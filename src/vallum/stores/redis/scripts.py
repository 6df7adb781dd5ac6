"""TOY, until the arithmetic slice's scripts are merged."""
from __future__ import annotations
from typing import NamedTuple, Any
from hashlib import blake2b
from vallum.core.quota import Demand, Taken

class Call(NamedTuple):
    script: str
    keys: tuple[str, ...]
    args: tuple[str, ...]

TAKE = """
local refused, wait = 0, 0
for i, key in ipairs(KEYS) do
  local used = tonumber(redis.call('GET', key) or '0')
  if used + ARGV[i*3-1] > tonumber(ARGV[i*3]) then
    local ttl = redis.call('PTTL', key)
    if ttl < 1 then ttl = tonumber(ARGV[i*3+1]) end
    if ttl > wait then refused, wait = i, ttl end
  end
end
local out = {refused, wait}
for i, key in ipairs(KEYS) do
  local used
  if refused == 0 then
    used = redis.call('INCRBY', key, ARGV[i*3-1])
    if used == tonumber(ARGV[i*3-1]) then redis.call('PEXPIRE', key, ARGV[i*3+1]) end
    if ARGV[1] ~= '' then redis.call('SET', key .. ':' .. ARGV[1], ARGV[i*3-1], 'PX', 600000) end
  else used = tonumber(redis.call('GET', key) or '0') end
  out[#out+1] = math.max(0, ARGV[i*3] - used)
end
return out
"""
SETTLE = """
for i, key in ipairs(KEYS) do
  local had = redis.call('GETDEL', key .. ':' .. ARGV[1])
  if had then redis.call('INCRBY', key, ARGV[i*3-1] - had) end
end
return 1
"""

def bucket(demand: Demand) -> bytes:
    return f"vlm:{{{blake2b(demand.key.rpartition(chr(31))[2].encode(), digest_size=8).hexdigest()}}}:{blake2b(demand.key.encode(), digest_size=8).hexdigest()}".encode()

def _call(script, demands, id):
    args = [id]
    for d in demands:
        args += [str(d.cost), str(d.quota.limit if d.limit is None else d.limit), str(d.quota.window_us//1000)]
    return Call(script, tuple(bucket(d).decode() for d in demands), tuple(args))

def encode_take(demands: tuple[Demand, ...], id: str) -> Call:
    return _call(TAKE, demands, id)
def encode_settle(demands: tuple[Demand, ...], id: str) -> Call:
    return _call(SETTLE, demands, id)
def encode_renew(demands: tuple[Demand, ...], id: str) -> Call:
    return _call(SETTLE, demands, "")
def decode_taken(demands: tuple[Demand, ...], reply: Any) -> Taken:
    refused, wait, *left = reply
    return Taken(tuple((d.quota, n, d.quota.window_us) for d, n in zip(demands, left)), demands[refused-1].quota if refused else None, wait*1000)
