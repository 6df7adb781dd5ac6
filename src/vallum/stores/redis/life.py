"""A node's life beside the others: whether the store is fit to count, and how many nodes use it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from vallum.core.errors import DependencyError
from vallum.stores.redis.link import LoginError, pack
from vallum.stores.redis.scripts import script
from vallum.stores.redis.topology import PING, Cluster

if TYPE_CHECKING:
    from vallum.stores.redis.calls import Calls
    from vallum.stores.redis.topology import Server

log = logging.getLogger("vallum")

NODE_LIFE_MS = 5_000  # who has not been heard of for so long has left
SCRIPTS = ("take", "settle", "renew")
NODES = "vlm:nodes"
BEAT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
"""


async def beat(calls: Calls, node: str) -> int:
    """Tell the others that `node` lives; return how many do.  Raise DependencyError unless every server answers."""
    if not calls.topology.servers:
        await calls.refresh()
    try:
        await asyncio.gather(*(_ping(calls, server) for server in calls.topology.servers))
    except DependencyError:
        await calls.refresh()  # a master may have fallen: the next beat finds the one in its place
        raise
    return int(calls.sound(await calls.ask(NODES, "EVAL", BEAT, 1, NODES, node, NODE_LIFE_MS)))


async def _ping(calls: Calls, server: Server) -> None:
    calls.sound(await server.send(PING))


async def see_fitness(calls: Calls) -> None:
    """See that every server counts, and does not forget.  Raise DependencyError with a sentence for the operator."""
    await calls.topology.refresh()
    for server in calls.topology.servers:
        link = await server.connected(patient=True)
        for name in SCRIPTS:
            link.send(pack("SCRIPT", "LOAD", script(name).text))  # or the first requests would all bring the text
        said = await link.send(pack("INFO"))
        if not isinstance(said, bytes):
            continue  # an access list forbids it: nothing is known, and nothing is wrong
        facts = dict(line.split(":", 1) for line in said.decode("utf-8", "replace").splitlines() if ":" in line)
        if facts.get("cluster_enabled") == "1" and not isinstance(calls.topology, Cluster):
            raise LoginError(f"the counter store at {server.endpoint} is part of a cluster: write redis+cluster://")
        if facts.get("role") == "slave":
            raise LoginError(f"the counter store at {server.endpoint} is a replica: name its master, or use Sentinel")
        if facts.get("maxmemory", "0") != "0" and facts.get("maxmemory_policy") != "noeviction":
            log.warning("the counter store at %s may forget counts: set maxmemory-policy noeviction", server.endpoint)
