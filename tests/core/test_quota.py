"""Quotas: never more than N in any span of the window, capacity back at most a 24th late, refusals free and exact."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.buckets import copy

from vallum.core.counting import take
from vallum.core.quota import Demand, Per, Quota, Taken
from vallum.core.windows import SUB_WINDOWS, Window, expiry_us

WINDOWS_US = (1_000_000, 1_000_003, 60_000_000, 3_600_000_000)
START_US = 1_700_000_000_000_123


@dataclass(frozen=True)
class Event:
    """One request: when, and what it costs."""

    at_us: int
    cost: int


@st.composite
def traffic(draw: st.DrawFn, max_cost: int = 3) -> tuple[Quota, list[Event]]:
    """Draw a quota and requests at arbitrary times, many of them at the edges of sub-windows."""
    quota = Quota("q", draw(st.integers(1, 6)), draw(st.sampled_from(WINDOWS_US)))
    gap = st.one_of(
        st.just(0),
        st.integers(0, quota.window_us // 10),
        st.sampled_from([quota.window_us // 24, quota.window_us // 24 + 1, quota.window_us, quota.window_us - 1]),
    )
    now_us = START_US + draw(st.integers(0, quota.window_us))
    events: list[Event] = []
    for step, cost in draw(st.lists(st.tuples(gap, st.integers(1, max_cost)), min_size=1, max_size=40)):
        now_us += step
        events.append(Event(now_us, cost))
    return quota, events


def ask(window: Window, quota: Quota, event: Event) -> Taken:
    return take([window], (Demand(quota, "key", event.cost),), event.at_us)


@given(traffic())
@settings(max_examples=300)
def test_no_span_of_the_window_ever_holds_more_than_the_limit(case: tuple[Quota, list[Event]]) -> None:
    quota, events = case
    window = Window(Quota("q", 1, 1))
    admitted: list[Event] = []
    for event in events:
        if ask(window, quota, event).refused is None:
            admitted.append(event)
            span = [old.cost for old in admitted if old.at_us >= event.at_us - quota.window_us]
            assert sum(span) <= quota.limit


@given(traffic())
@settings(max_examples=300)
def test_capacity_comes_back_at_most_a_24th_of_the_window_late(case: tuple[Quota, list[Event]]) -> None:
    quota, events = case
    window = Window(Quota("q", 1, 1))
    admitted: list[Event] = []
    late_us = quota.window_us + -(-quota.window_us // SUB_WINDOWS)
    for event in events:
        counting = sum(old.cost for old in admitted if old.at_us > event.at_us - late_us)
        if ask(window, quota, event).refused is None:
            admitted.append(event)
        else:
            assert counting + event.cost > quota.limit, "refused although there was room"


@given(traffic(max_cost=1))
@settings(max_examples=300)
def test_the_time_to_retry_is_exact(case: tuple[Quota, list[Event]]) -> None:
    quota, events = case
    window = Window(Quota("q", 1, 1))
    for event in events:
        taken = ask(window, quota, event)
        if taken.refused is None:
            assert taken.retry_after_us == 0
            continue
        assert 0 < taken.retry_after_us <= quota.window_us + -(-quota.window_us // SUB_WINDOWS)
        there = event.at_us + taken.retry_after_us
        assert ask(copy(window), quota, Event(there - 1, event.cost)).refused is quota
        assert ask(copy(window), quota, Event(there, event.cost)).refused is None


@given(traffic())
@settings(max_examples=200)
def test_a_refusal_costs_nothing(case: tuple[Quota, list[Event]]) -> None:
    quota, events = case
    patient, pushing = Window(Quota("q", 1, 1)), Window(Quota("q", 1, 1))
    for event in events:
        before = ask(patient, quota, event)
        for _ in range(3):  # the same again: each refusal leaves everything as it was
            again = ask(copy(pushing), quota, event)
            if again.refused is not None:
                ask(pushing, quota, event)
        assert ask(pushing, quota, event) == before


@given(traffic(), st.integers(1, 6))
@settings(max_examples=200)
def test_several_quotas_are_taken_together_or_not_at_all(case: tuple[Quota, list[Event]], limit: int) -> None:
    first, events = case
    second = Quota("second", limit, 61_000_000)
    windows = [Window(Quota("q", 1, 1)), Window(Quota("q", 1, 1))]
    for event in events:
        demands = (Demand(first, "a", event.cost), Demand(second, "b", event.cost))
        alone = [take([copy(window)], (demand,), event.at_us) for window, demand in zip(windows, demands, strict=True)]
        together = take(windows, demands, event.at_us)
        assert (together.refused is None) == all(taken.refused is None for taken in alone)
        if together.refused is None:
            assert [level[1] for level in together.levels] == [taken.levels[0][1] for taken in alone]
        else:
            assert together.retry_after_us == max(taken.retry_after_us for taken in alone)
            for window, level, taken in zip(windows, together.levels, alone, strict=True):
                kept = level[1] if taken.refused else level[1] - event.cost
                assert kept == taken.levels[0][1], "what was refused charged nothing"
                assert window.total == level[0].limit - level[1]


def test_the_quota_that_is_named_is_the_one_to_wait_for() -> None:
    minute, hour = Quota("minute", 1, 60_000_000), Quota("hour", 1, 3_600_000_000)
    windows = [Window(Quota("q", 1, 1)), Window(Quota("q", 1, 1))]
    demands = (Demand(minute, "a"), Demand(hour, "b"))
    assert take(windows, demands, START_US).refused is None
    taken = take(windows, demands, START_US)
    assert taken.refused is hour
    assert taken.retry_after_us == expiry_us(hour, START_US * SUB_WINDOWS // hour.window_us) - START_US


def test_n_requests_at_one_instant_and_not_one_more() -> None:
    quota, window = Quota("q", 10, 60_000_000), Window(Quota("q", 1, 1))
    answers = [ask(window, quota, Event(START_US, 1)) for _ in range(12)]
    assert [taken.refused is None for taken in answers] == [True] * 10 + [False] * 2
    assert [taken.levels[0][1] for taken in answers] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0]


def test_the_two_n_of_fixed_windows_do_not_pass() -> None:
    quota, window = Quota("q", 10, 60_000_000), Window(Quota("q", 1, 1))
    edge = 60_000_000 * 28_333_333
    before = [ask(window, quota, Event(edge - 1, 1)).refused is None for _ in range(10)]
    after = [ask(window, quota, Event(edge, 1)).refused is None for _ in range(10)]
    assert (sum(before), sum(after)) == (10, 0)


def test_more_than_the_limit_at_once_never_fits() -> None:
    quota = Quota("q", 3, 60_000_000)
    taken = ask(Window(Quota("q", 1, 1)), quota, Event(START_US, 4))
    assert taken.refused is quota
    assert taken.retry_after_us == quota.window_us


def test_a_bucket_that_gave_nothing_has_nothing_to_come_back() -> None:
    quota = Quota("q", 3, 60_000_000)
    assert ask(Window(Quota("q", 1, 1)), quota, Event(START_US, 4)).levels == ((quota, 3, 0),)


def test_how_a_quota_stands_says_when_the_oldest_comes_back() -> None:
    quota, window = Quota("q", 3, 24_000_000), Window(Quota("q", 1, 1))
    start = 24_000_000 * 1000
    assert ask(window, quota, Event(start, 1)).levels == ((quota, 2, 25_000_000),)
    assert ask(window, quota, Event(start + 5_000_000, 1)).levels == ((quota, 1, 20_000_000),)
    assert ask(window, quota, Event(start + 24_999_999, 1)).levels == ((quota, 0, 1),)
    assert ask(window, quota, Event(start + 25_000_000, 1)).levels == ((quota, 0, 5_000_000),)


def test_a_limit_lowered_while_units_are_out_leaves_nothing_and_not_less() -> None:
    # After a reload: `r` of the RateLimit field is never negative (draft-ietf-httpapi-ratelimit-headers 4.1).
    window = Window(Quota("q", 1, 1))
    for _ in range(8):
        ask(window, Quota("q", 10, 60_000_000), Event(START_US, 1))
    taken = ask(window, Quota("q", 5, 60_000_000), Event(START_US, 1))
    assert taken.refused is not None
    assert taken.levels[0][1] == 0


@pytest.mark.parametrize(
    ("window_us", "window_s"),
    [(60_000_000, 60), (1_000_000, 1), (1, 1), (1_999_999, 1), (86_400_000_000, 86_400)],
)
def test_a_window_in_whole_seconds(window_us: int, window_s: int) -> None:
    assert Quota("q", 1, window_us).window_s == window_s


def test_a_quota_is_the_principals_unless_it_says_otherwise() -> None:
    assert Quota("q", 1, 1).per is Per.PRINCIPAL
