"""Agreement: what is known stays in force while a store is away, and the log says so once."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from vallum.agreement import Agreement
from vallum.core.errors import DependencyError
from vallum.core.extraction import Change, Grade, Pardon
from vallum.core.policy import Mode, Throttle
from vallum.core.standing import Event, Raise
from vallum.stores.standings import MemoryStandings

T0 = 1_700_000_000.0
RULE = Throttle(Mode.ENFORCE)
ALICE = "subject\x1falice"


def agree(standings: MemoryStandings, raises: Any, rule: Throttle | None = RULE) -> Agreement:
    return Agreement(standings, raises, lambda: rule, lambda: T0)


class Raises:
    def __init__(self) -> None:
        self.found: list[Raise] | Exception = [Raise("alice", 2.0, T0 + 60)]

    async def find(self, now: float) -> list[Raise]:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def close(self) -> None:
        pass


async def test_what_is_known_stays_in_force_while_the_store_is_away(caplog: pytest.LogCaptureFixture) -> None:
    standings, raises = MemoryStandings(), Raises()
    agreement = agree(standings, raises)
    await agreement.seek()
    raises.found = DependencyError("the database is away")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await agreement.seek()
    assert standings.read(ALICE).raised is not None
    assert len(caplog.records) == 1
    raises.found = []
    await agreement.seek()
    assert standings.read(ALICE).raised is None


async def test_a_slow_store_is_asked_once_at_a_time_and_once_more_at_the_end() -> None:
    raises: Any = Raises()
    asked: list[float] = []
    answering = asyncio.Event()

    async def find(now: float) -> list[Raise]:
        asked.append(now)
        await answering.wait()
        return []

    raises.find = find
    agreement = agree(MemoryStandings(), raises)
    for _ in range(3):
        agreement.beat()
        await asyncio.sleep(0)
    assert len(asked) == 1
    answering.set()
    await agreement.close()
    assert len(asked) == 2
    await agree(MemoryStandings(), raises).close()


@pytest.mark.parametrize("rule", [RULE, None])
async def test_operators_see_who_is_below_the_plan(rule: Throttle | None) -> None:
    standings = MemoryStandings()
    for _ in range(9):
        standings.observe(ALICE, RULE, T0, Event(1.0, "request_rejected"))
    agreement = agree(standings, Raises(), rule)
    await agreement.seek()
    shown: Any = json.loads(agreement.show())
    assert [entry["subject"] for entry in shown] == (["alice"] if rule else [])
    assert agreement.count_below() == len(shown)


class Suspects:
    """A registry that can be away."""

    def __init__(self) -> None:
        self.away = False
        self.written: list[tuple[str, Change]] = []
        self.pardons = [Pardon(ALICE, T0 + 60, "ops", "a test")]
        self.closed = False

    async def exchange(self, changes: list[tuple[str, Change]], now: float) -> list[Pardon]:
        if self.away:
            raise DependencyError("the database is away")
        self.written += changes
        return self.pardons

    def close(self) -> None:
        self.closed = True


class Watched:
    """Watchers with changes to tell."""

    def __init__(self) -> None:
        self.changes = [("digits", Change(ALICE, "c1", Grade.ALERT, Grade.BUDGET, T0, "why"))]
        self.pardoned: list[Pardon] = []

    def all(self) -> Any:
        return (("digits", self),)

    def take_changes(self, now: float) -> list[tuple[str, Change]]:
        taken, self.changes = self.changes, []
        return taken

    def pardon(self, pardons: list[Pardon]) -> None:
        self.pardoned = pardons


async def test_no_change_of_grade_is_lost_while_the_registry_is_away(caplog: pytest.LogCaptureFixture) -> None:
    suspects, watched = Suspects(), Watched()
    change = watched.changes[0]
    stand_ins: dict[str, Any] = {"raises": Raises(), "suspects": suspects, "watchers": watched}
    agreement = Agreement(MemoryStandings(), throttle=lambda: RULE, now=lambda: T0, **stand_ins)
    suspects.away = True
    with caplog.at_level(logging.INFO):
        await agreement.seek()
        watched.changes = [("digits", change[1]._replace(before=Grade.BUDGET, after=Grade.COARSER))]
        await agreement.seek()
    assert suspects.written == []
    said = [(record.levelname, record.getMessage()) for record in caplog.records if "subject:alice" in record.message]
    assert [level for level, _ in said] == ["WARNING", "INFO"]
    assert "subject:alice is now budget, before alert, on digits in cluster c1: why" in said[0][1]
    suspects.away = False
    await agreement.seek()
    assert [one.after for _, one in suspects.written] == [Grade.BUDGET, Grade.COARSER]
    assert watched.pardoned == suspects.pardons
    await agreement.close()
    assert len(suspects.written) == 2
    assert suspects.closed
