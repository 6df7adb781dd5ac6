"""The crowd: what is asked is counted once, on one replica or on four; floods push out themselves; clocks may lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.core.extraction import DAY_S, Account
from vallum.extraction.crowd import NEW_S, NONE, POOL, POOLS, Crowd
from vallum.extraction.facts import WIDTH
from vallum.extraction.sketch import COUNT, WINDOW_S, unpack

if TYPE_CHECKING:
    from vallum.extraction.facts import Floats, Snapshot

T0 = 2800 * WINDOW_S
SCALE = 7


def rows(count: int = 1, seed: int = 0) -> Floats:
    made = np.empty((count, WIDTH), np.float32)
    made[:] = np.random.default_rng(seed).normal(size=(count, WIDTH)) / WIDTH**0.5
    return made


def ask(crowd: Crowd, name: str, at: float = T0, count: int = 1, **facts: Any) -> None:
    crowd.add(Account(name, **facts), rows(count, len(name) + count), at)


def by_name(snapshot: Snapshot) -> dict[str, tuple[float, Floats]]:
    return {name: (float(snapshot.counts[row]), snapshot.sums[row]) for row, name in enumerate(snapshot.names)}


def code(crowd: Crowd, kind: str, name: str, at: float = T0) -> int:
    snapshot = crowd.snapshot(at)
    return int(snapshot.cohorts[kind][snapshot.names.index(name)])


def test_what_is_asked_is_counted_and_summed() -> None:
    crowd = Crowd(SCALE)
    crowd.add(Account("a"), rows(3), T0)
    crowd.add(Account("a"), rows(1, 9), T0 + 5)
    snapshot = crowd.snapshot(T0 + 5)
    assert snapshot.names == ["a"]
    assert snapshot.counts.tolist() == [4]
    np.testing.assert_allclose(snapshot.sums[0], rows(3).sum(axis=0) + rows(1, 9)[0], atol=1e-5)
    assert snapshot.squares[0] == pytest.approx((rows(3) ** 2).sum() + (rows(1, 9) ** 2).sum(), rel=1e-5)
    assert snapshot.last[0] == T0 + 5
    assert snapshot.created[0] == T0
    assert "a" in crowd
    assert len(crowd) == 1


def test_a_snapshot_stays_as_it_was() -> None:
    crowd = Crowd(SCALE)
    ask(crowd, "a", network="here")
    snapshot = crowd.snapshot(T0)
    before = [
        np.array(part) for part in (snapshot.counts, snapshot.sums, snapshot.created, snapshot.cohorts["network"])
    ]
    ask(crowd, "a", network="there", created=5.0)
    ask(crowd, "b")
    after = (snapshot.counts, snapshot.sums, snapshot.created, snapshot.cohorts["network"])
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_week_before_fades() -> None:
    crowd = Crowd(SCALE)
    ask(crowd, "a", T0, 8)
    assert crowd.snapshot(T0 + WINDOW_S - 1).counts[0] == 8
    ask(crowd, "b", T0 + 1.5 * WINDOW_S)
    assert by_name(crowd.snapshot(T0 + 1.5 * WINDOW_S))["a"][0] == 4
    ask(crowd, "b", T0 + 2 * WINDOW_S)
    assert by_name(crowd.snapshot(T0 + 2 * WINDOW_S))["a"][0] == 0
    ask(crowd, "b", T0 + 9 * WINDOW_S)  # after weeks without a query
    assert by_name(crowd.snapshot(T0 + 9 * WINDOW_S))["b"][0] == 1


def test_a_clock_that_goes_back_loses_nothing() -> None:
    crowd = Crowd(SCALE)
    ask(crowd, "a", T0 + WINDOW_S)
    ask(crowd, "a", T0 + WINDOW_S - 60)
    snapshot = crowd.snapshot(T0 + WINDOW_S - 60)
    assert snapshot.counts[0] == 2
    assert snapshot.last[0] == T0 + WINDOW_S
    ask(crowd, "a", T0 + 100 * WINDOW_S)  # it leaps, and is put right
    for _ in range(3):
        ask(crowd, "a", T0 + 2 * WINDOW_S)
    assert crowd.snapshot(T0 + 2 * WINDOW_S).counts[0] >= 4
    ask(crowd, "a", T0 + 3 * WINDOW_S)
    assert crowd.snapshot(T0 + 4 * WINDOW_S - 1).counts[0] < 2  # and windows go on


def test_cohorts_have_numbers_that_replicas_agree_on_and_nobody_can_aim_for() -> None:
    one, two, other = Crowd(SCALE, b"secret"), Crowd(SCALE, b"secret"), Crowd(SCALE, b"other")
    for crowd in (one, two, other):
        ask(crowd, "a", network="10.0.0.0/24", agent="curl", client="c1", tenant="t")
        ask(crowd, "b", network="10.0.0.0/24")
    assert code(one, "network", "a") == code(one, "network", "b") == code(two, "network", "a")
    assert code(one, "network", "a") != code(other, "network", "a")
    assert code(one, "agent", "b") == code(one, "tenant", "b") == NONE
    assert len({code(one, kind, "a") for kind in ("network", "agent", "client", "tenant")}) == 4
    ask(one, "a", network="10.9.0.0/24")
    assert code(one, "network", "a") != code(one, "network", "b")


def test_time_makes_cohorts() -> None:
    crowd = Crowd(SCALE)
    ask(crowd, "new", T0)
    ask(crowd, "old", T0, created=T0 - 100 * DAY_S)
    ask(crowd, "odd", T0, created=float("nan"))
    ask(crowd, "before time", T0, created=-5.0)
    assert code(crowd, "new", "new") == 1
    assert code(crowd, "new", "old") == NONE
    assert code(crowd, "new", "odd") == code(crowd, "new", "before time") == 1
    assert code(crowd, "created", "new") == T0 // DAY_S
    assert code(crowd, "woken", "old") == NONE  # everybody asks for a first time when the gateway is new
    later = T0 + 20 * DAY_S
    ask(crowd, "sleeper", later, created=T0 - 100 * DAY_S)
    ask(crowd, "fresh", later, created=later)
    ask(crowd, "old", later)
    assert code(crowd, "woken", "sleeper", later) == 1
    assert code(crowd, "woken", "old", later) == 1
    assert code(crowd, "woken", "fresh", later) == NONE
    assert code(crowd, "woken", "old", later + NEW_S) == NONE


def test_the_verified_are_protected() -> None:
    crowd = Crowd(SCALE)
    ask(crowd, "a", verified=True)
    ask(crowd, "b")
    assert crowd.snapshot(T0).protected.tolist() == [True, False]


EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(1, 3), st.floats(0, 4e5)), max_size=20)


@settings(max_examples=50)
@given(EVENTS, st.randoms(use_true_random=False), st.integers(1, 5))
def test_four_replicas_come_to_what_one_comes_to(events: list[Any], chance: Any, every: int) -> None:
    alone = Crowd(SCALE, b"secret")
    replicas = [Crowd(SCALE, b"secret", shared=True) for _ in range(4)]
    at = T0
    for number, (where, who, count, passed) in enumerate(events):
        at += passed
        ask(alone, f"account {who}", at, count)
        ask(replicas[where], f"account {who}", at, count)
        if number % every == 0:
            exchange(replicas, at, chance)
    exchange(replicas, at, chance)
    for replica in replicas:
        expected, found = by_name(alone.snapshot(at)), by_name(replica.snapshot(at))
        assert expected.keys() == found.keys()
        for name, (count, total) in expected.items():
            assert found[name][0] == pytest.approx(count, abs=1e-2)
            np.testing.assert_allclose(found[name][1], total, atol=2e-2)
        assert not replica.take()


def exchange(replicas: list[Crowd], at: float, chance: Any) -> None:
    """Give each replica what the others owe it, in any order, packed as on the way."""
    due = [(giver, account, sketch.pack()) for giver in replicas for account, sketch in giver.take()]
    for taker in replicas:
        chance.shuffle(due)
        for giver, account, data in due:
            if giver is not taker:
                taker.merge(account, unpack(data), at)


def test_an_account_keeps_its_age_over_replicas() -> None:
    here, there = Crowd(SCALE, shared=True), Crowd(SCALE)
    ask(here, "a", T0 - 3 * DAY_S, created=T0 - 90 * DAY_S)
    there_account, sketch = here.take()[0]
    ask(there, "a", T0)
    there.merge(there_account._replace(created=None), sketch, T0)
    assert there.snapshot(T0).created[0] == T0 - 90 * DAY_S
    assert there.snapshot(T0).last[0] == T0
    kept = there.sketch("a")
    assert kept is not None
    assert kept.first == T0 - 3 * DAY_S
    assert there.sketch("b") is None


def test_what_is_of_another_scale_or_of_the_future_is_not_merged() -> None:
    crowd, other = Crowd(SCALE), Crowd(SCALE + 1, shared=True)
    ask(other, "a")
    account, sketch = other.take()[0]
    with pytest.raises(ValueError, match="another scale"):
        crowd.merge(account, sketch, T0)
    sketch.scale = SCALE
    with pytest.raises(ValueError, match="the future"):
        crowd.merge(account, sketch, T0 - 3 * WINDOW_S)
    assert len(crowd) == 0
    crowd.merge(account, sketch, T0)
    ask(crowd, "a", T0 + 5 * WINDOW_S)
    crowd.merge(account, sketch, T0 + 5 * WINDOW_S)  # it comes weeks late
    assert crowd.snapshot(T0 + 5 * WINDOW_S).counts[0] == 1


def test_a_flood_pushes_out_itself_and_stays_in_its_days_sum() -> None:
    most = 320
    crowd = Crowd(SCALE, most=most, shared=True)
    for index in range(100):
        ask(crowd, f"established {index}", T0 - 20 * DAY_S, created=T0 - 90 * DAY_S)
    for index in range(50):
        ask(crowd, f"new, and asks {index}", T0, 20)
        ask(crowd, f"suspected {index}", T0)
    ask(crowd, "verified", T0, verified=True)
    crowd.hold([f"suspected {index}" for index in range(50)] + ["nobody"])
    for index in range(5000):
        ask(crowd, f"sybil {index}", T0 + index)
    at = T0 + 5000
    snapshot = crowd.snapshot(at)
    assert len(snapshot.names) <= most + POOLS
    for name in ("established", "new, and asks", "suspected"):
        assert all(f"{name} {index}" in crowd for index in range(50))
    assert "verified" in crowd
    assert snapshot.counts.sum() == pytest.approx(100 * by_name(snapshot)["established 0"][0] + 50 * 21 + 1 + 5000)
    pools = [name for name in snapshot.names if name.startswith(POOL)]
    assert 1 <= len(pools) <= POOLS
    assert code(crowd, "new", pools[0], at) == 1
    assert len({account.name for account, _ in crowd.take()}) == 5201  # who was pushed out is still owed


def test_newcomers_find_room_among_the_established_but_not_much() -> None:
    crowd = Crowd(SCALE, most=320)
    for index in range(320):
        ask(crowd, f"established {index}", T0 - 20 * DAY_S, 2)
    for index in range(3000):
        ask(crowd, f"sybil {index}", T0 + index)
    assert sum(f"established {index}" in crowd for index in range(320)) > 300


def test_where_all_are_held_somebody_goes_all_the_same() -> None:
    crowd = Crowd(SCALE, most=32)
    for index in range(100):
        ask(crowd, f"verified {index}", T0 + index, verified=True)
    assert len(crowd) <= 32 + POOLS
    assert crowd.snapshot(T0 + 100).counts.sum() == 100


def test_sums_of_days_take_turns() -> None:
    crowd = Crowd(SCALE, most=32)
    for day in range(60):
        for index in range(100):
            ask(crowd, f"{day}, {index}", T0 + day * DAY_S)
    snapshot = crowd.snapshot(T0 + 60 * DAY_S)
    pools = [row for row, name in enumerate(snapshot.names) if name.startswith(POOL)]
    assert len(pools) == POOLS
    assert snapshot.created[pools].min() >= T0 + 43 * DAY_S


def test_an_account_is_forgotten() -> None:
    crowd = Crowd(SCALE, shared=True)
    for name in "abc":
        ask(crowd, name)
    crowd.forget("a")
    crowd.forget("nobody")
    assert "a" not in crowd
    assert set(by_name(crowd.snapshot(T0))) == {"b", "c"}
    assert {account.name for account, _ in crowd.take()} == {"b", "c"}
    ask(crowd, "a")
    kept = crowd.sketch("a")
    assert kept is not None
    assert kept.recent[COUNT] == 1


def test_what_is_owed_of_an_earlier_week_is_handed_in_as_of_that_week() -> None:
    crowd = Crowd(7, most=10, shared=True)
    rows = np.ones((2, WIDTH), np.float32)
    for name in ("a", "b"):
        crowd.add(Account(name), rows, T0)
    crowd.add(Account("a"), rows, T0 + WINDOW_S)
    owed = [(account.name, sketch.window, sketch.recent[0]) for account, sketch in crowd.take()]
    week = int(T0 // WINDOW_S)
    assert sorted(owed) == [("a", week, 2), ("a", week + 1, 2), ("b", week, 2)]
    assert crowd.take() == []
