"""An account against its own history: made of rows with habits, sessions and strangers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vallum.extraction import own_history
from vallum.extraction.facts import WIDTH
from vallum.extraction.habit import Pair, Rarity, fit
from vallum.extraction.own_history import BLOCKS, HISTORY_MIN, STAYS_S, WEEK_S, OwnHistory, Recent
from vallum.extraction.state import pack_state, unpack_state

Rows = NDArray[np.float32]
TOPICS = 12


class World:
    """Rows about topics; each account has two of them, and now and then asks about any."""

    def __init__(self, seed: int = 1) -> None:
        self.rng = np.random.default_rng(seed)
        self.topics = self._unit(TOPICS + 1)  # the last is what nobody asks about

    def _unit(self, count: int) -> Rows:
        rows = self.rng.standard_normal((count, WIDTH)).astype(np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))

    def ask(self, topics: list[int], count: int) -> Rows:
        picked = self.rng.choice(topics, count)
        stray = self.rng.random(count) < 0.1
        picked[stray] = self.rng.integers(TOPICS, size=int(stray.sum()))
        return self.about(picked)

    def about(self, topics: NDArray[np.int64]) -> Rows:
        return np.asarray((self.topics[topics] + 0.8 * self._unit(len(topics))) / 1.3, np.float32)


class Told:
    """An own history, with what the accounts' sketches hold beside it."""

    def __init__(self, **bounds: Any) -> None:
        self.own = OwnHistory(**bounds)
        self.sums: dict[str, tuple[float, Rows]] = {}

    def note(self, name: str, rows: Rows, at: float) -> float:
        strange = 0.0
        for row in rows:
            count, total = self.sums.get(name, (0.0, np.zeros(WIDTH, np.float32)))
            count, total = self.sums[name] = count + 1, total + row
            strange = max(strange, self.own.note(name, row[None], count, total, at))
        return strange


@pytest.fixture(scope="module")
def calibrated() -> tuple[World, Told]:
    world, told = World(), Told()
    habits = [world.rng.choice(TOPICS, 2, replace=False).tolist() for _ in range(110)]
    for week in range(8):
        for index, habit in enumerate(habits):
            told.note(f"user-{index}", world.ask(habit, 45), week * WEEK_S)
        told.own.fit()
    assert told.own.calibrated
    for name in list(told.own._accounts):  # what calibration's own accounts were found to be says nothing
        told.own._accounts[name].strange = 0.0
    return world, told


def account(world: World, told: Told, name: str) -> float:
    """Give an account a history about topics 0 and 1."""
    return told.note(name, world.ask([0, 1], 120), 8 * WEEK_S)


def test_an_owner_who_goes_on_as_ever_is_not_strange(calibrated: tuple[World, Told]) -> None:
    world, told = calibrated
    found = [account(world, told, f"steady-{index}") for index in range(40)]
    found += [told.note(f"steady-{index}", world.ask([0, 1], 60), 8 * WEEK_S) for index in range(40)]
    assert sum(strange >= 1 for strange in found) <= 1


def test_a_stranger_is_noticed_within_twenty_queries(calibrated: tuple[World, Told]) -> None:
    world, told = calibrated
    for index in range(20):
        account(world, told, f"stolen-{index}")
        assert told.note(f"stolen-{index}", world.about(np.full(20, TOPICS)), 8 * WEEK_S + 60) == 1


def test_it_stays_noticed_for_a_day_and_fades(calibrated: tuple[World, Told]) -> None:
    world, told = calibrated
    account(world, told, "fading")
    told.note("fading", world.about(np.full(20, TOPICS)), 8 * WEEK_S + 60)
    at = 8 * WEEK_S + 60
    shares = [told.own.judge("fading", at + part * STAYS_S) for part in (0, 0.5, 1, 2)]
    assert shares == [pytest.approx(share) for share in (1, 0.5, 0, 0)]
    assert told.own.judge("fading", at - 1e9) == 1  # a clock that goes back


def test_the_thief_does_not_talk_the_sign_away_by_asking_on(calibrated: tuple[World, Told]) -> None:
    world, told = calibrated
    account(world, told, "patient")
    for hour in range(6):
        told.note("patient", world.about(np.full(60, TOPICS)), 8 * WEEK_S + 3600 * hour)
    assert told.own.judge("patient", 8 * WEEK_S + 6 * 3600) > 0.7


def test_an_operator_clears_an_account(calibrated: tuple[World, Told]) -> None:
    world, told = calibrated
    account(world, told, "cleared")
    told.note("cleared", world.about(np.full(20, TOPICS)), 8 * WEEK_S)
    told.own.clear("cleared")
    told.own.clear("cleared")
    assert told.own.judge("cleared", 8 * WEEK_S) == 0


def test_who_asks_about_what_the_owner_asks_is_not_told_apart(calibrated: tuple[World, Told]) -> None:
    world, told = calibrated
    account(world, told, "alike")
    assert told.note("alike", world.ask([0, 1], 20), 8 * WEEK_S) < 1


def test_without_a_history_nothing_is_said(calibrated: tuple[World, Told]) -> None:
    world, told = calibrated
    told.note("young", world.ask([0, 1], HISTORY_MIN - 10), 8 * WEEK_S)
    assert told.note("young", world.about(np.full(15, TOPICS)), 8 * WEEK_S) == 0


def test_before_calibration_nothing_is_said() -> None:
    world, told = World(), Told()
    told.own.fit()
    account(world, told, "one")
    assert told.note("one", world.about(np.full(20, TOPICS)), 8 * WEEK_S) == 0
    assert not told.own.calibrated


def test_the_accounts_kept_are_bounded_and_few_queries_take_no_room() -> None:
    world, told = World(), Told(most=8)
    for index in range(200):
        told.note(f"once-{index}", world.ask([0, 1], 3), 0.0)
    assert not told.own._accounts
    for index in range(20):
        told.note(f"often-{index}", world.ask([0, 1], 40), 0.0)
    assert list(told.own._accounts) == [f"often-{index}" for index in range(12, 20)]


def test_no_account_is_much_of_what_is_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_history, "PAIRS_MAX", 30)
    world, told = World(), Told()
    told.note("heavy", world.ask([0], 5000), 0.0)
    assert len(told.own._pairs) <= own_history.PAIRS_OF_ONE
    for index in range(10):
        told.note(f"user-{index}", world.ask([0], 200), 0.0)
    assert len(told.own._pairs) == 30


def test_the_last_queries_are_fifteen_to_twenty_one_and_none_before() -> None:
    kept, rows = Recent(place=0), np.zeros((100, WIDTH), np.float32)
    blocks = np.zeros((BLOCKS, WIDTH), np.float16)
    rows[np.arange(100), np.arange(100)] = 1
    for asked, row in enumerate(rows, 1):
        kept.add(row, blocks)
        count = kept.count()
        assert count == min(asked, 15 + (asked - 1) % 7)
        assert np.flatnonzero(blocks.sum(axis=0)).tolist() == list(range(asked - count, asked))


def test_who_makes_way_leaves_nothing_to_who_takes_the_place() -> None:
    world, own = World(), OwnHistory(most=1)
    for row in world.ask([0], 40):
        own.note("one", row[None], 500.0, row * 500, 0.0)
    own.note("other", row[None], 500.0, row * 500, 0.0)
    assert list(own._accounts) == ["other"]
    assert own._accounts["other"].count() == 1
    own.clear("other")
    assert own._accounts["other"].count() == 0


def test_fewer_last_queries_stray_farther_by_chance() -> None:
    world = World()
    rows = world.ask([0, 1], 4000)
    past = rows[:2000].mean(axis=0)
    habit = fit([Pair(rows[at : at + 18].mean(axis=0), past, 2000.0) for at in range(2000, 3980, 9)])
    pair = Pair(world.about(np.full(15, TOPICS)).mean(axis=0), past, 2000.0)
    assert habit.strangeness(pair._replace(chance=18 / 15)) < habit.strangeness(pair)


def test_weeks_that_another_measure_told_do_not_say_what_is_rare(calibrated: tuple[World, Told]) -> None:
    own = OwnHistory()
    own.take_state(unpack_state(pack_state(calibrated[1].own.state())))
    own._fitted, own._pairs = 0, calibrated[1].own._pairs
    assert own._weeks
    own.fit()
    assert not own._weeks
    assert own.calibrated  # by what was known, until enough is known anew


def test_rarity_counts_what_was_seen_and_falls_off_beyond() -> None:
    rarity = Rarity(np.arange(1000.0))
    assert rarity.of(-1) == 1
    assert rarity.of(500) == pytest.approx(0.5)
    assert rarity.of(899.5) == pytest.approx(0.1, abs=0.002)
    assert 0 < rarity.of(2000) < rarity.of(1200) < rarity.of(1000) < 0.1
    assert Rarity(np.zeros(10)).of(1) == 0  # nobody was ever so


def test_a_fit_to_rows_all_alike_is_finite() -> None:
    pairs = [Pair(np.ones(WIDTH, np.float32), np.ones(WIDTH, np.float32), 60.0)] * 20
    habit = fit(pairs)
    assert all(np.isfinite(part).all() for part in (habit.basis, habit.spread, habit.noise))
    assert np.isfinite(habit.strangeness(Pair(np.zeros(WIDTH, np.float32), np.ones(WIDTH, np.float32), 0.0)))


def test_what_is_usual_outlives_a_restart(calibrated: tuple[World, Told]) -> None:
    world, told = calibrated
    later = Told()
    later.own.take_state(unpack_state(pack_state(told.own.state())))
    account(world, later, "stolen")
    assert later.note("stolen", world.about(np.full(20, TOPICS)), 8 * WEEK_S + 60) == 1
    empty = OwnHistory()
    empty.take_state(unpack_state(pack_state(OwnHistory().state())))
    assert not empty.calibrated


@pytest.mark.parametrize(
    "broken",
    [{"habit": [np.zeros(3, np.float32)] * 3 + [1.0]}, {"weeks": [1.0]}, {"weeks": np.array([np.nan])}, {"habit": [1]}],
    ids=["of another width", "a list", "not a number", "too short"],
)
def test_what_is_no_state_is_refused_and_changes_nothing(
    calibrated: tuple[World, Told], broken: dict[str, Any]
) -> None:
    own = OwnHistory()
    with pytest.raises(ValueError):
        own.take_state(calibrated[1].own.state() | broken)
    assert not own.calibrated
