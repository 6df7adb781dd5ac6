"""Accounts that come together, what brought them, and when that is an alarm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.extraction.test_sweep import calibrated
from tests.extraction.traffic import DAY_S, MODES, NOW, Traffic

from vallum.extraction.sweep import Sweeper
from vallum.extraction.wave import STRETCH_S, Wave, _grow, usual_a_day

if TYPE_CHECKING:
    from vallum.extraction.facts import Snapshot

HOUR_S = 3600.0
EVERYTHING = np.full(MODES, 1 / MODES)


@pytest.fixture
def traffic() -> Traffic:
    """A route where two come a day."""
    traffic = Traffic()
    traffic.honest(250)
    for day in range(14):
        traffic.honest(2, NOW - day * DAY_S - 1, f"newcomer-{day}", queries=12)
    return traffic


def snapshot(traffic: Traffic, at: float, *, networks: list[int] | None = None) -> Snapshot:
    taken = traffic.snapshot(at)
    codes = np.arange(len(taken.names), dtype=np.int32)
    if networks is not None:
        codes[-len(networks) :] = networks
    return taken._replace(cohorts=taken.cohorts | {"network": codes})


def acquainted(traffic: Traffic, days: int = 14) -> Sweeper:
    """A sweeper that has seen accounts come for some days."""
    sweeper = calibrated(traffic)
    met = dict(zip(traffic.names, traffic.created, strict=True))
    sweeper._arrivals.take_state(NOW - days * DAY_S, met)
    return sweeper


def come(traffic: Traffic, many: int, queries: int, habit: Any = EVERYTHING) -> None:
    traffic.honest(many, NOW - HOUR_S, "guest", queries=queries, habit=habit)


def waves(sweeper: Sweeper, traffic: Traffic, at: float = NOW, networks: list[int] | None = None) -> list[str]:
    found = sweeper.sweep(snapshot(traffic, at, networks=networks), traffic.peers, traffic.fresh)
    assert not found.named
    return [alarm.cohort for alarm in found.alarms if alarm.cohort.startswith("wave")]


def flooded(traffic: Traffic) -> Sweeper:
    """Return a sweeper that knows what is usual, just as a wave has come."""
    sweeper = acquainted(traffic)
    waves(sweeper, traffic)
    come(traffic, 40, 4)
    return sweeper


def test_many_who_come_at_once_and_ask_about_everything_are_an_alarm(traffic: Traffic) -> None:
    sweeper = acquainted(traffic)
    assert waves(sweeper, traffic) == []
    come(traffic, 40, 4)
    assert waves(sweeper, traffic) == [f"wave:{int(NOW // STRETCH_S)}"]
    assert sweeper.wave_of("guest-3", NOW).startswith("wave")
    assert sweeper.wave_of("somebody who comes now", NOW).startswith("wave")
    assert not sweeper.wave_of("newcomer-5-0", NOW)


TUTORIAL = np.where(np.arange(MODES) < 3, 0.25, 0.25 / 9)


@pytest.mark.parametrize(
    ("many", "queries", "habit", "days", "networks"),
    [
        (40, 4, TUTORIAL, 14, None),
        (40, 4, EVERYTHING, 14, [7] * 40),
        (12, 12, EVERYTHING, 14, None),
        (40, 4, EVERYTHING, 3, None),
        (16, 2, TUTORIAL, 14, None),
    ],
    ids=["all try much the same", "of one network", "few", "what is usual is not known", "a few try much the same"],
)
def test_what_is_no_wave(
    traffic: Traffic, many: int, queries: int, habit: Any, days: int, networks: list[int] | None
) -> None:
    sweeper = acquainted(traffic, days)
    waves(sweeper, traffic)
    come(traffic, many, queries, habit)
    assert waves(sweeper, traffic, networks=networks) == []


def test_who_was_there_before_the_first_sweep_came_with_nobody(traffic: Traffic) -> None:
    come(traffic, 40, 4)
    sweeper = calibrated(traffic)
    assert waves(sweeper, traffic, NOW + 8 * DAY_S) == []
    assert not sweeper.wave_of("guest-3", NOW)


def test_an_alarm_goes_on_while_enough_ask_and_is_forgotten_after_two_weeks(traffic: Traffic) -> None:
    sweeper = flooded(traffic)
    first = waves(sweeper, traffic)
    assert first
    assert waves(sweeper, traffic, NOW + 3 * DAY_S) == first, "by the same name"
    silent = snapshot(traffic, NOW + 5 * DAY_S)
    silent = silent._replace(last=np.full(len(silent.names), NOW))
    assert not sweeper.sweep(silent, traffic.peers, traffic.fresh).alarms
    assert sweeper.wave_of("guest-3", NOW) == first[0], "it may ask again"
    waves(sweeper, traffic, NOW + 15 * DAY_S)
    assert not sweeper.wave_of("guest-3", NOW)


def test_a_wave_that_turns_out_to_share_something_is_forgotten(traffic: Traffic) -> None:
    sweeper = flooded(traffic)
    assert waves(sweeper, traffic)
    for place, name in enumerate(traffic.names):
        if name.startswith("guest"):
            rows = traffic.world.honest(40, TUTORIAL)
            traffic.sums[place] = traffic.sums[place] + rows.sum(axis=0)
            traffic.counts[place] += len(rows)
    assert waves(sweeper, traffic, NOW + 60) == []
    assert not sweeper.wave_of("guest-3", NOW)


def test_another_replica_knows_the_waves(traffic: Traffic) -> None:
    sweeper = flooded(traffic)
    found = waves(sweeper, traffic)
    state = sweeper.state()
    assert sweeper.twin(state).wave_of("guest-3", NOW) == found[0]
    del state["waves"]
    assert not sweeper.twin(state).wave_of("guest-3", NOW), "what an earlier version wrote has none"


def test_a_wave_grows_for_as_long_as_more_come() -> None:
    known = [Wave(10, 12, 15.0)]
    assert _grow(known, [12, 14], 20.0) == [Wave(10, 14, 15.0)]
    assert _grow(known, [17], 20.0) == [Wave(10, 12, 15.0), Wave(17, 17, 20.0)]
    assert _grow([], [], 20.0) == []


def test_one_wave_does_not_make_the_next_one_usual() -> None:
    def usual(came: Any, networks: Any, days: float = 20) -> float:
        return usual_a_day(came, networks, NOW, NOW - days * DAY_S)

    came = NOW - np.repeat(np.arange(14), 4) * DAY_S - 1
    assert usual(came, np.arange(len(came))) == 4
    raid = np.concatenate([came, np.full(500, NOW - 5 * DAY_S - 1)])
    assert usual(raid, np.arange(len(raid))) == pytest.approx(4 + 4 / 12)
    assert usual(came, np.zeros(len(came), np.int64)) == 1
    assert usual(came[:0], np.zeros(0, np.int64)) == 1
    assert usual(came, np.arange(len(came)), -np.inf) == np.inf
