"""The watch over a route of texts: nothing is fitted first, and an account that is unlike itself is told of."""

from __future__ import annotations

import random
from copy import deepcopy

import pytest

from vallum.core.extraction import Account, Grade, Pardon, Query
from vallum.core.inputs import Turn
from vallum.extraction import own_history
from vallum.extraction.own_history import WEEK_S
from vallum.extraction.shared_watch import SharedWatch
from vallum.extraction.watch import Watch

TRADES = {
    "bank": "my card was charged twice by the shop and I want the money back on my account please",
    "garden": "which roses grow well in the shade and how often should I water them in summer",
    "travel": "is there a night train from Vienna to Rome and do I have to book a seat in advance",
}
PROBLEM = "Solve step by step: {} boxes hold {} apples each, {} are sold. How many remain? Final answer: <number>"


def ask(chance: random.Random, trade: str) -> str:
    words = TRADES[trade].split()
    return " ".join(chance.sample(words, 12)) + "?"


@pytest.fixture(scope="module")
def watch() -> Watch:
    chance, found = random.Random(3), Watch(seed=b"seed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_history, "PAIRS_MIN", 60)
        patch.setattr(own_history, "WEEKS_MIN", 24)
        for week in range(8):
            for index in range(12):
                account = Account(f"user-{index}", created=0.0)
                trades = random.Random(index).sample(sorted(TRADES), 2)
                for _ in range(70):
                    text = Turn(ask(chance, chance.choice(trades)), "You are a clerk.")
                    found.note(Query(account, 100 * WEEK_S + week * WEEK_S, (text,)))
            found.sweep(100 * WEEK_S + week * WEEK_S)
    return found


def test_a_stolen_account_is_told_of(watch: Watch) -> None:
    account, at = Account("user-1", created=0.0), 108 * WEEK_S
    assert watch.judge(account, at).strange < 1
    for n in range(20):
        watch.note(Query(account, at, (PROBLEM.format(n + 3, n + 7, n + 1),)))
    verdict = watch.judge(account, at)
    assert (verdict.strange, verdict.grade) == (1.0, Grade.ALERT)
    assert "before" in verdict.evidence
    assert watch.judge(Account("user-2", created=0.0), at).strange < 1
    assert watch.judge(account, at + 2 * 86_400.0).strange == 0
    faded = watch.judge(account, at + 43_200.0)
    assert 0 < faded.strange < 1
    assert faded.grade is Grade.CLEAR


def test_rows_of_other_secrets_do_not_add_up() -> None:
    watches = [Watch(seed=seed) for seed in (b"one", b"other", b"one")]
    for each in watches:
        each.note(Query(Account("a"), 0.0, ("hello",)))
    scales = [each._crowd.scale for each in watches]
    assert scales[0] == scales[2] != scales[1]


def test_a_crowd_of_texts_outlives_a_restart() -> None:
    before, after = SharedWatch(b"seed", kind="text"), SharedWatch(b"seed", kind="text")
    for n in range(5):
        before.note(Query(Account("a"), float(n), (f"question {n}",)))
    after.restore(after.unpack(before.capture()()))
    after.note(Query(Account("a"), 9.0, ("one more",)))
    kept = after._crowd.sketch("a")
    assert kept is not None
    assert kept.recent[0] == 6
    other = SharedWatch(b"seed", kind="text")
    other._crowd = other._open_crowd(7)
    with pytest.raises(ValueError, match="another way"):
        after.restore(after.unpack(other.capture()()))


def test_an_operators_pardon_holds_for_what_is_strange(watch: Watch) -> None:
    account, at = Account("user-3", created=0.0), 108 * WEEK_S
    for n in range(20):
        watch.note(Query(account, at, (PROBLEM.format(n + 3, n + 7, n + 1),)))
    assert watch.judge(account, at).strange == 1
    watch.ladder.pardon((Pardon("user-3", at + 1e6),))
    assert watch.judge(account, at).strange == 0


@pytest.fixture(scope="module")
def route() -> tuple[Watch, float]:
    """A watch that knows what a hundred customers ask, and the time."""
    chance, found, now = random.Random(5), Watch(seed=b"seed", kind="text", calibrate_s=0.0), 100 * WEEK_S
    for day in range(3):
        for index in range(100):
            trades = random.Random(index).sample(sorted(TRADES), 2)
            for _ in range(8):
                found.note(Query(Account(f"user-{index}", created=0.0), now, (ask(chance, chance.choice(trades)),)))
            now += 60.0
        found.sweep(now)
        now += 86_400.0 * (day < 2)
    return found, now


@pytest.mark.parametrize(
    ("purpose", "named"), [("sums in a template", True), ("a launch of what customers ask", False)], ids=str
)
def test_new_accounts_that_ask_what_no_customer_does_are_named(
    route: tuple[Watch, float], purpose: str, named: bool
) -> None:
    chance, (watch, now) = random.Random(6), deepcopy(route)
    for turn in range(4):
        for index in range(40):
            text = PROBLEM.format(*chance.choices(range(90), k=3)) if named else ask(chance, "garden")
            watch.note(Query(Account(f"{purpose} {index}", created=now - 3600), now + index, (text,)))
        watch.sweep(now + 60.0 * (turn + 1))
    grades = [watch.judge(Account(f"{purpose} {index}"), now + 600).grade for index in range(40)]
    assert all((grade > Grade.CLEAR) is named for grade in grades)
