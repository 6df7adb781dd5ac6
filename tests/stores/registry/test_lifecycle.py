"""Any life of any keys on two nodes of one PostgreSQL, on a virtual clock, against a model that fits on a page.

What must hold: after a refresh a node admits exactly who should be admitted; before it, a node errs only towards what
was true at its last one; what limits hang on never changes with a rotation.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from vallum.authenticators.api_key import ApiKey, ApiKeyConfig
from vallum.core.apikey import compose_key, digest_key
from vallum.core.effects import FindCredential
from vallum.core.exchange import Headers, Request
from vallum.core.principal import Credential, Principal
from vallum.stores.registry import RotationError, Selection, SqlRegistry
from vallum.stores.registry.registry import STALE_S

if TYPE_CHECKING:
    from collections.abc import Callable

NODES = st.integers(0, 1)


@dataclass
class Told:
    """What the model knows of one key."""

    id: str
    key: str
    subject: str
    lineage: str
    expires_at: float | None
    revoked: bool = False
    rotated: bool = False
    quarantined: bool = False

    def holds(self, now: float) -> bool:
        set_aside = self.revoked or self.quarantined
        return not set_aside and (self.expires_at is None or self.expires_at > now)


class Lives(RuleBasedStateMachine):
    """Creates, rotates, revokes and lets expire on one node, and asks on the other."""

    url: ClassVar[str]
    clean: ClassVar[Callable[[], Any]]
    made = Bundle("made")

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.loop = asyncio.new_event_loop()
        type(self).clean()
        self.nodes = [SqlRegistry(self.url, lambda: self.now) for _ in range(2)]
        self.told: list[Told] = []
        self.heard = [set[str](), set[str]()]  # who has changed since each node's last refresh
        self.refreshed_at = [self.now, self.now]
        self.count = 0

    def teardown(self) -> None:
        for node in self.nodes:
            node.close()
        self.loop.close()

    def _fresh(self) -> tuple[str, str]:
        self.count += 1
        return f"key_{self.count}", compose_key(self.count.to_bytes(32))

    def _change(self, node: int, *told: Told) -> None:
        self.heard[1 - node] |= {each.id for each in told}

    @initialize()
    def begin(self) -> None:
        for node in range(2):
            self.refresh(node)

    @rule(target=made, node=NODES, life_s=st.sampled_from([None, 20.0, 60.0]), subject=st.sampled_from("ab"))
    def create(self, node: int, life_s: float | None, subject: str) -> Told:
        key_id, key = self._fresh()
        expires_at = None if life_s is None else self.now + life_s
        self.nodes[node].add(Credential(key_id, subject, digest_key(key), created_at=self.now, expires_at=expires_at))
        told = Told(key_id, key, subject, key_id, expires_at)
        self.told.append(told)
        self._change(node, told)
        return told

    @rule(
        target=made,
        node=NODES,
        old=made,
        grace_s=st.sampled_from([0.0, 5.0, 30.0]),
        life_s=st.sampled_from([None, 40.0]),
    )
    def rotate(self, node: int, old: Told, grace_s: float, life_s: float | None) -> Told:
        key_id, key = self._fresh()
        expires_at = None if life_s is None else self.now + life_s
        successor = Credential(key_id, "", digest_key(key), created_at=self.now, expires_at=expires_at)
        try:
            self.nodes[node].rotate(old.id, successor, grace_s)
        except RotationError:
            assert old.rotated or not old.holds(self.now)
            return old
        assert old.holds(self.now)
        assert not old.rotated
        old.rotated = True
        end = self.now + grace_s
        for each in self.told:
            if each.lineage == old.lineage and not each.revoked and (each.expires_at is None or each.expires_at > end):
                each.expires_at = end
                self._change(node, each)
        told = Told(key_id, key, old.subject, old.lineage, expires_at)
        self.told.append(told)
        self._change(node, told)
        return told

    @rule(node=NODES, told=made)
    def revoke(self, node: int, told: Told) -> None:
        assert self.nodes[node].revoke(told.id, self.now) is not told.revoked
        told.revoked = True
        self._change(node, told)

    @rule(node=NODES, subject=st.sampled_from("ab"))
    def revoke_all(self, node: int, subject: str) -> None:
        hit = [told for told in self.told if told.subject == subject and not told.revoked]
        assert self.nodes[node].revoke_all(Selection(subject), self.now) == len(hit)
        for told in hit:
            told.revoked = True
        self._change(node, *hit)

    @rule(node=NODES, told=made)
    def quarantine(self, node: int, told: Told) -> None:
        assert self.nodes[node].withdraw_now([digest_key(told.key)], self.now, True)
        told.quarantined = True
        self._change(node, told)

    @rule(node=NODES, told=made)
    def release(self, node: int, told: Told) -> None:
        assert self.nodes[node].release(told.id) is told.quarantined
        told.quarantined = False
        self._change(node, told)

    @rule(seconds=st.sampled_from([0.5, 4.0, 10.0, 29.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(node=NODES)
    def refresh(self, node: int) -> None:
        self.loop.run_until_complete(self.nodes[node].refresh())
        self.heard[node].clear()
        self.refreshed_at[node] = self.now

    @invariant()
    def everybody_is_answered_truly(self) -> None:
        for node in range(2):
            for told in self.told:
                self._ask(node, told)

    def _ask(self, node: int, told: Told) -> None:
        answer = self._present(node, told.key)
        if isinstance(answer, Principal):
            assert answer.subject == told.subject, "what limits hang on"
            assert (answer.lineage or answer.credential_id) == told.lineage, "what a key's own limits hang on"
        believed = self.now - self.refreshed_at[node] <= STALE_S
        if told.id not in self.heard[node] or not believed:
            assert isinstance(answer, Principal) is told.holds(self.now)

    @rule(node=NODES)
    def ask_with_nobodys_key(self, node: int) -> None:
        assert not isinstance(
            self._present(node, compose_key(bytes(31) + b"\xff" if self.count < 255 else bytes(32))), Principal
        )

    def _present(self, node: int, key: str) -> Any:
        request = Request("r", "GET", "/", "", Headers([("x-api-key", key)]), "192.0.2.1", self.now)
        steps = ApiKey("keys", ApiKeyConfig()).authenticate(request)
        try:
            effect = next(steps)
            while True:
                assert isinstance(effect, FindCredential)
                effect = steps.send(self.loop.run_until_complete(self.nodes[node].find(effect.digest)))
        except StopIteration as done:
            return done.value


@pytest.mark.timeout(120)
def test_any_life_of_any_keys(postgres: Any) -> None:
    url = postgres.make()
    SqlRegistry(url).close()
    Lives.url = url
    Lives.clean = lambda: postgres.execute("TRUNCATE keys", url)
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        Lives, settings=settings(max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=checks)
    )
