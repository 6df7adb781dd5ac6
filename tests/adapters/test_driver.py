"""The driver: every effect is performed, every failure goes back into the steps, no steps are left hanging."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from vallum.adapters.driver import Driver
from vallum.core.decision import Allow, Deny
from vallum.core.effects import (
    FetchKeys,
    FindCredential,
    FindCredentialById,
    Introspect,
    NoteSighting,
    RememberProof,
    Steps,
    TakeQuota,
    ask,
)
from vallum.core.errors import DependencyError
from vallum.core.issuer import Issuer, KeySet
from vallum.core.principal import Credential
from vallum.core.quota import Demand, Quota, Taken
from vallum.core.theft import Sighting, Suspicion

if TYPE_CHECKING:
    from tests.conftest import Kit

ALICE = Credential("key_1", "alice", b"digest")
DEMANDS = (Demand(Quota("q", 1, 1_000_000), "key"),)
TAKEN = Taken(((DEMANDS[0].quota, 0, 1),))


class Stores:
    """Both stores in one, answering from a list; an exception is raised, an event is waited for."""

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.asked: list[Any] = []
        self.waiting = asyncio.Event()

    async def _reply(self, question: Any) -> Any:
        self.asked.append(question)
        reply = self.replies.pop(0)
        if isinstance(reply, asyncio.Event):
            self.waiting.set()
            await reply.wait()
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def find(self, digest: bytes) -> Credential | None:
        found: Credential | None = await self._reply(digest)
        return found

    async def find_id(self, key_id: str) -> Credential | None:
        found: Credential | None = await self._reply(key_id)
        return found

    async def withdraw(self, digests: tuple[bytes, ...], now: float, quarantine: bool) -> frozenset[bytes]:
        known: frozenset[bytes] = await self._reply((digests, now, quarantine))
        return known

    async def take(self, demands: tuple[Demand, ...], id: str = "") -> Taken:
        taken: Taken = await self._reply(demands)
        return taken

    async def settle(self, demands: tuple[Demand, ...], id: str) -> None:
        await self._reply(demands)

    async def renew(self, demands: tuple[Demand, ...], id: str) -> None:
        await self._reply(demands)


def driver(stores: Stores) -> Driver:
    return Driver(stores, stores)


async def test_steps_that_ask_nothing_are_run_to_their_end() -> None:
    def steps() -> Steps[str]:
        yield from ()
        return "done"

    assert await driver(Stores()).run(steps()) == "done"


async def test_each_effect_gets_its_own_reply() -> None:
    def steps() -> Steps[tuple[Credential | None, Taken]]:
        found = yield from ask(FindCredential(b"digest"))
        taken = yield from ask(TakeQuota(DEMANDS))
        return found, taken

    stores = Stores(ALICE, TAKEN)
    assert await driver(stores).run(steps()) == (ALICE, TAKEN)
    assert stores.asked == [b"digest", DEMANDS]


async def test_proofs_and_habits_are_kept_in_this_process_by_default() -> None:
    def steps() -> Steps[tuple[Any, ...]]:
        found = yield from ask(FindCredentialById("key_1"))
        first = yield from ask(RememberProof("proof", 1_000_000))
        again = yield from ask(RememberProof("proof", 1_000_000))
        suspicion = yield from ask(NoteSighting("key_1", Sighting(0.0, "home", "curl", frozenset())))
        return found, first, again, suspicion

    stores = Stores(ALICE)
    assert await driver(stores).run(steps()) == (ALICE, True, False, Suspicion())
    assert stores.asked == ["key_1"]


async def test_proofs_may_be_kept_where_other_nodes_see_them() -> None:
    class Shared:
        async def set_once(self, key: str, ttl_ms: int) -> bool:
            raise DependencyError(f"{key} for {ttl_ms} ms")

    def steps() -> Steps[bool]:
        return (yield from ask(RememberProof("proof", 7)))

    with pytest.raises(DependencyError, match="proof for 7 ms"):
        await Driver(Stores(), Stores(), proofs=Shared()).run(steps())


async def test_questions_to_issuers_are_passed_on() -> None:
    issuer = Issuer("https://login.example")

    class Issuers:
        async def fetch_keys(self, issuer: Issuer, newer_than: int = 0) -> KeySet:
            return KeySet(({"of": issuer.url},), newer_than + 1)

        async def introspect(self, issuer: Issuer, token: str) -> dict[str, Any]:
            return {"active": token == "good"}

    def steps() -> Steps[tuple[KeySet, Any]]:
        keys = yield from ask(FetchKeys(issuer, newer_than=4))
        answer = yield from ask(Introspect(issuer, "good"))
        return keys, answer

    stores = Stores()
    said = await Driver(stores, stores, Issuers()).run(steps())
    assert said == (KeySet(({"of": issuer.url},), 5), {"active": True})


async def test_a_failure_is_thrown_in_and_the_steps_may_go_on() -> None:
    def steps() -> Steps[tuple[str, Taken]]:
        try:
            yield from ask(FindCredential(b"digest"))
        except DependencyError as error:
            seen = str(error)
        taken = yield from ask(TakeQuota(DEMANDS))
        return seen, taken

    stores = Stores(DependencyError("down"), TAKEN)
    assert await driver(stores).run(steps()) == ("down", TAKEN)


async def test_a_failure_may_end_the_steps() -> None:
    def steps() -> Steps[str]:
        try:
            yield from ask(FindCredential(b"digest"))
        except DependencyError:
            return "denied"
        return "allowed"

    assert await driver(Stores(DependencyError("down"))).run(steps()) == "denied"


@pytest.mark.parametrize("error", [DependencyError("down"), ZeroDivisionError()])
async def test_a_failure_that_nobody_meets_comes_out_and_the_steps_are_closed(error: Exception) -> None:
    closed: list[bool] = []

    def steps() -> Steps[None]:
        try:
            yield from ask(FindCredential(b"digest"))
        finally:
            closed.append(True)

    with pytest.raises(type(error)):
        await driver(Stores(error)).run(steps())
    assert closed == [True]


async def test_a_fault_of_the_steps_themselves_comes_out() -> None:
    def steps() -> Steps[None]:
        yield from ask(FindCredential(b"digest"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await driver(Stores(None)).run(steps())


async def test_steps_are_closed_when_the_caller_leaves() -> None:
    closed: list[bool] = []
    stores = Stores(asyncio.Event())

    def steps() -> Steps[None]:
        try:
            yield from ask(FindCredential(b"digest"))
        finally:
            closed.append(True)

    task = asyncio.create_task(driver(stores).run(steps()))
    await stores.waiting.wait()
    assert closed == []
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed == [True]


@pytest.mark.parametrize(("reply", "decision"), [(TAKEN, Allow), (DependencyError("down"), Deny)])
async def test_the_engine_and_its_driver_together(kit: Kit, reply: Any, decision: type) -> None:
    engine = kit.engine(kit.route(limits=(kit.limit(DEMANDS[0].quota),)))
    x = engine.open(kit.request())
    run = driver(Stores(reply)).run
    assert await run(engine.request_head(x)) == Allow()
    assert isinstance(await run(engine.request_body(x, b"{}")), decision)
