"""What is usual: fitted, written, read; and what its parts do with bad input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.extraction.traffic import NOW, YOUNG, Traffic

from vallum.extraction import attribution, calibration, cohorts
from vallum.extraction.arrivals import NEAR_S, Arrivals
from vallum.extraction.cluster import STREAK, STREAK_EACH, Cluster
from vallum.extraction.contemporaries import Contemporaries
from vallum.extraction.facts import WIDTH

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.extraction.calibration import Usual


@pytest.fixture(scope="module")
def usual() -> Usual:
    traffic = Traffic()
    traffic.honest(200)
    return fit(traffic)


def fit(traffic: Traffic) -> Usual:
    snapshot = traffic.snapshot()
    rows, owners = traffic.peers.rows(snapshot.names)
    usual = calibration.fit(NOW, rows, owners, snapshot.counts, snapshot.sums)
    assert usual is not None
    return usual


def test_what_is_usual_reads_as_it_was_written(usual: Usual) -> None:
    again = calibration.unpack(usual.pack())
    for one, other in zip(usual, again, strict=True):
        assert np.allclose(np.asarray(one), np.asarray(other), atol=1e-6)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:0],
        lambda data: data[:40],
        lambda data: b"XX" + data[2:],
        lambda data: data + b"\0",
        lambda data: data[:20] + b"\xff" * 8 + data[28:],
    ],
    ids=["empty", "short", "another mark", "long", "a number that is none"],
)
def test_what_is_no_calibration_is_refused(usual: Usual, spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ValueError, match="calibration"):
        calibration.unpack(spoil(usual.pack()))


def test_a_fit_hangs_on_nothing_but_its_arguments(usual: Usual) -> None:
    traffic = Traffic()
    traffic.honest(200)
    assert fit(traffic).pack() == usual.pack()


def test_habits_lie_where_accounts_differ(usual: Usual) -> None:
    assert usual.habit.max() > 10 * np.median(usual.habit)


def test_rows_that_are_no_numbers_do_not_reach_a_fit() -> None:
    traffic = Traffic()
    traffic.honest(200)
    traffic.add("broken", np.full((4, WIDTH), np.nan, np.float32), YOUNG)
    found = fit(traffic)
    assert np.isfinite(found.basis).all()


def test_attackers_among_those_fitted_to_make_strange_things_little_less_strange(usual: Usual) -> None:
    traffic = Traffic()
    traffic.honest(200)
    traffic.raid(40, 20, created=traffic.created[0])
    poisoned = fit(traffic)
    rows = traffic.world.strange(200).mean(axis=0)
    far = [((rows - one.centre) @ one.basis) @ one.seeking.T for one in (usual, poisoned)]
    assert far[1].max() > 0.5 * far[0].max()


@pytest.mark.parametrize(("reached", "limit"), [(0.0, 8.0), (10.0, 12.0), (1e9, 40.0)])
def test_a_threshold_is_bounded_on_both_sides(reached: float, limit: float) -> None:
    limits = calibration.Limits()
    limits.judge("seeking", "new", reached)
    limits.calibrated = True
    assert limits.judge("seeking", "new", 1e12) == pytest.approx(limit)
    assert limits.judge("seeking", "new", 0.0) == pytest.approx(limit)


def test_one_account_holds_few_of_the_places_among_contemporaries() -> None:
    peers = Contemporaries(8, 2)
    for number in range(20):
        peers.note("heavy", float(number), np.full(WIDTH, 1, np.float32))
    peers.note("light", 20.0, np.zeros(WIDTH, np.float32))
    assert len(peers) == 3
    names, counts, _ = peers.accounts(20.0, 3600.0)
    assert dict(zip(names, counts.round().tolist(), strict=True)) == {"heavy": 2, "light": 1}
    assert peers.present(20.0, without={"heavy"}).centre.max() == 0


def test_the_oldest_makes_way_among_contemporaries() -> None:
    peers = Contemporaries(4, 4)
    for number in range(6):
        peers.note(f"user-{number}", float(number), np.full(WIDTH, number, np.float32))
    rows, owners = peers.rows([f"user-{number}" for number in range(6)])
    assert sorted(owners.tolist()) == [2, 3, 4, 5]
    assert len(rows) == 4
    assert peers.groups(2).shape == (0, WIDTH)
    assert Contemporaries().present(0.0).weight == 0


def test_accounts_without_a_habit_stand_out_from_those_with_one(usual: Usual) -> None:
    traffic = Traffic()
    traffic.honest(30, YOUNG, queries=40)
    plain = Traffic()
    plain.honest(30, YOUNG, queries=40, habit=np.full(12, 1 / 12))
    statistics = []
    for some in (traffic, plain):
        snapshot = some.snapshot()
        drift = np.zeros((WIDTH, 0), np.float32)
        evidence = attribution.weigh(usual, usual.centre, snapshot.counts, snapshot.sums, drift)
        weights = np.ones(30, np.float32)
        statistics.append(cohorts.without_habit(usual, evidence, snapshot.counts, weights))
    assert statistics[1] > 16 > statistics[0]


def test_thresholds_lie_above_what_honest_customers_score() -> None:
    scores = np.linspace(-10, 7.5, 1000).astype(np.float32)
    found = attribution.thresholds(0.5, (1, 16), (scores, scores - 10))
    assert (scores < found[0]).mean() == pytest.approx(0.995, abs=0.002)
    assert found[31] == pytest.approx(6.0, abs=0.1)  # which theory demands of so many queries


def test_members_among_those_taken_for_honest_do_not_lift_a_threshold_out_of_reach() -> None:
    scores = np.append(np.linspace(-10, 5, 900), np.full(100, 50.0)).astype(np.float32)
    assert attribution.thresholds(0.5, (1,), (scores,))[0] < 6


@pytest.mark.parametrize("gain", [1e9, np.inf])
def test_one_query_adds_little_to_a_streak(gain: float) -> None:
    cluster = Cluster("c", np.zeros(WIDTH, np.float32), 0.0, 0.0, 0, np.zeros(32, np.float32))
    assert cluster.follow("odd", gain) == STREAK_EACH


@pytest.mark.parametrize("gain", [np.nan, -np.inf, -1e9])
def test_a_query_that_speaks_against_a_cluster_ends_no_streak_at_once_and_keeps_none(gain: float) -> None:
    cluster = Cluster("c", np.zeros(WIDTH, np.float32), 0.0, 0.0, 0, np.zeros(32, np.float32))
    assert cluster.follow("user", gain) == 0
    assert not cluster.streaks


def test_who_came_alone_needs_a_longer_streak_where_members_came_together() -> None:
    cluster = Cluster("c", np.zeros(WIDTH, np.float32), 0.0, 0.0, 0, np.zeros(32, np.float32))
    cluster.streaks = {"together": STREAK + 1, "alone": STREAK + 1, "alone all the time": STREAK + 4}
    assert cluster.long_streaks({"alone": 3.0, "alone all the time": 3.0}) == {"together", "alone all the time"}


def test_who_comes_with_many_others_is_known_by_that() -> None:
    traffic, arrivals = Traffic(), Arrivals()
    traffic.honest(20, YOUNG)
    arrivals.meet(traffic.snapshot(NOW))
    traffic.honest(1, YOUNG, "alone")
    arrivals.meet(traffic.snapshot(NOW + 3 * NEAR_S))
    traffic.honest(40, YOUNG, "many")
    came = arrivals.meet(traffic.snapshot(NOW + 9 * NEAR_S))
    odds = arrivals.odds(came, np.isfinite(came), came, NOW + 9 * NEAR_S)
    assert odds[0] == odds[20] == 0
    assert (odds[21:] == 39).all()
    assert arrivals.knows("alone-0")
    assert not arrivals.knows("later")
