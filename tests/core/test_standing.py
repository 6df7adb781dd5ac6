"""Standings: who misbehaves falls, who does not stays, who stops recovers; and nobody is harmed by another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.core import standing as arithmetic
from vallum.core.decision import Allow, Challenge, Deny, Reason
from vallum.core.effects import ReadStanding, TakeQuota
from vallum.core.engine import line_up
from vallum.core.policy import Mode, Throttle
from vallum.core.principal import Principal
from vallum.core.standing import (
    DAY_S,
    GOOD,
    LEAST,
    MARGIN,
    MOST,
    Event,
    Footing,
    Raise,
    Standing,
    age,
    describe_standing,
    factor,
    in_force,
    observe,
    recovers_in_s,
    whose,
)

if TYPE_CHECKING:
    from tests.conftest import Kit

T0 = 1_700_000_000.0
RULE = Throttle(Mode.ENFORCE)
BAD = Event(1.0, "request_rejected")
GOOD_ONE = Event()

events = st.builds(
    Event,
    st.one_of(st.just(0.0), st.sampled_from([0.1, 0.3, 1.0]), st.floats(allow_nan=True, allow_infinity=True)),
    st.just("cause"),
    st.integers(0, 1000),
)
gaps = st.one_of(st.just(0.0), st.floats(0, 7 * DAY_S), st.sampled_from([-60.0, math.nan, math.inf, -math.inf]))
rules = st.builds(
    Throttle,
    st.just(Mode.ENFORCE),
    st.floats(1, 1000),
    st.floats(1, DAY_S),
    st.floats(0.1, 0.9),
    st.one_of(st.none(), st.floats(1, 3600)),
)
histories = st.lists(st.tuples(gaps, events), max_size=60)


def live(history: list[tuple[float, Event]], rule: Throttle = RULE, start: Standing = GOOD) -> tuple[Standing, float]:
    standing, now = start, T0
    for gap, event in history:
        standing = observe(standing, rule, now + gap, event)
        if math.isfinite(gap):
            now = max(now, now + gap)
    return standing, now


def drip(every_s: float, *, clean: int = 0, hours: float = 48, rule: Throttle = RULE) -> float:
    """Return the factor of one who sends a bad request every so often, and good ones between."""
    standing, now = GOOD, T0
    for _ in range(int(hours * 3600 / every_s)):
        now += every_s
        standing = observe(standing, rule, now, BAD)
        for _ in range(clean):
            standing = observe(standing, rule, now, GOOD_ONE)
    return factor(standing, rule, now)


# --- properties -------------------------------------------------------------------------------------------------------


@given(histories, rules, st.one_of(gaps, st.floats(0, 1e9)))
@settings(max_examples=300)
def test_a_factor_is_a_number_from_the_floor_to_one(
    history: list[tuple[float, Event]], rule: Throttle, later: float
) -> None:
    standing, now = live(history, rule)
    assert rule.floor <= factor(standing, rule, now + later) <= 1.0
    assert all(math.isfinite(value) for value in standing[:8])
    assert LEAST <= standing.usual <= MOST


@given(histories, rules, st.lists(st.floats(0, DAY_S), max_size=10))
@settings(max_examples=300)
def test_with_time_a_factor_only_rises_and_is_whole_again_when_it_said(
    history: list[tuple[float, Event]], rule: Throttle, steps: list[float]
) -> None:
    standing, now = live(history, rule)
    until = recovers_in_s(standing, rule, now)
    assert factor(standing, rule, now + until * 1.0001 + 0.01) == pytest.approx(1.0)
    before = factor(standing, rule, now)
    for step in steps:
        now += step
        after = factor(standing, rule, now)
        assert after >= before - 1e-12
        before = after


@given(histories, rules, st.integers(1, 500))
@settings(max_examples=200)
def test_good_requests_never_lower_a_factor(history: list[tuple[float, Event]], rule: Throttle, count: int) -> None:
    standing, now = live(history, rule)
    before = factor(standing, rule, standing.at)
    for _ in range(min(count, 50)):
        standing = observe(standing, rule, now, GOOD_ONE)
        after = factor(standing, rule, standing.at)
        assert after >= before - 1e-12
        before = after


@given(st.lists(gaps, max_size=80))
@settings(max_examples=200)
def test_who_sends_nothing_bad_keeps_the_plan_however_much_it_is(pauses: list[float]) -> None:
    standing, now = live([(gap, Event(asked=1000)) for gap in pauses])
    assert factor(standing, RULE, now) == 1.0
    assert standing.usual == LEAST


@given(rules, st.floats(0, DAY_S))
@settings(max_examples=100)
def test_one_bad_request_changes_nothing(rule: Throttle, later: float) -> None:
    standing = observe(GOOD, rule, T0, BAD)
    assert factor(standing, rule, T0) == factor(standing, rule, T0 + later) == 1.0
    assert standing.blocked_until == 0


@given(histories, st.integers(1, 60))
@settings(max_examples=200)
def test_the_usual_rises_by_little_a_day_whatever_is_sent(history: list[tuple[float, Event]], days: int) -> None:
    standing, _ = live(history)
    usual, day = standing.usual, standing.day
    for index in range(days):
        for blame in (0.0, 1.0, 100.0):
            standing = observe(standing, RULE, max(standing.at, day) + DAY_S / 3, Event(blame, "x", 10_000))
        assert standing.usual <= usual + MARGIN / 7 * (index + 2)
        assert standing.usual <= MOST


# --- who falls, and who does not --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "least", "most"),
    [(1, 1, 1), (3, 1, 1), (6, 0.49, 0.52), (10, 0.29, 0.31), (30, 0.1, 0.11), (10_000, 0.1, 0.1)],
)
def test_a_burst_falls_fast(bad: int, least: float, most: float) -> None:
    standing, now = live([(0.0, BAD)] * bad)
    assert least <= factor(standing, RULE, now) <= most


@pytest.mark.parametrize(
    ("every_s", "falls"), [(60, True), (300, True), (900, True), (1800, True), (7200, False), (86_400, False)]
)
def test_a_slow_drip_falls_too(every_s: float, falls: bool) -> None:
    assert (drip(every_s) < 1.0) is falls


def test_who_alternates_good_and_bad_falls_as_deep_as_who_is_only_bad() -> None:
    assert drip(2, clean=1, hours=0.1) < 0.101


def test_who_hides_one_bad_request_in_ten_good_ones_falls() -> None:
    assert drip(10, clean=10, hours=1) < 0.2


def test_checks_that_err_now_and_then_cost_a_heavy_user_nothing() -> None:
    assert drip(5, clean=99, hours=6) == 1.0  # one in a hundred, 17,000 times a day


def test_a_client_that_always_errs_a_little_is_compared_with_itself() -> None:
    mistakes = [Event(0.1, "invalid_request")] + [GOOD_ONE] * 5  # every sixth request is invalid
    standing, now = live([(2.0, event) for event in mistakes * 5000])
    assert factor(standing, RULE, now) == 1.0


def test_a_new_fault_shows_against_the_own_past() -> None:
    usual = Standing(at=T0, day=T0, usual=0.05)
    many = [(1.0, Event(0.1, "invalid_request"))] * 120
    assert factor(live(many, start=usual)[0], RULE, T0 + 120) > factor(live(many)[0], RULE, T0 + 120)
    assert factor(live(many)[0], RULE, T0 + 120) < 1.0


def test_what_is_usual_is_learned_in_weeks_and_forgotten_in_weeks() -> None:
    standing = GOOD
    for hour in range(24 * 60):
        standing = observe(standing, RULE, T0 + hour * 3600, Event(2.0, "invalid_request", 100))
    assert 0.015 < standing.usual <= 0.03
    learned = standing.usual
    for hour in range(24 * 60, 24 * 120):
        standing = observe(standing, RULE, T0 + hour * 3600, Event(asked=100))
    assert standing.usual < LEAST + (learned - LEAST) / 10


def test_a_day_of_few_requests_teaches_little_and_an_empty_one_nothing() -> None:
    few = observe(observe(GOOD, RULE, T0, Event(1.0, "x", 1)), RULE, T0 + DAY_S, GOOD_ONE)
    assert few.usual - LEAST < MARGIN / 7 / 50
    empty = observe(observe(GOOD, RULE, T0, Event(asked=0)), RULE, T0 + DAY_S, GOOD_ONE)
    assert empty.usual == LEAST


def test_recovery_takes_minutes_for_a_burst_and_hours_for_a_drip() -> None:
    burst, now = live([(0.0, BAD)] * 9)
    assert recovers_in_s(burst, RULE, now) < 20 * 60
    assert factor(burst, RULE, now + 20 * 60) == 1.0
    worst, now = live([(0.0, BAD)] * 1000)
    assert 12 * 3600 < recovers_in_s(worst, RULE, now) < 24 * 3600
    assert factor(worst, RULE, now + 24 * 3600) == 1.0
    assert recovers_in_s(GOOD, RULE, T0) == 0


def test_a_clock_that_goes_back_forgives_nothing_and_adds_nothing() -> None:
    standing, now = live([(0.0, BAD)] * 9)
    for other in (now - 3600, math.nan, math.inf, -math.inf):
        assert age(standing, RULE, other) == standing
        assert observe(standing, RULE, other, GOOD_ONE).at == now


@pytest.mark.parametrize("blame", [math.nan, math.inf, -math.inf, -5.0, 1e308])
def test_senseless_blame_stays_within_bounds(blame: float) -> None:
    standing = observe(GOOD, RULE, T0, Event(blame, "x" * 1000))
    assert 0 <= standing.recent <= RULE.grace / RULE.floor
    assert len(standing.cause) <= 64


# --- the last step ----------------------------------------------------------------------------------------------------

BLOCKS = Throttle(Mode.ENFORCE, block_s=300.0)


def test_a_block_comes_late_ends_by_itself_and_comes_again_only_for_more_blame() -> None:
    standing, now = live([(0.0, BAD)] * 15, BLOCKS)
    assert standing.blocked_until == 0
    standing = live([(0.0, BAD)] * 100, BLOCKS)[0]
    assert standing.blocked_until == now + 300
    assert observe(standing, BLOCKS, now + 100, BAD).blocked_until == now + 300, "a block is not made longer"
    assert observe(standing, BLOCKS, now + 301, GOOD_ONE).blocked_until == now + 300
    again = live([(301.0, BAD), *[(0.0, BAD)] * 50], BLOCKS, standing)[0]
    assert again.blocked_until > now + 600


# --- what an exchange tells -------------------------------------------------------------------------------------------


def told(kit: Kit, decision: Any, **facts: Any) -> Event | None:
    x = kit.engine().open(kit.request())
    x.decision = decision
    for name, value in facts.items():
        setattr(x, name, value)
    return arithmetic.testify(x)


@pytest.mark.parametrize(
    ("reason", "blame"),
    [(reason, arithmetic.BLAME.get(reason)) for reason in Reason],
    ids=[reason.value for reason in Reason],
)
def test_only_the_callers_own_faults_are_blamed(kit: Kit, reason: Reason, blame: float | None) -> None:
    assert told(kit, Deny(reason, "control")) == (None if blame is None else Event(blame, reason.value))


@pytest.mark.parametrize(
    "reason",
    [
        Reason.QUOTA_EXCEEDED,
        Reason.UNAVAILABLE,
        Reason.UPSTREAM_ERROR,
        Reason.UPSTREAM_TIMEOUT,
        Reason.INTERNAL_ERROR,
        Reason.NOT_FOUND,
        Reason.REQUEST_TIMEOUT,
    ],
)
def test_want_of_quota_and_the_upstreams_failures_are_nobodys_blame(kit: Kit, reason: Reason) -> None:
    assert told(kit, Deny(reason, "control")) is None


def test_strangers_are_not_blamed_for_an_address_that_others_share(kit: Kit) -> None:
    assert told(kit, Challenge("Bearer", "authenticate")) is None
    assert told(kit, None) is None


@pytest.mark.parametrize(
    "facts",
    [{"cancelled": True}, {"shadowed": [Deny(Reason.REQUEST_REJECTED, "check")]}, {"unscanned": ["check"]}],
    ids=lambda facts: str(next(iter(facts))),
)
def test_what_was_not_finished_or_not_looked_at_is_neither_blame_nor_merit(kit: Kit, facts: dict[str, Any]) -> None:
    assert told(kit, Allow()) == GOOD_ONE
    assert told(kit, Allow(), **facts) is None


def test_a_refused_request_is_blamed_though_the_caller_left(kit: Kit) -> None:
    assert told(kit, Deny(Reason.REQUEST_REJECTED, "check"), cancelled=True) == BAD


def test_what_other_controls_hold_against_the_caller_is_added(kit: Kit) -> None:
    assert told(kit, Allow(), blame=5.0, blamed_for="theft") == Event(5.0, "theft")
    rejected = Deny(Reason.REQUEST_REJECTED, "check")
    assert told(kit, rejected, blame=5.0, blamed_for="theft") == Event(6.0, "theft")
    mistake = Deny(Reason.INVALID_REQUEST, "schema")
    assert told(kit, mistake, blame=0.09, blamed_for="theft") == Event(0.1, "theft"), "two slight faults stay slight"


def test_slight_blame_never_begins_a_block() -> None:
    rule = Throttle(Mode.ENFORCE, block_s=300.0, block_at=0.5)
    standing = GOOD
    for _ in range(1000):
        standing = observe(standing, rule, T0, Event(0.1, "theft"))
    assert factor(standing, rule, T0) == 0.5
    assert standing.blocked_until == 0.0


def test_a_standing_is_a_subjects_and_an_addresss_only_where_there_is_no_subject(kit: Kit) -> None:
    x = kit.engine().open(kit.request(client="2001:db8::1"))
    assert whose(x) == "ip\x1f2001:db8::/64"
    x.principal = Principal("")
    assert whose(x).startswith("ip\x1f")
    x.principal = kit.alice
    assert whose(x) == "subject\x1falice"


# --- on the line ------------------------------------------------------------------------------------------------------

QUOTA_OF_TEN = 10


def judged(kit: Kit, footing: Footing, rule: Throttle, **route: Any) -> Any:
    """Take a request through the line; return the exchange and the limit that was asked for."""
    quota = kit.quota(limit=QUOTA_OF_TEN)
    engine = kit.engine(kit.route(throttle=rule, limits=(kit.limit(quota),), **route))
    x = engine.open(kit.request(now=T0))
    head = kit.talk(engine.request_head(x), footing)
    assert head.asked == [ReadStanding("subject\x1falice")]
    if not isinstance(head.outcome, Allow):
        return x, None
    body = kit.talk(engine.request_body(x, b"{}"), kit.admitted(quota))
    assert isinstance(body.asked[0], TakeQuota)
    return x, body.demands[0][0].limit


FALLEN = Standing(at=T0, recent=6.0, lasting=6.0, cause="request_rejected")
RAISED = Raise("alice", 2.0, T0 + 60, "ops", "launch")


@pytest.mark.parametrize(
    ("footing", "mode", "route_mode", "limit"),
    [
        (Footing(GOOD), Mode.ENFORCE, Mode.ENFORCE, None),
        (Footing(FALLEN), Mode.ENFORCE, Mode.ENFORCE, 5),
        (Footing(FALLEN), Mode.SHADOW, Mode.ENFORCE, None),
        (Footing(FALLEN), Mode.ENFORCE, Mode.SHADOW, None),
        (Footing(GOOD, RAISED), Mode.ENFORCE, Mode.ENFORCE, 20),
        (Footing(GOOD, RAISED), Mode.SHADOW, Mode.ENFORCE, 20),
        (Footing(FALLEN, RAISED), Mode.ENFORCE, Mode.ENFORCE, None),
        (Footing(GOOD, RAISED._replace(until=T0)), Mode.ENFORCE, Mode.ENFORCE, None),
    ],
    ids=[
        "good",
        "fallen",
        "in shadow",
        "on a route in shadow",
        "raised",
        "raised, throttle in shadow",
        "raised and fallen",
        "raised until now",
    ],
)
def test_the_limit_in_force(kit: Kit, footing: Footing, mode: Mode, route_mode: Mode, limit: int | None) -> None:
    x, asked = judged(kit, footing, Throttle(mode), mode=route_mode)
    assert asked == limit
    assert x.factor == (limit or 10) / 10


def test_a_refusal_names_the_limit_in_force(kit: Kit) -> None:
    quota = kit.quota(limit=QUOTA_OF_TEN)
    engine = kit.engine(kit.route(throttle=RULE, limits=(kit.limit(quota),)))
    x = engine.open(kit.request(now=T0))
    kit.talk(engine.request_head(x), Footing(FALLEN))
    kit.talk(engine.request_body(x, b"{}"), kit.refused(quota, wait_us=1_000_000))
    assert isinstance(x.decision, Deny)
    assert x.decision.detail == "5 per 60 s per principal"
    assert arithmetic.testify(x) is None


def test_a_blocked_caller_is_refused_before_the_body_is_read_and_told_until_when(kit: Kit) -> None:
    blocked = FALLEN._replace(blocked_until=T0 + 12.5)
    x, _ = judged(kit, Footing(blocked), BLOCKS)
    assert x.decision == Deny(
        Reason.QUOTA_EXCEEDED, "throttle", "blocked, for request_rejected", 13, should_retry=False
    )
    assert arithmetic.testify(x) is None, "to be blocked is no new blame"


@pytest.mark.parametrize(
    ("until", "rule"),
    [(T0, BLOCKS), (T0 + 1e6, BLOCKS), (T0 + 10, RULE)],
    ids=["it is over", "the clock was set back", "the policy blocks nobody any more"],
)
def test_a_block_that_does_not_hold(kit: Kit, until: float, rule: Throttle) -> None:
    x, _ = judged(kit, Footing(FALLEN._replace(blocked_until=until)), rule)
    assert isinstance(x.decision, Allow)


def test_a_block_in_shadow_is_only_recorded(kit: Kit) -> None:
    rule = Throttle(Mode.SHADOW, block_s=300.0)
    x, _ = judged(kit, Footing(FALLEN._replace(blocked_until=T0 + 10)), rule)
    assert isinstance(x.decision, Allow)
    assert [refusal.control for refusal in x.shadowed] == ["throttle"]


def test_standings_are_asked_for_once_the_caller_is_known(kit: Kit) -> None:
    names = [stage.name for stage in line_up(kit.route(throttle=RULE)).head]
    assert names[:5] == ["authenticate", "confirm", "authorise", "standing", "declared_size"]


@pytest.mark.parametrize(
    ("limit", "by", "expected"), [(10, 1.0, 10), (10, 0.1, 1), (3, 0.1, 1), (1, 0.1, 1), (100, 0.29, 29), (10, 2.5, 25)]
)
def test_a_limit_in_force_is_never_nothing(limit: int, by: float, expected: int) -> None:
    assert in_force(limit, by) == expected


def test_operators_see_whose_how_much_why_and_until_when() -> None:
    shown = describe_standing("subject\x1falice", FALLEN._replace(blocked_until=T0 + 5), BLOCKS, T0)
    assert shown == {
        "subject": "alice",
        "factor": 0.5,
        "cause": "request_rejected",
        "recovers_in_s": 600,
        "blocked_for_s": 5,
        "usual": 0.01,
        "mode": "enforce",
    }
