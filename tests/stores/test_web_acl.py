"""Rate-based rules of web ACLs on a real Valkey server: nodes together admit what the rule says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from tests.statements.conftest import policy_of, rule

from vallum.adapters.driver import Driver
from vallum.core.decision import Allow
from vallum.core.engine import Engine
from vallum.core.exchange import Headers, Request

if TYPE_CHECKING:
    from tests.stores.conftest import Lab

LIMIT = 30


async def flood(store: Any, times: int, client: str) -> int:
    """Ask one node, as a worker of its own would be asked, and return how many requests it let in."""
    policy = policy_of({"rules": [rule({"rate_based": {"limit": LIMIT, "window_s": 600}}, name="flood")]})
    engine, driver = Engine(policy), Driver(store, None)  # type: ignore[arg-type]  # no credential is looked up
    request = Request("r", "GET", "/", "", Headers(), client, 1_700_000_000.0)
    said = await asyncio.gather(*(driver.run(engine.request_head(engine.open(request))) for _ in range(times)))
    return sum(isinstance(decision, Allow) for decision in said)


@pytest.mark.parametrize("clustered", [False, True], ids=["one server", "a cluster"])
async def test_a_limit_of_n_admits_n_to_two_workers_at_once(lab: Lab, clustered: bool) -> None:
    nodes = lab.cluster() if clustered else [lab.server()]
    url = f"redis+cluster://127.0.0.1:{nodes[0].port}" if clustered else nodes[0].url
    stores = [lab.store(url) for _ in range(2)]
    await asyncio.gather(*(store.open() for store in stores))
    for client in ("192.0.2.1", "2001:db8::1"):
        let_in = await asyncio.gather(*(flood(store, 40, client) for store in stores))
        assert sum(let_in) == LIMIT, (client, let_in)


async def test_a_store_that_is_gone_is_met_by_on_error(lab: Lab) -> None:
    server = lab.server()
    store = lab.store(server.url)
    await store.open()
    server.kill()
    assert await flood(store, 5, "192.0.2.1") == 0
