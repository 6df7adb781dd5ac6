"""The simulated weeks of bench/extraction: the same by seed, budgets kept, containment counted, names read."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest

from vallum.core.extraction import CLEAR, Account, Grade, Query, Verdict
from vallum.extraction.facts import Alarm, Findings, Named

cells, thieves, trial, week = (
    import_module(f"bench.extraction.{name}") for name in ("cells", "thieves", "trial", "week")
)
answers, figures, population, worlds = (
    import_module(f"bench.extraction.{name}") for name in ("answers", "figures", "population", "worlds")
)
defences = import_module("bench.extraction.defences")


class Strict:
    """Holds new accounts that asked three times, at the first sweep after it; the thieves' names mean nothing to it."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.asked: dict[str, int] = {}
        self.held: set[str] = set()
        self.swept = 0.0

    def judge(self, account: Account, now: float) -> Verdict:
        return self.verdict if account.name in self.held else CLEAR

    def note(self, query: Query) -> None:
        if query.at - (query.account.created or 0) < 14 * 86400:
            self.asked[query.account.name] = self.asked.get(query.account.name, 0) + 1

    def sweep_due(self, now: float) -> bool:
        return now - self.swept > 3600

    def sweep(self, now: float) -> Findings:
        self.swept = now
        self.held |= {name for name, count in self.asked.items() if count >= 3}
        named = tuple(Named(name, "all", 1.0, established=False) for name in self.held)
        return Findings(now, (Alarm("new", 2.0, 1.0, len(self.held)),) if named else (), named, calibrated=True)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "CALIBRATION", 1)
    monkeypatch.setattr(population, "HEAVY_A_DAY", 150)
    monkeypatch.setattr(population, "USERS", 80)
    monkeypatch.setattr(population, "COMERS", 4)
    monkeypatch.setattr(trial, "CURVE", ())


def raid(monkeypatch: pytest.MonkeyPatch, verdict: Verdict, seed: int = 1, **plan: Any) -> Any:
    monkeypatch.setattr(defences, "watch", lambda *_: Strict(verdict))
    cell = cells.Cell("it", "cancer", thieves.Plan("random", **{"accounts": 10, "queries": 300} | plan))
    return trial.run(cell, seed, trial.prepare(cell, seed, None), bare=False)


BUDGET = Verdict(Grade.BUDGET, coarsen=3, cluster="all", answers_a_day=20)


def told(found: Any) -> dict[str, Any]:
    return {**found.document(), "times_us": None, "wall_s": None}


def test_the_same_seed_gives_the_same_figures_and_another_seed_others(monkeypatch: pytest.MonkeyPatch) -> None:
    once, again, other = (told(raid(monkeypatch, BUDGET, seed)) for seed in (1, 1, 2))
    assert once == again
    assert once["honest"] != other["honest"]


def test_a_budget_contains_a_raid_and_is_counted_for_the_cluster_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = raid(monkeypatch, BUDGET)
    assert found.to_contain == pytest.approx(30, abs=6), "three answers each, and an hour's"
    assert found.named == 1.0
    assert 0 < found.a_day_after <= 40, "two calendar days may touch one span of 24 hours"
    assert found.watched.answers <= found.to_contain + 7 * 20
    assert found.honest["heavy"]["refused"] == 0
    assert found.honest["new"]["refused"] > 0, "what this defence does to the honest is seen"
    assert found.accused["new"] > 0


def test_a_proof_dearer_than_the_thief_can_pay_ends_the_raid_and_a_cheap_one_slows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dear = raid(monkeypatch, Verdict(Grade.PROOF, cluster="all", work_bits=40))
    assert dear.watched.answers == dear.to_contain
    cheap = raid(monkeypatch, Verdict(Grade.PROOF, cluster="all", work_bits=16))
    assert cheap.watched.answers == 300
    assert cheap.work == pytest.approx(1 + 2**16 * week.HASH_S / figures.REQUEST_S, rel=0.15)
    assert cheap.honest["new"]["challenged"] > 0


def test_who_renews_its_accounts_gets_three_answers_more_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    stays, renews = (raid(monkeypatch, BUDGET, queries=600, renews=renews) for renews in (False, True))
    assert renews.watched.answers > stays.watched.answers + 30


def test_a_raid_within_calibration_is_of_other_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defences, "watch", lambda *_: Strict(CLEAR))
    cell = cells.Cell("it", "cancer", thieves.Plan("random", accounts=5, queries=50), poisoned=True)
    names = set(trial.prepare(cell, 1, None).watch.asked)
    assert {f"thief-first-{number}" for number in range(5)} <= names
    assert trial.shared(cell) != trial.shared(cells.cell("cancer-random-10"))


def test_without_a_defence_all_is_answered_and_the_usual_one_holds_each_account_alone() -> None:
    cell = cells.Cell("it", "cancer", thieves.Plan("random", accounts=1, queries=900))
    found = trial.run(cell, 1, trial.prepare(cell, 1, None, watched=False))
    assert found.undefended.answers == 900
    assert found.usual.answers == 500, "a hundred in any day of five"
    assert found.to_contain is None
    assert found.usual_honest["heavy"]["refused"] > 0.3


@pytest.mark.parametrize("name", ["cancer", "synth", "digits", "table"])
def test_a_world_draws_what_its_victim_and_json_can_take(name: str) -> None:
    world, rng = worlds.WORLDS[name](1), np.random.default_rng(1)
    assert 0.5 < world.baseline < 1
    for inputs in (worlds.plain(world, 50, rng), world.noise(50, rng), world.strange(50, rng)):
        assert np.isfinite(inputs).all()
        assert len(world.documents(inputs)) == 50
        assert world.victim.probabilities(inputs).sum(axis=1) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("form", answers.FORMS)
def test_a_student_reads_every_form_of_answer_at_every_coarseness(form: str) -> None:
    chances = np.array([[0.7, 0.2, 0.1], [0.04, 0.01, 0.95]], np.float32)
    for level in (0, 1, 2, 3):
        left = [answers.coarsen(answer, level) for answer in answers.say(chances, form)]
        targets = answers.read(left, 3)
        assert targets.argmax(axis=1).tolist() == [0, 2]
        assert targets.sum(axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "synth",
        "synth-jbda",
        "synth-magic-10",
        "moon-jbda-10",
        "honest-synth-none",
        "honest-synth-none-4-dark",
        "synth-jbda-10-often",
        "a-b-c",
    ],
)
def test_a_cell_that_is_none_is_said_to_be(name: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        cells.cell(name)


def test_a_name_says_what_a_cell_is() -> None:
    found = cells.cell("digits-random-1000-half-dormant-band")
    assert (found.world, found.form) == ("digits", "band")
    assert found.plan == thieves.Plan("random", accounts=1000, camouflage=0.5, dormant=True)
    assert cells.cell("honest-chat-launch-4").weeks == 4
    assert cells.cell("honest-synth-all-52-light").heavy < cells.cell("honest-synth-all-52").heavy == 1
    for names in cells.GOALS.values():
        assert [cells.cell(name).name for name in names] == names


def test_honest_users_are_as_many_as_new_and_as_uneven_as_they_are_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(population, "USERS", 600)
    monkeypatch.setattr(population, "COMERS", 30)
    users = population.Population(worlds.WORLDS["synth"](1), 1)
    events = [users.week(index) for index in range(3)][-1]
    assert (np.diff(events.at) >= 0).all()
    kinds = [users.kind(who, at) for who, at in zip(events.who.tolist(), events.at.tolist(), strict=True)]
    active = dict(zip(events.who.tolist(), kinds, strict=True))
    assert 0.06 < sum(kind == "new" for kind in active.values()) / len(active) < 0.14
    networks = [users.users.accounts[who].network for who in active]
    assert 0.12 < networks.count("198.51.100.0/24") / len(networks) < 0.22
    assert kinds.count("heavy") == pytest.approx(7 * 150, rel=0.15)
    burst = events.at[np.array(kinds) == "bursty"]
    assert burst.max() - burst.min() < 4 * 86400
    for drift in population.DRIFTS:
        other = population.Population(worlds.WORLDS["synth"](1), 1)
        other.change(drift, 0)
        assert len(other.week(0).at) > 10_000


def test_drifts_come_in_turn_and_stay() -> None:
    honest = cells.cell("honest-synth-all-20")
    assert honest.drifts() == [("classes", 4), ("brightness", 8), ("launch", 12), ("integration", 16)]
    users = population.Population(worlds.WORLDS["synth"](1), 1)
    usual = users.week(0).inputs
    for week, drift in enumerate(("brightness", "launch"), 1):
        users.change(drift, week)
    later = [users.week(week).inputs for week in (1, 2, 3)][-1]
    assert later.std() > 1.1 * usual.std()  # as bright as ever, after a launch
    assert users.users.kinds.count("launch") == population.LAUNCHED
