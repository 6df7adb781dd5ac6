"""Who is named by sweeps, and who is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.extraction.traffic import DAY_S, NOW, OLD, YOUNG, Traffic, World

from vallum.extraction import attribution
from vallum.extraction.arrivals import NAMED_MIN, Arrivals
from vallum.extraction.contemporaries import Contemporaries
from vallum.extraction.facts import WIDTH, Findings
from vallum.extraction.scene import Scene
from vallum.extraction.sweep import Sweeper

if TYPE_CHECKING:
    from vallum.extraction.facts import Floats


def calibrated(traffic: Traffic) -> Sweeper:
    """A sweeper that has seen honest traffic."""
    sweeper = Sweeper()
    assert sweeper.fit(traffic.snapshot(), traffic.peers)
    sweeper.sweep(traffic.snapshot(NOW - DAY_S), traffic.peers, traffic.fresh)
    sweeper.limits.calibrated = True
    return sweeper


@pytest.fixture
def honest() -> Traffic:
    traffic = Traffic()
    traffic.honest(250)
    traffic.honest(25, YOUNG, "newcomer", queries=12)
    return traffic


def sweep(sweeper: Sweeper, traffic: Traffic, times: int = 2) -> Findings:
    found = [sweeper.sweep(traffic.snapshot(NOW + turn), traffic.peers, traffic.fresh) for turn in range(times)]
    return found[-1]


def named(findings: Findings) -> set[str]:
    return {one.name for one in findings.named}


def test_honest_accounts_are_not_named(honest: Traffic) -> None:
    findings = sweep(calibrated(honest), honest)
    assert findings.calibrated
    assert not findings.named
    assert not findings.alarms


@pytest.mark.parametrize(("many", "queries", "camouflage"), [(60, 3, 0), (10, 12, 0), (60, 5, 5)])
def test_a_raid_is_named_and_nearly_nobody_else(honest: Traffic, many: int, queries: int, camouflage: int) -> None:
    sweeper = calibrated(honest)
    honest.raid(many, queries, camouflage)
    findings = sweep(sweeper, honest, 3)
    assert findings.alarms
    assert sum(name.startswith("thief") for name in named(findings)) >= 0.9 * many
    assert sum(not name.startswith("thief") for name in named(findings)) <= 1
    assert sweeper.stands


def test_all_members_of_a_raid_are_one_cluster_that_keeps_its_name(honest: Traffic) -> None:
    sweeper = calibrated(honest)
    honest.raid(40)
    first, second = sweep(sweeper, honest), sweep(sweeper, honest)
    clusters = {one.cluster for one in first.named}
    assert len(clusters) == 1
    assert clusters == {one.cluster for one in second.named}


def test_two_clusters_with_one_first_member_have_two_names(honest: Traffic) -> None:
    sweeper, snapshot = calibrated(honest), honest.snapshot()
    assert sweeper.usual is not None
    scene = Scene(sweeper.usual, snapshot, honest.peers.present(NOW), np.ones(len(snapshot.names), np.bool_))
    members = np.arange(3)
    ids = [
        sweeper._remember(scene, mean, np.zeros(32, np.float32), members) for mean in np.eye(2, WIDTH, dtype=np.float32)
    ]
    assert len(set(ids)) == 2


def test_two_replicas_with_the_same_sketches_find_the_same(honest: Traffic) -> None:
    one, other = calibrated(honest), calibrated(honest)
    honest.raid(40)
    assert sweep(one, honest) == sweep(other, honest)


def test_a_launch_names_nobody(honest: Traffic) -> None:
    sweeper = calibrated(honest)
    habit = np.zeros(12)
    habit[:2] = 0.5
    honest.honest(100, YOUNG, "launched", queries=5, habit=habit)
    assert not sweep(sweeper, honest, 3).named


def hesitant(seed: int = 1) -> Traffic:
    """Traffic about some things of which the model is less sure, and few ask."""
    traffic = Traffic(World(seed, unsure=2))
    traffic.honest(300)
    traffic.honest(25, YOUNG, "newcomer", queries=12)
    return traffic


@pytest.fixture
def unsure() -> Traffic:
    return hesitant()


LAUNCHED = np.full(12, 0.02)  # the habit of who mostly asks about what the model is less sure of
LAUNCHED[:2] = 0.4


def launch(traffic: Traffic, many: int = 100, queries: int = 12) -> None:
    """Let many come with that habit."""
    traffic.honest(many, YOUNG, "launched", queries=queries, habit=LAUNCHED)


@pytest.mark.parametrize("seed", [2, 4, 7, 9])
@pytest.mark.parametrize(("many", "queries"), [(40, 3), (30, 6), (100, 4), (100, 12)])
def test_a_launch_of_what_the_model_is_less_sure_of_names_nobody(seed: int, many: int, queries: int) -> None:
    traffic = hesitant(seed)
    sweeper = calibrated(traffic)
    launch(traffic, many, queries)
    assert not sweep(sweeper, traffic, 3).named


@pytest.mark.parametrize(("strange", "launched"), [(5, 5), (4, 8)])
def test_a_raid_that_asks_what_a_launch_asks_between_is_named(unsure: Traffic, strange: int, launched: int) -> None:
    sweeper = calibrated(unsure)
    for number in range(60):
        rows = [unsure.world.strange(strange), unsure.world.honest(launched, LAUNCHED)]
        unsure.add(f"thief-{number}", np.concatenate(rows), YOUNG)
    assert len(named(sweep(sweeper, unsure, 3))) >= 50


def test_a_raid_does_not_hide_behind_a_launch(unsure: Traffic) -> None:
    sweeper = calibrated(unsure)
    launch(unsure)
    unsure.raid(60, 5)
    found = named(sweep(sweeper, unsure, 3))
    assert sum(name.startswith("thief") for name in found) >= 50
    assert sum(not name.startswith("thief") for name in found) <= 2


def test_a_raid_whose_regions_are_dealt_to_accounts_is_a_raid_all_the_same(unsure: Traffic) -> None:
    sweeper = calibrated(unsure)
    rows = unsure.world.strange(60 * 12)
    order = np.argsort(rows[:, 0], kind="stable")  # each account has a place of its own to ask about
    for number, mine in enumerate(np.split(order, 60)):
        unsure.add(f"thief-{number}", rows[mine], YOUNG)
    assert sum(name.startswith("thief") for name in named(sweep(sweeper, unsure, 3))) >= 40


def test_planted_customers_are_no_ground_for_a_raid_to_stand_on(honest: Traffic) -> None:
    honest.raid(60, 20, prefix="planted", created=OLD)
    sweeper = calibrated(honest)
    honest.raid(60, 12)
    found = named(sweep(sweeper, honest, 3))
    assert sum(name.startswith("thief") for name in found) >= 25


@pytest.mark.parametrize("alike", [False, True])
def test_customers_who_ask_as_a_raid_does_of_late_are_no_ground_for_it_either(honest: Traffic, alike: bool) -> None:
    sweeper = calibrated(honest)
    world = honest.world
    for number in range(40):
        late = np.repeat(world.strange(1), 4, axis=0) if alike else world.strange(4)
        rows = np.concatenate([world.honest(12), late, world.honest(48)])  # of which the first 16 are contemporaries
        honest.add(f"planted-{number}", rows, OLD)
    honest.raid(60, 12)
    found = named(sweep(sweeper, honest, 3))
    assert sum(name.startswith("thief") for name in found) >= 45


def test_who_came_alone_needs_more_where_members_came_together() -> None:
    members = np.array([[True] * 20 + [False] * 5, [True, True] + [False] * 23])
    alone = np.zeros(25, np.bool_)
    alone[0] = alone[1] = alone[24] = True
    more = attribution.more_of_alone(members, alone)
    assert more[0] == pytest.approx(np.log(20 / 2))
    assert more[1] == 0  # all of them came alone


def ask(traffic: Traffic, name: str, row: Floats) -> None:
    place = traffic.names.index(name)
    traffic.counts[place] += 1
    traffic.sums[place] = traffic.sums[place] + row


def test_of_who_came_alone_as_much_is_needed_after_it_was_named_as_before(honest: Traffic) -> None:
    sweeper = calibrated(honest)
    sweeper.sweep(honest.snapshot(NOW - DAY_S), honest.peers, honest.fresh)
    honest.raid(1, 10, prefix="alone")
    sweeper.sweep(honest.snapshot(NOW - DAY_S / 2), honest.peers, honest.fresh)
    honest.raid(60)
    assert "alone-0" in named(sweep(sweeper, honest, 3))
    spared = False
    for row in honest.world.honest(30):
        ask(honest, "alone-0", row)
        ask(honest, "thief-0", row)
        findings = sweep(sweeper, honest, 1)
        needed = sweeper.clusters[0].thresholds[min(honest.counts[honest.names.index("alone-0")], 32) - 1]
        scores = {one.name: one.score for one in findings.named}
        assert scores.get("alone-0", np.inf) >= needed + attribution.LIKELY
        assert ("alone-0" in findings.cleared) == ("alone-0" not in scores)
        spared = spared or "alone-0" not in scores
    assert spared
    assert not sweeper.is_suspect("alone-0")


def test_to_have_come_with_many_says_nothing_unless_some_of_them_are_named() -> None:
    arrivals, honest = Arrivals(), Traffic()
    honest.honest(20)
    arrivals.meet(honest.snapshot(NOW - 9 * DAY_S))
    honest.honest(12, YOUNG, "newcomer")
    came = arrivals.meet(honest.snapshot(NOW))
    for count, many in ((NAMED_MIN - 1, False), (NAMED_MIN, True)):
        named = np.arange(len(came)) >= len(came) - count
        assert (arrivals.odds(came, named, came[-1:], NOW) > attribution.TOGETHER).tolist() == [many]
    assert not arrivals.odds(came, came > 0, np.array([NOW - DAY_S]), NOW).any()


@pytest.mark.parametrize("which", ["Scene.is_common", "cohorts.is_seeking"])
def test_a_cluster_that_turns_out_to_be_none_is_given_up(
    honest: Traffic, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    sweeper = calibrated(honest)
    honest.raid(60, 5)
    assert named(sweep(sweeper, honest))
    common = which == "Scene.is_common"
    monkeypatch.setattr(f"vallum.extraction.sweep.{which}", lambda *_, **__: common)
    assert not named(sweep(sweeper, honest))
    assert not sweeper.stands


def test_a_cluster_is_not_given_up_for_a_few_of_its_members_nor_told_by_them(honest: Traffic) -> None:
    sweeper = calibrated(honest)
    honest.raid(60, 5)
    few = honest.snapshot(NOW)
    few.cohorts["agent"] = np.where([name in {f"thief-{n}" for n in range(6)} for name in few.names], 1, -1)
    sweeper.sweep(few, honest.peers, honest.fresh)
    found = sweeper.sweep(few._replace(at=NOW + 1), honest.peers, honest.fresh)
    assert sum(name.startswith("thief") for name in named(found)) >= 54
    assert [known.members >= 50 for known in sweeper.clusters] == [True]


def test_a_query_between_sweeps_names_who_came_alone_by_a_longer_streak_alone(honest: Traffic) -> None:
    sweeper = calibrated(honest)
    honest.raid(40)
    sweep(sweeper, honest)
    assert sweeper._glance is not None
    line, count = honest.world.honest(200).sum(axis=0), 200.0
    named_at: dict[str, int] = {}
    for turn, row in enumerate(honest.world.strange(12)):
        line, count = line + row, count + 1
        for name, more in (("together", 0.0), ("alone", 4.0)):
            if sweeper._glance.score(name, row[None], count, line, np.inf, more=more) is not None:
                named_at.setdefault(name, turn)
    assert named_at["together"] < named_at["alone"]


def test_nothing_is_named_before_calibration(honest: Traffic) -> None:
    sweeper = Sweeper()
    honest.raid(60)
    assert not sweep(sweeper, honest).named
    sweeper.fit(honest.snapshot(), honest.peers)
    findings = sweep(sweeper, honest)
    assert not findings.named
    assert not findings.calibrated


def test_a_verified_account_is_not_searched_among_the_untrusted(honest: Traffic) -> None:
    sweeper = calibrated(honest)
    honest.raid(60)
    honest.protected = {f"thief-{number}" for number in range(60)}
    assert not sweep(sweeper, honest).named


def test_who_is_named_does_not_become_established_by_waiting(honest: Traffic) -> None:
    sweeper = calibrated(honest)
    honest.raid(40)
    sweep(sweeper, honest)
    later = honest.snapshot(NOW + 12 * DAY_S)
    for name in honest.names[:250]:  # established accounts go on as before
        honest.peers.note(name, NOW + 12 * DAY_S, honest.world.honest(1)[0])
    findings = sweeper.sweep(later, honest.peers, honest.fresh)
    assert sum(name.startswith("thief") for name in named(findings)) >= 36
    assert not any(one.established for one in findings.named)
    assert sweeper.is_suspect("thief-0")


def test_between_sweeps_a_new_account_is_named_at_its_first_queries_and_an_honest_one_is_not(honest: Traffic) -> None:
    sweeper = calibrated(honest)
    honest.raid(40)
    sweep(sweeper, honest)
    strange, ordinary = honest.world.strange(3), honest.world.honest(3)
    assert sweeper.glance("late", strange[2:], 3.0, strange.sum(axis=0)) is not None
    assert sweeper.glance("newcomer", ordinary[2:], 3.0, ordinary.sum(axis=0)) is None
    assert sweeper.glance("nobody", ordinary, 0.0, ordinary.sum(axis=0)) is None


def test_an_account_that_turns_after_a_long_honest_while_is_named_by_its_streak(honest: Traffic) -> None:
    sweeper = calibrated(honest)
    honest.raid(40)
    sweep(sweeper, honest)
    line, count, found = honest.world.honest(200).sum(axis=0), 200.0, None
    for row in honest.world.strange(12):
        line, count = line + row, count + 1
        found = found or sweeper.glance("turned", row[None], count, line)
    assert found is not None


@pytest.mark.parametrize("names", [0, 1])
def test_a_route_that_hardly_anybody_asks_is_swept_without_a_word(honest: Traffic, names: int) -> None:
    sweeper = calibrated(honest)
    few = Traffic(honest.world)
    few.honest(names)
    assert not sweep(sweeper, few).named
    assert not Sweeper().fit(few.snapshot(), few.peers)


def test_sums_that_are_no_numbers_are_left_out(honest: Traffic) -> None:
    sweeper = calibrated(honest)
    honest.raid(40)
    for value in (np.nan, np.inf):
        honest.add(f"broken {value}", np.full((2, WIDTH), value, np.float32), YOUNG)
    findings = sweep(sweeper, honest)
    assert not {"broken nan", "broken inf"} & named(findings)
    assert findings.named


def test_inputs_that_are_all_the_same_break_nothing() -> None:
    traffic = Traffic()
    row = traffic.world.honest(1)
    for number in range(200):
        traffic.add(f"same-{number}", np.repeat(row, 5, axis=0), OLD if number < 150 else YOUNG)
    assert not sweep(calibrated(traffic), traffic).named


def test_without_anybody_to_compare_with_nothing_is_found(honest: Traffic) -> None:
    sweeper = calibrated(honest)
    honest.raid(40)
    honest.peers = Contemporaries()
    assert not sweep(sweeper, honest).named


def test_a_raid_among_a_fifth_of_those_calibrated_on_is_found_nevertheless(honest: Traffic) -> None:
    honest.raid(60, 20, prefix="planted", created=OLD)
    sweeper = calibrated(honest)
    honest.raid(60)
    findings = sweep(sweeper, honest, 3)
    assert sum(name.startswith("thief") for name in named(findings)) >= 25


def test_what_is_remembered_goes_on_elsewhere(honest: Traffic) -> None:
    sweeper = calibrated(honest)
    honest.raid(40)
    sweep(sweeper, honest)
    other = Sweeper().twin(sweeper.state())
    strange = honest.world.strange(3)
    assert other.glance("late", strange[2:], 3.0, strange.sum(axis=0)) is not None
    assert named(sweep(other, honest, 1)) == named(sweep(sweeper, honest, 1))


@pytest.mark.parametrize("texts", [False, True])
@pytest.mark.parametrize("many", [12, 40])
def test_of_texts_what_no_customer_asks_is_a_raid_though_it_is_neither_doubted_nor_strange(
    honest: Traffic, texts: bool, many: int
) -> None:
    sweeper = calibrated(honest)
    usual = sweeper.usual
    assert usual is not None
    away = np.random.default_rng(4).normal(size=WIDTH)
    away -= np.linalg.pinv(usual.seeking) @ (usual.seeking @ away)
    row = usual.centre + (away @ np.linalg.inv(usual.basis)).astype(np.float32)
    for number in range(many):
        honest.add(f"foreign-{number}", np.tile(row, (3, 1)), YOUNG)
    for _ in range(2):
        found = sweeper.sweep(honest.snapshot(), honest.peers, honest.fresh, texts=texts)
    assert named(found) == ({f"foreign-{number}" for number in range(many)} if texts else set())
