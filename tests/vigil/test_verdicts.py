"""Four replicas on a real Valkey come to the verdicts of one that sees everything: whatever fails meanwhile."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest

from vallum.core.errors import DependencyError
from vallum.core.extraction import Account, Grade, Query
from vallum.extraction.shared_watch import SharedWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.stores.conftest import Valkey
    from tests.vigil.conftest import Fleet

    from vallum.vigil.replica import Replica

pytestmark = pytest.mark.timeout(240)  # days of traffic, on several replicas

T0, DAY_S = 1_700_000_000.0, 86_400.0
SWEEP_S, CALIBRATE_S = 3600.0, 1.5 * DAY_S
DIMENSIONS, HABITS = 16, 8
THIEVES = [f"subject\x1fthief-{number}" for number in range(30)]


def queries(seed: int = 0) -> list[Query]:
    """Return four days of honest accounts, old and new, and on the last day thirty thieves."""
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(HABITS, DIMENSIONS)) * 2
    found: list[tuple[float, Account, np.ndarray]] = []
    for number in range(240):
        is_old = number < 200
        age = chance.uniform(30, 300) if is_old else chance.uniform(0, 9)
        account = Account(
            f"subject\x1f{'old' if is_old else 'new'}-{number}", float(T0 - DAY_S * age), f"10.0.{number % 50}"
        )
        habit = chance.dirichlet(np.full(HABITS, 0.5))
        for at in chance.uniform(0, 4, chance.poisson(24)).tolist():
            row = centres[chance.choice(HABITS, p=habit)] + 0.6 * chance.normal(size=DIMENSIONS)
            found.append((T0 + at * DAY_S, account, row))
    for number, name in enumerate(THIEVES):
        account = Account(name, float(T0 + DAY_S * (3 - chance.uniform(0, 2))), f"10.2.{number}")
        found += [
            (T0 + at * DAY_S, account, chance.uniform(-6, 6, DIMENSIONS)) for at in chance.uniform(3, 4, 20).tolist()
        ]
    found.sort(key=lambda one: one[0])
    return [
        Query(account, at, (row.tolist(),), {"prediction": 1, "confidence": float(chance.uniform(0.5, 1))})
        for at, account, row in found
    ]


def watch(*, shared: bool = True) -> SharedWatch:
    return SharedWatch(b"secret", shared=shared, calibrate_s=CALIBRATE_S)


def grades(one: SharedWatch, now: float) -> dict[str, Grade]:
    return {name: grade for name, _, grade in one.ladder.suspects(now)}


def hours(asked: Iterable[Query]) -> list[tuple[float, list[Query]]]:
    """Part queries by the hour."""
    parted: dict[int, list[Query]] = {}
    for query in asked:
        parted.setdefault(int((query.at - T0) / SWEEP_S), []).append(query)
    return [(T0 + (hour + 1) * SWEEP_S, those) for hour, those in sorted(parted.items())]


def watched(member: Replica) -> SharedWatch:
    assert isinstance(member.watch, SharedWatch)
    return member.watch


def join(fleet: Fleet) -> Replica:
    return fleet.join(watch())


async def sweep(fleet: Fleet, now: float) -> None:
    """Have whoever sweeps do so, and tell the others."""
    await fleet.beat()
    for member in fleet.members:
        if member.sweeps and watched(member).sweep_due(now):
            watched(member).sweep(now)
            member.publish(whole=False)
    await fleet.beat(2)


async def run(
    fleet: Fleet, asked: list[Query], chance: random.Random, trouble: Callable[[float], None] = lambda _: None
) -> dict[float, list[dict[str, Grade]]]:
    """Divide queries at random; return how all replicas graded whom after each hour."""
    seen: dict[float, list[dict[str, Grade]]] = {}
    for now, those in hours(asked):
        trouble((now - T0) / DAY_S)
        for query in those:
            watched(chance.choice(fleet.members)).note(query)
        await sweep(fleet, now)
        seen[now] = [grades(watched(member), now) for member in fleet.members]
    return seen


def run_alone(asked: list[Query]) -> dict[float, dict[str, Grade]]:
    alone, seen = watch(shared=False), {}
    for now, those in hours(asked):
        for query in those:
            alone.note(query)
        if alone.sweep_due(now):
            alone.sweep(now)
        seen[now] = grades(alone, now)
    return seen


def first(seen: dict[float, dict[str, Grade]]) -> float:
    """Return after which day's part ninety in a hundred thieves were held."""
    return next(
        now for now, graded in seen.items() if sum(graded.get(name, 0) >= Grade.COARSER for name in THIEVES) >= 27
    )


@pytest.fixture(scope="module")
def asked() -> list[Query]:
    return queries()


@pytest.fixture(scope="module")
def alone(asked: list[Query]) -> dict[float, dict[str, Grade]]:
    return run_alone(asked)


def held(graded: dict[str, Grade]) -> set[str]:
    return {name for name, grade in graded.items() if grade >= Grade.COARSER}


async def test_four_replicas_come_to_the_verdicts_of_one_within_a_sweep(
    fleet: Fleet, asked: list[Query], alone: dict[float, dict[str, Grade]]
) -> None:
    for _ in range(4):
        join(fleet)
    together = await run(fleet, asked, random.Random(1))
    for graded in together.values():
        assert graded[1:] == graded[:-1], "all replicas say the same"
    last = max(alone)
    assert set(THIEVES) <= held(alone[last])
    assert held(together[last][0]) == held(alone[last])
    assert abs(first({now: graded[0] for now, graded in together.items()}) - first(alone)) <= SWEEP_S


async def test_an_outage_in_the_middle_of_an_attack_changes_no_verdict_and_ends_with_one(
    fleet: Fleet, server: Valkey, asked: list[Query], alone: dict[float, dict[str, Grade]]
) -> None:
    for _ in range(4):
        join(fleet)
    named: set[str] = set()

    def fail(day: float) -> None:
        nonlocal named
        if 3.5 <= day < 3.54:
            named = held(grades(watched(fleet.members[0]), T0 + day * DAY_S))
            server.kill()
        if 3.7 <= day < 3.74:
            server.start()
        if 3.5 <= day < 3.7:
            fleet.now += 20  # each has been alone for long
            for member in fleet.members:
                assert named <= held(grades(watched(member), T0 + day * DAY_S)), "last known"

    together = await run(fleet, asked, random.Random(2), fail)
    last = max(together)
    assert named
    assert held(together[last][0]) == held(alone[last])
    assert all(graded == together[last][0] for graded in together[last])
    counts = [watched(member)._crowd.snapshot(last).counts.sum() for member in fleet.members]
    assert counts == pytest.approx([counts[0]] * 4, rel=1e-5)


async def test_replicas_that_come_and_go_forget_nothing(
    fleet: Fleet, asked: list[Query], alone: dict[float, dict[str, Grade]]
) -> None:
    for _ in range(3):
        join(fleet)
    chance, seen = random.Random(3), {}
    for now, those in hours(asked):
        for query in those:
            watched(chance.choice(fleet.members)).note(query)
        await sweep(fleet, now)
        if chance.random() < 0.2:
            gone = fleet.members.pop(0)
            await gone.close()
            join(fleet)
            await fleet.beat(4)
        seen[now] = grades(watched(fleet.members[0]), now)
    last = max(seen)
    assert held(seen[last]) == held(alone[last])
    assert abs(first(seen) - first(alone)) <= SWEEP_S


async def test_all_end_and_the_next_know_who_was_named_at_once(fleet: Fleet, asked: list[Query]) -> None:
    for _ in range(2):
        join(fleet)
    together = await run(fleet, asked, random.Random(4))
    last = max(together)
    before = together[last][0]
    for member in fleet.members:
        try:
            await member.close()
        except DependencyError:
            pytest.fail("the store is there")
    fleet.members.clear()
    late = join(fleet)
    await late.exchange()
    assert grades(watched(late), last) == before
    assert watched(late).judge(Account(THIEVES[0], T0 + 3 * DAY_S), last).grade >= Grade.COARSER


async def test_a_clock_that_goes_back_or_is_a_month_ahead_changes_nothing_for_the_others(
    fleet: Fleet, asked: list[Query]
) -> None:
    last = asked[-1].at
    here, there, wrong = (
        fleet.join(SharedWatch(b"secret", calibrate_s=CALIBRATE_S, now=lambda: last)) for _ in range(3)
    )
    for now, those in hours(asked):
        for number, query in enumerate(those):
            watched((here, there)[number % 2]).note(query)
        await sweep(fleet, now)
    before, named = watched(here)._crowd.snapshot(last).counts.sum(), held(grades(watched(here), last))
    assert named
    for shift_s in (-2 * SWEEP_S, 30 * DAY_S):
        watched(wrong).note(asked[0]._replace(at=last + shift_s))
        await fleet.beat(3)
        assert held(grades(watched(there), last)) == named
    after = watched(there)._crowd.snapshot(last).counts.sum()
    assert after == pytest.approx(before + 1, abs=0.1), "what is of the future is refused"
    assert here.refused == there.refused == 1
    for member in (here, there):
        watched(member).sweep(last - SWEEP_S)
        assert held(grades(watched(member), last)) == named
