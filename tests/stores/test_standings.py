"""Standings in memory: bounded, the bad ones kept longest, nobody harmed by a crowd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.core.decision import Finding
from vallum.core.policy import Mode, Throttle
from vallum.core.standing import GOOD_FOOTING, Event, Raise, factor
from vallum.stores.standings import MemoryStandings

if TYPE_CHECKING:
    from tests.conftest import Kit

T0 = 1_700_000_000.0
RULE = Throttle(Mode.ENFORCE)
BAD = Event(1.0, "request_rejected")


def fallen(standings: MemoryStandings, whose: str, times: int = 9, now: float = T0) -> None:
    for _ in range(times):
        standings.observe(whose, RULE, now, BAD)


def stands(standings: MemoryStandings, whose: str, now: float = T0) -> float:
    return factor(standings.read(whose).standing, RULE, now)


def test_who_never_did_wrong_takes_no_memory() -> None:
    standings = MemoryStandings()
    for index in range(100):
        standings.observe(f"subject\x1f{index}", RULE, T0, Event())
    assert standings.read("subject\x1f1") is GOOD_FOOTING
    assert not standings.named.good


def test_what_is_forgiven_is_forgotten() -> None:
    standings = MemoryStandings()
    standings.observe("subject\x1falice", RULE, T0, BAD)
    assert standings.named.good
    for _ in range(60):
        standings.observe("subject\x1falice", RULE, T0 + 1, Event())
    assert not standings.named.good
    assert standings.read("subject\x1falice") is GOOD_FOOTING


def test_a_crowd_of_others_does_not_push_out_a_bad_standing() -> None:
    standings = MemoryStandings(kept_max=10)
    fallen(standings, "subject\x1fmallory")
    for index in range(1000):
        standings.observe(f"subject\x1f{index}", RULE, T0, BAD)
        fallen(standings, f"ip\x1f192.0.2.{index}")
        fallen(standings, f"subject\x1fip:198.51.100.{index}")
    assert stands(standings, "subject\x1fmallory") < 0.5
    assert max(len(kind) for crowd in (standings.named, standings.unnamed) for kind in (crowd.good, crowd.bad)) == 10
    assert standings.count_below() == 11


def test_where_all_are_bad_the_one_that_changed_longest_ago_goes() -> None:
    standings = MemoryStandings(kept_max=3)
    for name in "abcd":
        fallen(standings, f"subject\x1f{name}")
    assert [stands(standings, f"subject\x1f{name}") < 1 for name in "abcd"] == [False, True, True, True]


@given(st.integers(0, 40), st.lists(st.floats(0, 3600), max_size=40))
@settings(max_examples=100)
def test_refusals_for_want_of_quota_never_move_a_standing_so_a_lowered_limit_cannot_lower_itself(
    kit: Kit, bad: int, pauses: list[float]
) -> None:
    standings = MemoryStandings()
    fallen(standings, "subject\x1falice", bad)
    before, lowest, now = standings.read("subject\x1falice"), stands(standings, "subject\x1falice"), T0
    quota = kit.quota()
    engine = kit.engine(kit.route(throttle=RULE, limits=(kit.limit(quota),)))
    for pause in pauses:
        now += pause
        x = engine.open(kit.request(now=now))
        kit.talk(engine.request_head(x), before)
        kit.talk(engine.request_body(x, b"{}"), kit.refused(quota, wait_us=1))
        standings.note(x)
        assert standings.read("subject\x1falice") == before
        assert stands(standings, "subject\x1falice", now) >= lowest
        lowest = stands(standings, "subject\x1falice", now)


def test_an_exchange_is_noted_once_its_caller_was_known(kit: Kit) -> None:
    standings = MemoryStandings()
    engine = kit.engine(kit.route(throttle=RULE, intake=kit.intake(checks=(kit.guard(Finding("rule")),))))
    stranger = engine.open(kit.request(path="/other"))
    kit.talk(engine.request_head(stranger))
    standings.note(stranger)
    x = engine.open(kit.request(now=T0))
    kit.talk(engine.request_head(x), GOOD_FOOTING)
    kit.talk(engine.request_body(x, b"{}"))
    standings.note(x)
    assert list(standings.named.good) == ["subject\x1falice"]
    assert standings.read("subject\x1falice").standing.cause == "request_rejected"


def test_one_subject_never_moves_another() -> None:
    standings = MemoryStandings()
    fallen(standings, "subject\x1fmallory", 100)
    assert stands(standings, "subject\x1falice") == stands(standings, "ip\x1f192.0.2.1") == 1.0


def test_who_is_below_the_plan_is_listed_until_recovered() -> None:
    standings = MemoryStandings()
    fallen(standings, "subject\x1fmallory")
    fallen(standings, "subject\x1fmalory")
    assert [whose for whose, _ in standings.below(RULE, T0, most=1)] == ["subject\x1fmallory"]
    assert len(standings.below(RULE, T0)) == 2
    assert standings.below(RULE, T0 + 86_400) == []
    assert standings.count_below() == 0


def test_a_block_is_listed_for_as_long_as_it_lasts() -> None:
    rule = Throttle(Mode.ENFORCE, half_life_s=1.0, block_s=3600.0)
    standings = MemoryStandings()
    for _ in range(100):
        standings.observe("subject\x1fmallory", rule, T0, BAD)
    assert [whose for whose, _ in standings.below(rule, T0 + 3000)] == ["subject\x1fmallory"]
    assert standings.below(rule, T0 + 3700) == []


def test_raised_limits_are_a_subjects_whole_and_replaced_whole() -> None:
    standings = MemoryStandings()
    raised = Raise("alice", 2.0, T0 + 60)
    standings.raise_limits([raised])
    assert standings.read("subject\x1falice").raised == raised
    assert standings.read("subject\x1fbob") is GOOD_FOOTING
    standings.raise_limits([])
    assert standings.read("subject\x1falice") is GOOD_FOOTING
