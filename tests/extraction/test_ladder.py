"""The ladder: who is named by how many sweeps, what that means, and the way back."""

from __future__ import annotations

import json
import math
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.core.extraction import CLEAR, DAY_S, Account, Grade, Pardon, Terms
from vallum.extraction.facts import Alarm, Findings, Named
from vallum.extraction.ladder import PIECE, REPORTED_MAX, Ladder
from vallum.extraction.rung import read

T0 = 1_700_000_000.0
MINUTE = 60.0
ALL = Terms(grades=frozenset(Grade) - {Grade.CLEAR})
THIEF = Account("subject\x1fthief", T0 - DAY_S, network="203.0.113.0/24")


def name(*names: str, cluster: str = "a", established: bool = False, score: float = 5.0) -> tuple[Named, ...]:
    return tuple(Named(f"subject\x1f{one}", cluster, score, established) for one in names)


def sweep(ladder: Ladder, at: float, *named: Named, calibrated: bool = True, **others: Any) -> list[Any]:
    return ladder.update(Findings(at, named=named, calibrated=calibrated), at, **others)


def sweeps(ladder: Ladder, count: int, *named: Named, start: float = T0, every: float = MINUTE) -> float:
    for number in range(count):
        sweep(ladder, start + number * every, *named)
    return start + (count - 1) * every


def grades(ladder: Ladder, at: float, *accounts: str) -> list[Grade]:
    return [ladder.verdict(Account(f"subject\x1f{one}"), at).grade for one in accounts]


# --- up


@pytest.mark.parametrize(
    ("terms", "established", "count", "grade"),
    [
        (Terms(), False, 0, Grade.CLEAR),
        (Terms(), False, 1, Grade.ALERT),
        (Terms(), False, 2, Grade.BUDGET),
        (Terms(), True, 2, Grade.COARSER),
        (Terms(), True, 50, Grade.COARSER),
        (Terms(sweeps=3), False, 2, Grade.ALERT),
        (Terms(grades=frozenset({Grade.COARSER})), False, 2, Grade.COARSER),
        (Terms(grades=frozenset()), False, 9, Grade.ALERT),
        (Terms(grades=frozenset({Grade.BUDGET})), True, 9, Grade.ALERT),
        (Terms(grades=frozenset({Grade.COARSER, Grade.REFUSED}), first=Grade.REFUSED), False, 2, Grade.REFUSED),
        (Terms(grades=frozenset({Grade.COARSER, Grade.REFUSED}), first=Grade.REFUSED), True, 2, Grade.COARSER),
    ],
)
def test_what_a_number_of_sweeps_comes_to(terms: Terms, established: bool, count: int, grade: Grade) -> None:
    ladder = Ladder(terms)
    at = sweeps(ladder, count, *name("thief", "other", established=established))
    assert grades(ladder, at, "thief", "nobody") == [grade, Grade.CLEAR]


def test_two_sweeps_that_are_not_in_a_row_are_no_more_than_an_alert() -> None:
    ladder = Ladder(Terms())
    for number in range(9):
        sweep(ladder, T0 + number, *(name("thief") if number % 2 else ()))
        assert grades(ladder, T0 + number, "thief") <= [Grade.ALERT]


def test_who_goes_on_goes_further_up() -> None:
    ladder = Ladder(ALL)
    seen = {}
    for hour in range(24 * 8):
        sweep(ladder, T0 + hour * 3600, *name("thief"), *name("old", established=True, cluster="b"))
        seen[hour] = grades(ladder, T0 + hour * 3600, "thief", "old")
    assert seen[1] == [Grade.BUDGET, Grade.COARSER]
    assert seen[26] == [Grade.PROOF, Grade.COARSER]
    assert seen[24 * 7 + 2] == [Grade.REFUSED, Grade.COARSER]


def test_who_may_do_nothing_but_work_works_after_a_day() -> None:
    ladder = Ladder(Terms(grades=frozenset({Grade.PROOF})))
    for hour in range(27):
        sweep(ladder, T0 + hour * 3600, *name("thief"))
        assert grades(ladder, T0 + hour * 3600, "thief") == [Grade.PROOF if hour > 24 else Grade.ALERT]


def test_what_was_found_without_calibration_is_an_alert() -> None:
    ladder = Ladder(ALL)
    for number in range(5):
        sweep(ladder, T0 + number, *name("thief"), calibrated=False)
    assert grades(ladder, T0 + 5, "thief") == [Grade.ALERT]
    sweep(ladder, T0 + 6, *name("thief"))
    assert grades(ladder, T0 + 6, "thief") == [Grade.ALERT], "the first that counts"


def test_nobody_grows_old_under_suspicion() -> None:
    ladder = Ladder(Terms())
    sweeps(ladder, 2, *name("thief"))
    sweep(ladder, T0 + 120, *name("thief", established=True))
    assert grades(ladder, T0 + 120, "thief") == [Grade.BUDGET]


# --- what a grade means


@pytest.mark.parametrize(
    ("established", "verified", "wanted"),
    [
        (False, False, (Grade.BUDGET, 3, 20, 0)),
        (True, False, (Grade.COARSER, 2, None, 0)),
        (False, True, (Grade.COARSER, 2, None, 0)),
    ],
)
def test_a_verdict_says_what_is_done(established: bool, verified: bool, wanted: tuple[Any, ...]) -> None:
    ladder = Ladder(Terms())
    at = sweeps(ladder, 2, *name("thief", "x", "y", established=established))
    verdict = ladder.verdict(THIEF._replace(verified=verified), at)
    assert (verdict.grade, verdict.coarsen, verdict.answers_a_day, verdict.work_bits) == wanted
    assert "named with 2 others, 2 sweeps in a row, score 5" in verdict.evidence
    assert verdict.until == at + DAY_S
    assert ladder.verdict(Account("subject\x1fx"), at).cluster == verdict.cluster != ""


@pytest.mark.parametrize(
    ("leak", "answers", "bits"), [(0.0, 20, 18), (0.5, 10, 21), (1.0, 1, 24), (9.0, 1, 24), (math.nan, 20, 18)]
)
def test_what_the_cluster_holds_already_is_taken_from_its_budget_and_raises_its_price(
    leak: float, answers: int, bits: int
) -> None:
    ladder = Ladder(Terms(grades=ALL.grades, first=Grade.PROOF))
    at = sweeps(ladder, 2, *name("thief"))
    cluster = ladder.verdict(THIEF, at).cluster
    sweep(ladder, at, *name("thief"), leaks={cluster: leak})
    verdict = ladder.verdict(THIEF, at)
    assert (verdict.answers_a_day, verdict.work_bits) == (answers, bits)


# --- the way back


def test_the_way_back_is_a_step_a_day() -> None:
    ladder = Ladder(Terms())
    at = sweeps(ladder, 2, *name("thief"))
    days = [ladder.verdict(THIEF, at + day * DAY_S) for day in (0, 0.99, 1, 2, 3, 30)]
    assert [verdict.grade for verdict in days] == [
        Grade.BUDGET,
        Grade.BUDGET,
        Grade.ALERT,  # coarser answers would hide whether it goes on
        Grade.CLEAR,
        Grade.CLEAR,
        Grade.CLEAR,
    ]
    assert [verdict.until for verdict in days[:3]] == [at + DAY_S, at + DAY_S, at + 2 * DAY_S]


def test_one_sweep_alone_does_not_hold_up_a_grade_and_two_do() -> None:
    ladder = Ladder(Terms())
    at = sweeps(ladder, 2, *name("thief"))
    sweep(ladder, at + 10)
    sweep(ladder, at + 1.5 * DAY_S, *name("thief"))
    assert grades(ladder, at + 1.5 * DAY_S, "thief") == [Grade.ALERT]
    sweep(ladder, at + 1.6 * DAY_S, *name("thief"))
    assert grades(ladder, at + 2.5 * DAY_S, "thief") == [Grade.BUDGET]


def test_who_is_clear_again_begins_anew() -> None:
    ladder = Ladder(ALL)
    at = sweeps(ladder, 50, *name("thief"), every=3600.0)
    assert grades(ladder, at, "thief") == [Grade.PROOF]
    later = at + 10 * DAY_S
    sweep(ladder, later)
    assert dict(ladder.count(later)) == dict.fromkeys(Grade, 0)
    sweeps(ladder, 2, *name("thief"), start=later + 1)
    assert grades(ladder, later + 60, "thief") == [Grade.BUDGET]


def test_who_was_named_once_and_not_by_the_next_sweep_is_clear() -> None:
    ladder = Ladder(Terms())
    sweeps(ladder, 2, *name("thief"))
    asked = T0 + 61
    ladder.join(name("glanced")[0], asked)
    assert grades(ladder, asked, "thief", "glanced") == [Grade.BUDGET, Grade.BUDGET]
    sweep(ladder, asked - 0.5, *name("thief"))  # which had begun before that query
    assert grades(ladder, asked, "glanced") == [Grade.BUDGET]
    sweep(ladder, asked + 1)
    assert grades(ladder, asked + 1, "thief", "glanced") == [Grade.BUDGET, Grade.CLEAR]
    assert [change.account for change in ladder.take_changes(asked + 1) if not change.after] == ["subject\x1fglanced"]


def test_who_was_named_by_a_query_and_by_the_next_sweep_stays() -> None:
    ladder = Ladder(Terms())
    ladder.join(name("thief")[0], T0)
    at = sweeps(ladder, 2, *name("thief"), start=T0 + 1)
    sweep(ladder, at + 1)
    assert grades(ladder, at + 1, "thief") == [Grade.BUDGET]


def test_who_is_cleared_by_a_sweep_is_clear_at_once() -> None:
    ladder = Ladder(Terms())
    at = sweeps(ladder, 9, *name("newcomer", "thief"))
    ladder.update(Findings(at + 1, calibrated=True, cleared=("subject\x1fnewcomer", "subject\x1fnobody")), at + 1)
    assert grades(ladder, at + 1, "newcomer", "thief") == [Grade.CLEAR, Grade.BUDGET]


def test_a_clock_that_goes_back_changes_nothing() -> None:
    ladder = Ladder(Terms())
    at = sweeps(ladder, 2, *name("thief"))
    assert grades(ladder, at - 30 * DAY_S, "thief") == [Grade.BUDGET]
    sweep(ladder, at - 30 * DAY_S, *name("thief"))
    sweep(ladder, math.nan, *name("thief"))
    sweep(ladder, math.inf, *name("thief"))
    assert grades(ladder, at, "thief") == [Grade.BUDGET]
    assert grades(ladder, at + 3 * DAY_S, "thief") == [Grade.CLEAR]


# --- clusters


def test_a_cluster_keeps_its_name_whatever_sweeps_call_it() -> None:
    ladder = Ladder(Terms())
    at = sweeps(ladder, 2, *name("a", "b"))
    first = ladder.verdict(Account("subject\x1fa"), at).cluster
    for number in range(5):
        sweep(ladder, at + number, *name("a", "b", f"new-{number}", cluster=f"sweep-{number}"))
    clusters = {cluster for _, cluster, _ in ladder.suspects(at + 5)}
    assert clusters == {first}, "no new name means a new budget"


def test_clusters_that_turn_out_to_be_one_share_one_budget_from_then_on() -> None:
    ladder = Ladder(Terms())
    sweeps(ladder, 2, *name("a", "b"))
    at = sweeps(ladder, 2, *name("a", "b"), *name("c", "d", cluster="other"), start=T0 + 120)
    first, second = (ladder.verdict(Account(f"subject\x1f{one}"), at).cluster for one in "ac")
    assert first != second
    sweep(ladder, at, *name("b", "c", cluster="both"))
    assert {cluster for _, cluster, _ in ladder.suspects(at)} == {first}


def test_two_clusters_of_one_sweep_stay_two() -> None:
    ladder = Ladder(Terms())
    at = sweeps(ladder, 2, *name("a", "b"), *name("c", "d", cluster="other"))
    assert len({cluster for _, cluster, _ in ladder.suspects(at)}) == 2


def test_replicas_that_see_the_same_give_the_same_names() -> None:
    one, two = Ladder(Terms()), Ladder(Terms())
    sweeps(one, 2, *name("a", "b", cluster="1"))
    sweeps(two, 2, *name("b", "a", cluster="2"), start=T0 + 7)
    assert {c for _, c, _ in one.suspects(T0)} == {c for _, c, _ in two.suspects(T0)}


# --- cohorts


def alarm(ladder: Ladder, at: float, *cohorts: str, statistic: float = 20.0) -> None:
    alarms = tuple(Alarm(cohort, statistic, 10.0, 50) for cohort in cohorts)
    ladder.update(Findings(at, alarms, calibrated=True), at)


@pytest.mark.parametrize(
    ("probation", "cohort", "established", "verified", "bits"),
    [
        (True, "new", False, False, 19),
        (True, "network:1", False, False, 19),
        (True, "network:2", False, False, 0),
        (True, "new", True, False, 0),
        (True, "new", False, True, 0),
        (False, "new", False, False, 0),
    ],
)
def test_where_a_cohort_stands_out_and_nobody_is_named_the_untrusted_pay_with_work(
    probation: bool, cohort: str, established: bool, verified: bool, bits: int
) -> None:
    ladder = Ladder(Terms(probation=probation))
    account = THIEF._replace(verified=verified)
    alarm(ladder, T0, cohort)
    judge = partial(ladder.verdict, account, established=established, cohorts=lambda: ["new", "network:1"])
    assert judge(T0) == CLEAR, "one alarm is one sweep"
    alarm(ladder, T0 + 60, cohort)
    verdict = judge(T0 + 60)
    assert verdict.work_bits == bits
    assert verdict.answers_a_day is None
    alarm(ladder, T0 + 120)
    assert judge(T0 + 120).work_bits == bits, "it does not flicker"
    assert judge(T0 + 2 * DAY_S) == CLEAR


def test_a_cohort_is_pardoned_like_a_cluster() -> None:
    ladder = Ladder(Terms(probation=True))
    alarm(ladder, T0, "new")
    alarm(ladder, T0 + 1, "new", statistic=math.inf)
    assert ladder.verdict(THIEF, T0 + 1).work_bits == 18
    ladder.pardon([Pardon("cluster\x1fnew", T0 + 100, "ops", "launch day")])
    verdict = ladder.verdict(THIEF, T0 + 1)
    assert (verdict.work_bits, verdict.pardoned) == (0, True)


def test_operators_are_told_when_an_alarm_begins_and_when_it_ends() -> None:
    for probation, after in ((False, Grade.ALERT), (True, Grade.PROOF)):
        ladder = Ladder(Terms(probation=probation))
        for turn in range(4):
            alarm(ladder, T0 + turn, "wave:7")
        alarm(ladder, T0 + 5)
        for day in (1, 2):
            alarm(ladder, T0 + 5 + day * DAY_S)
        told = [(change.account, change.cluster, change.before, change.after) for change in ladder.take_changes(T0)]
        assert told == [
            ("cluster\x1fwave:7", "wave:7", Grade.CLEAR, after),
            ("cluster\x1fwave:7", "wave:7", after, Grade.CLEAR),
        ]


@pytest.mark.parametrize(("cohort", "word"), [("wave:7", "came together"), ("new", "2-fold")])
def test_a_cohort_says_what_is_held_against_it(cohort: str, word: str) -> None:
    ladder = Ladder(Terms(probation=True))
    for turn in range(2):
        alarm(ladder, T0 + turn, cohort)
    verdict = ladder.verdict(THIEF, T0 + 1, cohorts=lambda: [cohort])
    assert cohort in verdict.evidence
    assert word in verdict.evidence


# --- operators


@pytest.mark.parametrize("whom", ["subject\x1fthief", "cluster"])
def test_a_pardon_holds_for_its_time(whom: str) -> None:
    ladder = Ladder(Terms())
    at = sweeps(ladder, 2, *name("thief"))
    cluster = ladder.verdict(THIEF, at).cluster
    whom = f"cluster\x1f{cluster}" if whom == "cluster" else whom
    ladder.pardon([Pardon("subject\x1fsomebody", at + 99, "", ""), Pardon(whom, at + 60, "ops", "a test of ours")])
    verdict = ladder.verdict(THIEF, at)
    assert (verdict.grade, verdict.coarsen, verdict.answers_a_day, verdict.pardoned) == (Grade.ALERT, 0, None, True)
    assert verdict.evidence.endswith("pardoned by ops: a test of ours")
    assert grades(ladder, at + 61, "thief") == [Grade.BUDGET]
    ladder.pardon([])
    assert grades(ladder, at, "thief") == [Grade.BUDGET]


def test_every_change_is_told_once() -> None:
    ladder = Ladder(Terms())
    told = []
    for number in range(4):
        told += sweep(ladder, T0 + number, *name("thief"))
    for day in range(5):
        told += ladder.review(T0 + 3 + day * DAY_S)
    assert [(change.before, change.after) for change in told] == [
        (Grade.CLEAR, Grade.ALERT),
        (Grade.ALERT, Grade.BUDGET),
        (Grade.BUDGET, Grade.ALERT),
        (Grade.ALERT, Grade.CLEAR),
    ]
    assert {change.account for change in told} == {"subject\x1fthief"}
    assert ladder.take_changes(T0) == told
    assert ladder.take_changes(T0) == []
    assert (ladder.sweeps, ladder.alarms) == (4, 0)


# --- bounds


def test_a_flood_of_names_fills_no_memory_and_frees_nobody() -> None:
    ladder = Ladder(Terms(), accounts_max=100)
    at = sweeps(ladder, 2, *name(*(f"thief-{n}" for n in range(50))))
    for number in range(5):
        at += 60
        sweep(ladder, at, *name(*(f"sybil-{number}-{n}" for n in range(500)), cluster="b"))
        assert sum(ladder.count(at).values()) <= 100
        assert ladder.count(at)[Grade.BUDGET] == 50
    sweep(ladder, at + 1, *name("worst", cluster="c", score=99.0), *name("least", cluster="d", score=0.1))
    assert grades(ladder, at + 1, "worst") == [Grade.ALERT]


@given(st.lists(st.tuples(st.integers(0, 200_000), st.sets(st.sampled_from("abcdef")), st.booleans()), max_size=30))
def test_no_course_of_sweeps_takes_an_established_account_beyond_coarser(
    course: list[tuple[int, set[str], bool]],
) -> None:
    ladder, at = Ladder(ALL), T0
    for wait, named, calibrated in course:
        at += wait
        found = [one for who in sorted(named) for one in name(who, established=who in "abc", cluster=who)]
        sweep(ladder, at, *found, calibrated=calibrated)
        assert all(grade <= Grade.COARSER for grade in grades(ladder, at, "a", "b", "c"))


# --- restarts and replicas


def test_a_restart_forgets_nothing() -> None:
    before, after = Ladder(Terms()), Ladder(Terms())
    at = sweeps(before, 2, *name("thief", "x"))
    alarm(before, at, "new")
    sweep(before, at, *name("thief", "x"), leaks={"c": 0.5})
    after.unpack(before.pack())
    assert after.verdict(THIEF, at) == before.verdict(THIEF, at)
    assert after.pack() == before.pack()
    assert after.review(at) == [], "what was told was told"


def test_replicas_agree_on_the_graver_verdict_and_the_older_cluster() -> None:
    one, two = Ladder(Terms()), Ladder(Terms())
    sweeps(one, 2, *name("a", "b"), start=T0)
    sweeps(two, 3, *name("b", "c"), start=T0 + 10)
    packed = one.pack(), two.pack()
    one.unpack(packed[1])
    two.unpack(packed[0])
    assert sorted(one.suspects(T0 + 300)) == sorted(two.suspects(T0 + 300))
    assert len({cluster for _, cluster, _ in one.suspects(T0 + 300)}) == 1


def test_a_newcomer_gets_no_new_budget_from_a_replica_that_did_not_sweep() -> None:
    leader, follower, restarted = Ladder(Terms()), Ladder(Terms()), Ladder(Terms())
    at = sweeps(leader, 2, *name("a", "b", cluster="x"))
    follower.adopt(read(leader.pack()))
    restarted.unpack(leader.pack())
    (late,) = name("late", cluster="x")
    for ladder in (leader, follower, restarted):
        ladder.join(late, at)
    clusters = {ladder.verdict(Account("late"), at).cluster for ladder in (leader, follower, restarted)}
    assert clusters == {leader.verdict(Account("a"), at).cluster}


def test_a_newcomer_gets_no_new_budget_when_the_last_sweep_named_nobody() -> None:
    ladder = Ladder(Terms())
    at = sweeps(ladder, 2, *name("a", "b", cluster="x"))
    sweep(ladder, at + MINUTE)
    (late,) = name("late", cluster="x")
    ladder.join(late, at + MINUTE)
    assert ladder.verdict(Account("late"), at).cluster == ladder.verdict(Account("a"), at).cluster
    for count in range(200):
        sweep(ladder, at + MINUTE, *name(f"other {count}", cluster=f"c{count}"))
    assert len(read(ladder.pack())[4]) == REPORTED_MAX


def test_what_is_packed_is_taken_in_within_bounds() -> None:
    one, two = Ladder(Terms()), Ladder(Terms(), accounts_max=3)
    sweeps(one, 2, *name(*"abcdef"))
    two.unpack(one.pack())
    assert sum(two.count(T0).values()) == 3


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"{}",
        b"null",
        b"[1, 0, {}, {}, {}, {}]",
        b"[2, 0, {}, {}, {}]",
        b"[2, 0, {}, {}, {}, []]",
        b"[1, 0, [], {}, {}]",
        b'[2, 0, {"a": [1]}, {}, {}, {}]',
        b'[2, 0, {"a": ["c", 0, 0, 0, 0, 1, 99, 1, 0, 0, true]}, {}, {}, {}]',
        b'[2, 0, {"a": ["c", NaN, 0, 0, 0, 1, 1, 1, 0, 0, true]}, {}, {}, {}]',
        b'[2, 0, {"a": ["c", true, 0, 0, 0, 1, 1, 1, 0, 0, true]}, {}, {}, {}]',
        b'[2, 0, {"a": ["c", "0", 0, 0, 0, 1, 1, 1, 0, 0, true]}, {}, {}, {}]',
        b"[2, Infinity, {}, {}, {}, {}]",
        b'[2, 0, {}, {"new": [1]}, {}, {}]',
        b'[2, 0, {}, {}, {"c": "x"}, {}]',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_state_is_refused_and_changes_nothing(packed: bytes) -> None:
    ladder = Ladder(Terms())
    sweeps(ladder, 2, *name("thief"))
    before = ladder.pack()
    with pytest.raises(ValueError, match="no state of a ladder"):
        ladder.unpack(packed)
    assert ladder.pack() == before
    json.loads(before)


def test_a_name_that_is_no_unicode_is_written_down_all_the_same() -> None:
    ladder = Ladder(Terms())
    ladder.update(Findings(0.0, named=(Named("half a pair: \ud800", "c", 1.0, established=False),)), 0.0)
    other = Ladder(Terms())
    other.unpack(ladder.pack())
    assert list(other.suspects(0.0)) == list(ladder.suspects(0.0))


def test_findings_are_taken_in_piece_by_piece_as_they_are_at_once() -> None:
    named = tuple(
        Named(f"account {number}", f"c{number % 3}", float(number), established=False) for number in range(1200)
    )
    once, pieces = Ladder(Terms()), Ladder(Terms())
    for at in (0.0, 60.0):
        found = Findings(at, named=named, calibrated=True)
        changes = once.update(found, at)
        steps = list(pieces.take_in(found, at))
        assert max(map(len, steps)) <= PIECE < len(changes)
        assert [change for step in steps for change in step] == changes
    assert pieces.pack() == once.pack()
