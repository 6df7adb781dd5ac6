"""Any life of any keys on two nodes that share PostgreSQL and Valkey: who is admitted, and how often.

The machine of test_lifecycle.py with whole engines on its nodes, tokens that were minted from the keys, and two limits:
one on the principal, one on the key.  A page of model says what every request must be answered, on either node.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test
from tests.stores.registry.test_lifecycle import NODES, Lives, Told

from vallum.adapters.driver import Driver
from vallum.authenticators.api_key import ApiKey, ApiKeyConfig
from vallum.authenticators.minted import Minted
from vallum.core.decision import Allow, Challenge, Deny, Reason
from vallum.core.engine import Engine
from vallum.core.exchange import Headers, Request
from vallum.core.policy import Intake, Limit, Policy, Route, Upstream
from vallum.core.principal import Principal
from vallum.core.quota import Per, Quota
from vallum.core.target import Pattern
from vallum.mint.keyring import KeyRing, make_key
from vallum.mint.tokens import Grant, Mint, Verifier, mint_token
from vallum.stores.registry import SqlRegistry
from vallum.stores.registry.registry import STALE_S
from vallum.stores.shared import open_shared

if TYPE_CHECKING:
    from tests.conftest import Valkey

URL = "https://models.example"
PEM = make_key()
DAY_US = 86_400_000_000  # no capacity comes back while a test runs
OF_A_SUBJECT, OF_A_KEY = 5, 3
RUNS = count()


class Admissions(Lives):
    """Asks with keys and with the tokens minted from them, and counts who was let in."""

    counters: ClassVar[str]
    asked: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.run = next(RUNS)
        self.spent: Counter[str] = Counter()
        self.tokens: dict[str, str] = {}
        self.mint = Mint(URL, URL, frozenset({URL}), 3600, KeyRing(lambda: PEM))
        self.shared = [open_shared(self.counters, lambda: int(self.now * 1e6)) for _ in self.nodes]
        self.engines = [self._engine() for _ in self.nodes]
        self.drivers = [Driver(s.counters, n) for s, n in zip(self.shared, self.nodes, strict=True)]

    @initialize()
    def connect(self) -> None:
        for shared in self.shared:
            self.loop.run_until_complete(shared.store.open())

    def teardown(self) -> None:
        for shared in self.shared:
            shared.store.close()
        self.loop.run_until_complete(asyncio.sleep(0.001))  # the loop sees the ends of the connections
        super().teardown()

    def _engine(self) -> Engine:
        quotas = [Quota("own", OF_A_SUBJECT, DAY_US, Per.PRINCIPAL), Quota("key", OF_A_KEY, DAY_US, Per.KEY)]
        route = Route(
            name=f"route-{self.run}",  # buckets of its own
            methods=frozenset({"GET"}),
            pattern=Pattern.parse("/"),
            upstream=Upstream("model", "http://127.0.0.1:9"),
            authenticators=(ApiKey("keys", ApiKeyConfig()), Minted("minted", Verifier(self.mint))),
            limits=tuple(Limit(quota) for quota in quotas),
            intake=Intake(),
        )
        return Engine(Policy((route,), {}, "digest"))

    @rule(told=Lives.made, nodes=st.lists(NODES, min_size=1, max_size=6), by_token=st.booleans())
    def call(self, told: Told, nodes: list[int], by_token: bool) -> None:
        for node in nodes:
            self._call(node, told, by_token)

    @rule(told=Lives.made, nodes=st.lists(NODES, min_size=1, max_size=6), by_token=st.booleans())
    def hear_and_call(self, told: Told, nodes: list[int], by_token: bool) -> None:
        for node in set(nodes):
            self.refresh(node)
        self.call(told, nodes, by_token)

    @rule(target=Lives.made, node=NODES, told=Lives.made, by_token=st.booleans())
    def rotate_under_way(self, node: int, told: Told, by_token: bool) -> Any:
        self.hear_and_call(told, [0, 1], by_token)
        fresh: Any = self.rotate(node, told, 30.0, None)
        self.hear_and_call(fresh, [0, 1], by_token)
        return fresh

    def _call(self, node: int, told: Told, by_token: bool) -> None:
        shown = self._token(told) if by_token else told.key
        decision = self._judge(node, shown)
        room = self.spent[told.subject] < OF_A_SUBJECT and self.spent[told.lineage] < OF_A_KEY
        if isinstance(decision, Allow):
            self.spent.update((told.subject, told.lineage))
        believed = self.now - self.refreshed_at[node] <= STALE_S
        if told.id in self.heard[node] and believed:
            assert room or not isinstance(decision, Allow), "no limit is passed, whatever a node has not heard"
            self.asked["before it was heard"] += 1
        elif not told.holds(self.now):
            assert isinstance(decision, Challenge), "no admitted request that should not be"
            self.asked["refused"] += 1
        elif room:
            assert isinstance(decision, Allow), "no refused one that should be"
            self.asked["admitted"] += 1
        else:
            assert isinstance(decision, Deny)
            assert decision.reason is Reason.QUOTA_EXCEEDED, "a rotation resets nothing"
            self.asked["over quota"] += 1

    def _token(self, told: Told) -> str:
        if told.id not in self.tokens:
            who = Principal(told.subject, credential_id=told.id)
            self.tokens[told.id] = mint_token(self.mint, Grant(who, frozenset(), URL, None), told.id, self.now)
        return self.tokens[told.id]

    def _judge(self, node: int, shown: str) -> Any:
        fields = Headers([("authorization", f"Bearer {shown}")])
        engine, driver = self.engines[node], self.drivers[node]
        x = engine.open(Request(f"r{sum(self.asked.values())}", "GET", "/", "", fields, "192.0.2.1", self.now))
        decision = self.loop.run_until_complete(driver.run(engine.request_head(x)))
        if isinstance(decision, Allow):
            decision = self.loop.run_until_complete(driver.run(engine.request_body(x, b"")))
        return decision


@pytest.mark.timeout(180)
def test_any_life_of_any_keys_under_limits(postgres: Any, valkey: Valkey) -> None:
    url = postgres.make()
    SqlRegistry(url).close()
    Admissions.url, Admissions.counters = url, valkey.url
    Admissions.clean = lambda: postgres.execute("TRUNCATE keys", url)
    Admissions.asked.clear()
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    for _ in range(4):  # what befalls a key is chance's
        run_state_machine_as_test(
            Admissions,
            settings=settings(max_examples=50, stateful_step_count=50, deadline=None, suppress_health_check=checks),
        )
        if {"admitted", "refused", "over quota"} <= Admissions.asked.keys():
            break
    print(f"\n{dict(Admissions.asked)}")
    assert {"admitted", "refused", "over quota"} <= Admissions.asked.keys()
