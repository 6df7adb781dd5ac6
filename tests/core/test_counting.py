"""What each strategy promises, held against oracles that know nothing of its state, over any order of calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.buckets import copy, state

from vallum.core.counting import new_bucket, renew, settle, take
from vallum.core.leases import Leases
from vallum.core.months import month_of, start_of_month_us
from vallum.core.quota import (
    BUSY_US,
    LONGEST_US,
    MAX_UNITS,
    MAX_UNSETTLED,
    SECOND_US,
    Demand,
    Quota,
    Strategy,
    Taken,
    answer,
)
from vallum.core.smooth import Smooth
from vallum.core.windows import SUB_WINDOWS, Window

MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
START_US = 1_700_000_000_000_123
IDS = [f"id-{number}" for number in range(6)]
LATE_US = -(-MINUTE_US // SUB_WINDOWS)

# one call: what is done, how long after the last one, under which id, at what cost
Step = tuple[str, int, str, int]
STEPS_US = st.one_of(
    st.sampled_from([0, 0, 1, LATE_US, LATE_US + 1, MINUTE_US - 1, MINUTE_US, MINUTE_US + LATE_US]),
    st.integers(0, MINUTE_US // 5),
)


def steps(most: int = 8, also: tuple[str, ...] = ()) -> st.SearchStrategy[list[Step]]:
    """Draw calls: reservations (many never settled), takes for good, and settlements, many of them twice."""
    kinds = st.sampled_from(["reserve", "reserve", "take", "settle", "settle", *also])
    return st.lists(st.tuples(kinds, STEPS_US, st.sampled_from(IDS), st.integers(0, most)), min_size=1, max_size=50)


@dataclass
class Call:
    """What an oracle remembers of one admitted call."""

    at_us: int
    units: int
    id: str = ""
    settled: bool = False


@dataclass
class Ledger:
    """An oracle of windows: every unit that was charged, with its time, and what is owed."""

    quota: Quota
    calls: list[Call] = field(default_factory=list)

    def unsettled(self, name: str, now_us: int) -> Call | None:
        """Find what is reserved under `name`, if the 24th of a window in which it was still counts."""
        call = next((call for call in reversed(self.calls) if name and call.id == name and not call.settled), None)
        width_us = self.quota.window_us
        if call is None or now_us * SUB_WINDOWS // width_us - call.at_us * SUB_WINDOWS // width_us > SUB_WINDOWS:
            return None
        return call

    def used(self, since_us: int) -> int:
        return sum(call.units for call in self.calls if call.at_us > since_us)


def one(bucket: Window | Smooth | Leases, demand: Demand, now_us: int, name: str = "") -> Taken:
    return take([bucket], (demand,), now_us, name)


@given(steps(), st.integers(1, 12))
@settings(max_examples=400)
def test_strict_settled_and_reserved_never_exceed_the_limit_in_any_span(case: list[Step], limit: int) -> None:
    quota = Quota("q", limit, MINUTE_US)
    bucket, ledger, now_us, extra, paid = Window(quota), Ledger(quota), START_US, 0, 0
    for kind, step_us, name, cost in case:
        now_us += step_us
        demand, owed = Demand(quota, "k", cost), bucket.debt if bucket.ends_us > now_us else 0
        call = ledger.unsettled(name, now_us) if kind != "take" else None
        if kind == "settle":
            settle([(bucket, demand)], now_us, name)
            if call is None:
                continue
            call.settled = True
            over = max(0, cost - call.units)
            call.units = min(call.units, cost)
            extra += over
            paid += owed + over - bucket.debt
            ledger.calls.append(Call(now_us, owed + over - bucket.debt, settled=True))
        else:
            taken = one(bucket, demand, now_us, name if kind == "reserve" else "")
            if taken.refused is None and call is None:
                paid += owed - bucket.debt
                ledger.calls.append(Call(now_us, cost, name if kind == "reserve" else ""))
                ledger.calls.append(Call(now_us, owed - bucket.debt, settled=True))
            elif taken.refused is not None:
                late = ledger.used(now_us - MINUTE_US - LATE_US)
                assert late + owed + cost > limit, "refused although there was room"
        assert ledger.used(now_us - MINUTE_US - 1) <= limit
        assert paid + bucket.debt <= extra


@given(steps(most=4), st.lists(st.sampled_from([None, 1, 3, 6, 20]), min_size=50, max_size=50))
@settings(max_examples=300)
def test_strict_stays_exact_when_the_limit_in_force_moves(case: list[Step], limits: list[int | None]) -> None:
    quota = Quota("q", 6, MINUTE_US)
    bucket, ledger, now_us = Window(quota), Ledger(quota), START_US
    for (_, step_us, _, cost), limit in zip(case, limits, strict=False):
        now_us += step_us
        demand = Demand(quota, "k", cost, limit)
        taken = one(bucket, demand, now_us)
        if taken.refused is None:
            ledger.calls.append(Call(now_us, cost))
            assert ledger.used(now_us - MINUTE_US - 1) <= demand.in_force
        else:
            assert ledger.used(now_us - MINUTE_US - LATE_US) + cost > demand.in_force
        assert taken.levels[0][1] == max(0, demand.in_force - bucket.total)


def window_of(quota: Quota, now_us: int) -> tuple[int, int]:
    """Return the calendar's window by the standard library's calendar."""
    if not quota.months:
        return 0, now_us // quota.window_us
    moment = datetime.fromtimestamp(now_us // SECOND_US, UTC)
    return 1, (moment.year * 12 + moment.month - 1) // quota.months


@given(steps(), st.integers(1, 12), st.sampled_from([(MINUTE_US, 0), (2_592_000 * SECOND_US, 1)]))
@settings(max_examples=200)
def test_calendar_never_more_than_the_limit_in_one_window(
    case: list[Step], limit: int, window: tuple[int, int]
) -> None:
    quota = Quota("q", limit, window[0], strategy=Strategy.CALENDAR, months=window[1])
    bucket, now_us, used = Window(quota), START_US, dict[tuple[int, int], int]()
    for _, step_us, _, cost in case:
        now_us += step_us * (window[0] // MINUTE_US)
        here = window_of(quota, now_us)
        taken = one(bucket, Demand(quota, "k", cost), now_us)
        assert (taken.refused is None) == (used.get(here, 0) + cost <= limit)
        if taken.refused is None:
            used[here] = used.get(here, 0) + cost
        if used.get(here):
            reset_us = now_us + taken.levels[0][2]
            assert window_of(quota, reset_us) > here == window_of(quota, reset_us - 1)


@given(st.integers(0, 253_402_300_799))
@settings(max_examples=300)
def test_months_are_the_calendars(now_s: int) -> None:
    moment = datetime.fromtimestamp(now_s, UTC)
    month = month_of(now_s * SECOND_US)
    assert month == moment.year * 12 + moment.month - 1
    first = datetime(moment.year, moment.month, 1, tzinfo=UTC)
    assert start_of_month_us(month) == int(first.timestamp()) * SECOND_US


@given(steps(), st.integers(1, 12), st.data())
@settings(max_examples=400)
def test_smooth_never_more_than_the_burst_and_the_rate_in_any_span(
    case: list[Step], limit: int, data: st.DataObject
) -> None:
    quota = Quota("q", limit, MINUTE_US, strategy=Strategy.SMOOTH, burst=data.draw(st.integers(1, limit)))
    bucket, now_us, ledger = Smooth(quota), START_US, Ledger(quota)
    calls = ledger.calls
    for kind, step_us, name, cost in case:
        now_us += step_us
        mine = ledger.unsettled(name, now_us) if kind != "take" else None
        if kind == "settle":
            used = min(cost, mine.units) if mine is not None else cost
            settle([(bucket, Demand(quota, "k", used))], now_us, name)
            if mine is not None:
                mine.units, mine.settled = used, True
        else:
            known = name if kind == "reserve" else ""
            if one(bucket, Demand(quota, "k", cost), now_us, known).refused is None and mine is None:
                calls.append(Call(now_us, cost, known))
        for first in calls:
            span = [call.units for call in calls if call.at_us >= first.at_us]
            rate = Fraction(limit, MINUTE_US) * (now_us - first.at_us + 1)
            assert quota.burst is not None
            assert sum(span) <= quota.burst + rate


def test_smooth_work_that_has_drained_is_not_given_back_twice() -> None:
    quota = Quota("q", 60, MINUTE_US, strategy=Strategy.SMOOTH, burst=10)  # a unit a second
    bucket, now_us = Smooth(quota), START_US
    assert one(bucket, Demand(quota, "k", 10), now_us, "a").refused is None
    now_us += 10 * SECOND_US  # all of it has drained
    assert one(bucket, Demand(quota, "k", 10), now_us, "b").refused is None
    settle([(bucket, Demand(quota, "k", 0))], now_us, "a")
    assert one(bucket, Demand(quota, "k", 1), now_us).refused is quota, "what b took is b's"
    settle([(bucket, Demand(quota, "k", 4))], now_us, "b")
    assert one(bucket, Demand(quota, "k", 6), now_us).refused is None


def test_smooth_what_was_used_beyond_the_reservation_is_worked_off_first() -> None:
    quota = Quota("q", 60, MINUTE_US, strategy=Strategy.SMOOTH, burst=10)
    bucket = Smooth(quota)
    assert one(bucket, Demand(quota, "k", 10), START_US, "a").refused is None
    settle([(bucket, Demand(quota, "k", 30))], START_US, "a")
    taken = one(bucket, Demand(quota, "k", 1), START_US)
    assert (taken.refused, taken.retry_after_us) == (quota, 21 * SECOND_US)
    assert taken.levels[0] == (quota, 0, 21 * SECOND_US)


def test_smooth_a_burst_comes_at_once_and_a_tenth_is_the_default() -> None:
    quota = Quota("q", 60, MINUTE_US, strategy=Strategy.SMOOTH)
    bucket = Smooth(quota)
    assert [one(bucket, Demand(quota, "k"), START_US).refused is None for _ in range(8)] == [True] * 6 + [False] * 2
    assert Quota("q", 5, MINUTE_US, strategy=Strategy.SMOOTH).most_at_once(5) == 1
    assert quota.most_at_once(30) == 3


@given(steps(also=("renew",)), st.integers(1, 4))
@settings(max_examples=300)
def test_leases_never_more_than_the_limit_at_once(case: list[Step], limit: int) -> None:
    quota = Quota("q", limit, MINUTE_US, unit="concurrent", strategy=Strategy.LEASES)
    bucket, now_us, ends = Leases(quota), START_US, dict[str, int]()
    demand = Demand(quota, "k")
    for kind, step_us, name, _ in case:
        now_us += step_us
        ends = {held: end_us for held, end_us in ends.items() if end_us > now_us}
        if kind == "settle":
            settle([(bucket, demand)], now_us, name)
            ends.pop(name, None)
        elif kind == "renew":
            renew([(bucket, demand)], now_us, name)
            if name in ends:
                ends[name] = now_us + MINUTE_US
        else:
            taken = one(bucket, demand, now_us, name)
            assert (taken.refused is None) == (name in ends or len(ends) < limit)
            if taken.refused is None:
                ends.setdefault(name, now_us + MINUTE_US)
            first_us = min(ends.values()) - now_us if ends else 0
            assert taken.levels == ((quota, limit - len(ends), first_us),)


def test_a_lease_needs_an_id() -> None:
    quota = Quota("q", 1, MINUTE_US, strategy=Strategy.LEASES)
    with pytest.raises(ValueError, match="needs an id"):
        one(Leases(quota), Demand(quota, "k"), START_US)


ALL = (
    Quota("strict", 8, MINUTE_US),
    Quota("calendar", 8, MINUTE_US, strategy=Strategy.CALENDAR),
    Quota("smooth", 16, MINUTE_US, strategy=Strategy.SMOOTH, burst=8),
    Quota("leases", 2, MINUTE_US, strategy=Strategy.LEASES),
)


@pytest.mark.parametrize("quota", ALL, ids=lambda quota: quota.name)
@given(steps(most=12), st.lists(st.sampled_from([None, None, 4, 16]), min_size=50, max_size=50))
@settings(max_examples=150)
def test_waits_are_true_to_the_microsecond_and_repeats_change_nothing(
    quota: Quota, case: list[Step], limits: list[int | None]
) -> None:
    bucket, now_us = new_bucket(quota), START_US
    for number, ((kind, step_us, name, cost), limit) in enumerate(zip(case, limits, strict=False)):
        now_us += step_us
        demand = Demand(quota, "k", cost, limit)
        if kind == "settle":
            settle([(bucket, demand)], now_us, name)
            before = state(bucket)
            settle([(bucket, demand)], now_us, name)
            assert state(bucket) == before, "a second settlement does nothing"
            settle([(bucket, demand)], now_us, "nobody's")
            assert state(bucket) == before, "of what is unknown neither"
            continue
        mine = name if kind == "reserve" or quota.strategy is Strategy.LEASES else ""
        taken = take([bucket], (demand,), now_us, mine)
        before = state(bucket)
        if taken.refused is None:
            if mine:
                assert take([bucket], (demand,), now_us, mine).refused is None
                assert state(bucket) == before, "taken twice, charged once"
            continue
        assert taken.retry_after_us > 0
        assert take([bucket], (demand,), now_us, mine) == taken
        assert state(bucket) == before, "a refusal costs nothing"
        assert taken.never == demand.never_fits
        if cost > quota.most_at_once(demand.in_force) and quota.strategy is not Strategy.LEASES:
            assert taken.retry_after_us == MINUTE_US
            continue
        there = now_us + taken.retry_after_us
        other = mine and f"{mine}-{number}"
        assert take([copy(bucket)], (demand,), there - 1, other).refused is quota
        assert take([copy(bucket)], (demand,), there, other).refused is None


@pytest.mark.parametrize("quota", ALL[:3], ids=lambda quota: quota.name)
@given(steps(most=4))
@settings(max_examples=100)
def test_more_comes_back_when_the_level_says(quota: Quota, case: list[Step]) -> None:
    bucket, now_us = new_bucket(quota), START_US
    for _, step_us, _, cost in case:
        now_us += step_us
        _, left, reset_us = take([bucket], (Demand(quota, "k", cost),), now_us).levels[0]
        if reset_us:
            look = Demand(quota, "k", 0)
            assert take([copy(bucket)], (look,), now_us + reset_us - 1).levels[0][1] == left
            assert take([copy(bucket)], (look,), now_us + reset_us).levels[0][1] > left
        else:
            assert left == quota.most_at_once(quota.limit)


@pytest.mark.parametrize("quota", ALL[:3], ids=lambda quota: quota.name)
@given(st.lists(st.tuples(st.integers(-2 * MINUTE_US, MINUTE_US), st.integers(1, 3)), max_size=40))
@settings(max_examples=150)
def test_a_clock_that_goes_back_stands_still(quota: Quota, case: list[tuple[int, int]]) -> None:
    there, straight, now_us, latest_us = new_bucket(quota), new_bucket(quota), START_US, 0
    for step_us, cost in case:
        now_us += step_us
        demand = Demand(quota, "k", cost)
        if take([copy(there)], (demand,), now_us).refused is None:
            take([there], (demand,), now_us)
            latest_us = max(now_us, latest_us)
            assert take([straight], (demand,), latest_us).refused is None, "never more than by the clock that went on"


def test_what_ceased_to_count_does_so_once_where_the_clock_goes_back() -> None:
    bucket, start = Window(ALL[0]), MINUTE_US * 28_333_333
    assert one(bucket, Demand(ALL[0], "k", 4), start).refused is None
    assert one(bucket, Demand(ALL[0], "k", 4), start + HOUR_US // 60 - 1).refused is None
    later = start + MINUTE_US + LATE_US
    assert one(bucket, Demand(ALL[0], "k", 5), later).refused is not None, "the first four no longer count"
    assert one(bucket, Demand(ALL[0], "k", 4), start).refused is None, "the clock went back: time stands still"
    assert one(bucket, Demand(ALL[0], "k", 5), later + MINUTE_US + LATE_US - 1).refused is not None


def test_a_reservation_that_nobody_settles_counts_until_its_window_has_passed_and_is_forgotten() -> None:
    quota = Quota("q", 10, MINUTE_US)
    bucket = Window(quota)
    start = MINUTE_US * 28_333_333
    assert one(bucket, Demand(quota, "k", 10), start, "killed").refused is None
    assert one(bucket, Demand(quota, "k", 1), start + MINUTE_US + LATE_US - 1).refused is quota
    assert one(bucket, Demand(quota, "k", 10), start + MINUTE_US + LATE_US).refused is None
    assert not bucket.unsettled
    settle([(bucket, Demand(quota, "k", 0))], start + MINUTE_US + LATE_US, "killed")
    assert bucket.total == 10, "a settlement that comes too late takes nothing from others"


def test_a_refund_goes_where_the_reservation_was_charged() -> None:
    quota = Quota("q", 10, 24 * SECOND_US)
    bucket, start = Window(quota), 24 * SECOND_US * 1000
    assert one(bucket, Demand(quota, "k", 6), start, "a").refused is None
    assert one(bucket, Demand(quota, "k", 4), start + 5 * SECOND_US, "b").refused is None
    settle([(bucket, Demand(quota, "k", 0))], start + 6 * SECOND_US, "a")
    taken = one(bucket, Demand(quota, "k", 0), start + 6 * SECOND_US)
    assert taken.levels == ((quota, 6, 24 * SECOND_US),), "the 4 of b are the oldest now"
    settle([(bucket, Demand(quota, "k", 1))], start + 7 * SECOND_US, "b")
    assert [list(entry) for entry in bucket.counts] == [[24_005, 1]]


def test_a_debt_is_paid_before_anything_new_is_admitted() -> None:
    quota = Quota("q", 10, MINUTE_US)
    bucket, start = Window(quota), MINUTE_US * 28_333_333
    window_us = MINUTE_US + LATE_US
    assert one(bucket, Demand(quota, "k", 6), start, "a").refused is None
    settle([(bucket, Demand(quota, "k", 15))], start, "a")
    assert (bucket.total, bucket.debt) == (10, 5)
    assert one(bucket, Demand(quota, "k", 1), start).retry_after_us == window_us
    assert one(bucket, Demand(quota, "k", 6), start + window_us - 1).refused is quota
    taken = one(bucket, Demand(quota, "k", 5), start + window_us)
    assert (taken.refused, bucket.total, bucket.debt) == (None, 10, 0)


def test_a_debt_of_many_windows_takes_so_many() -> None:
    quota = Quota("q", 10, MINUTE_US)
    bucket, start = Window(quota), MINUTE_US * 28_333_333
    window_us = MINUTE_US + LATE_US
    one(bucket, Demand(quota, "k", 10), start, "a")
    settle([(bucket, Demand(quota, "k", 45))], start, "a")
    wait_us = one(bucket, Demand(quota, "k", 1), start).retry_after_us
    assert wait_us == 5 * window_us, "35 owed: four windows more"
    assert one(bucket, Demand(quota, "k", 1), start + wait_us - 1).refused is quota
    assert one(bucket, Demand(quota, "k", 10), start + wait_us).refused is None


def test_a_debt_is_bounded() -> None:
    quota = Quota("q", 1, LONGEST_US)
    bucket = Window(quota)
    for name in ("a", "b"):
        one(bucket, Demand(quota, "k", 0), START_US, name)
        settle([(bucket, Demand(quota, "k", 10**30))], START_US, name)
    assert bucket.debt == MAX_UNITS
    assert bucket.ends_us <= START_US + 5 * LONGEST_US


@pytest.mark.parametrize("quota", ALL[:3], ids=lambda quota: quota.name)
def test_a_bucket_remembers_so_many_reservations_and_then_refuses(quota: Quota) -> None:
    bucket, free = new_bucket(quota), Demand(quota, "k", 0)
    for number in range(MAX_UNSETTLED):
        assert take([bucket], (free,), START_US, str(number)).refused is None
    taken = take([bucket], (free,), START_US, "one more")
    assert (taken.refused, taken.retry_after_us, taken.never) == (quota, BUSY_US, False)
    assert take([bucket], (free,), START_US, "0").refused is None, "what it remembers it knows"
    settle([(bucket, free)], START_US, "7")
    assert take([bucket], (free,), START_US, "one more").refused is None
    for step in range(1, 30):  # and as they pass, the others are forgotten
        take([bucket], (free,), START_US + step * LATE_US)
    assert take([bucket], (free,), START_US + 30 * LATE_US, "another").refused is None


def test_reservations_of_nothing_are_forgotten_with_their_window() -> None:
    bucket = Window(ALL[0])
    free = Demand(ALL[0], "k", 0)
    for step in range(26):
        one(bucket, free, START_US + step * LATE_US, str(step))
    one(bucket, free, START_US + 26 * LATE_US, "0")  # its first reservation no longer counts: this is another
    assert bucket.unsettled["0"][0] == bucket.sub


@pytest.mark.parametrize(
    ("quota", "cost", "limit", "never"),
    [
        (ALL[0], 9, None, True),
        (ALL[0], 8, None, False),
        (ALL[0], 8, 4, False),  # the limit in force may rise again
        (ALL[0], 9, 16, False),
        (ALL[0], 17, 16, True),
        (ALL[2], 9, None, True),
        (ALL[2], 8, 8, False),
        (ALL[3], 9, None, False),
    ],
)
def test_what_never_fits_is_said_so(quota: Quota, cost: int, limit: int | None, never: bool) -> None:
    demands = (Demand(ALL[1], "a", 1), Demand(quota, "b", cost, limit))
    buckets = [new_bucket(demand.quota) for demand in demands]
    take(buckets[:1], (Demand(ALL[1], "a", 8),), START_US)  # another quota has the longer wait
    taken = take(buckets, demands, START_US, "id")
    assert taken.refused is not None
    assert taken.never is never
    if never:
        assert taken.refused is quota


@pytest.mark.parametrize(("limit", "in_force"), [(None, 8), (3, 3), (0, 1), (-5, 1), (10**20, MAX_UNITS)])
def test_the_limit_in_force_is_never_nothing(limit: int | None, in_force: int) -> None:
    assert Demand(ALL[0], "k", 1, limit).in_force == in_force


@pytest.mark.parametrize(
    ("limit", "window_us", "burst", "months"),
    [
        (0, 1, None, 0),
        (1, 0, None, 0),
        (MAX_UNITS + 1, 1, None, 0),
        (1, LONGEST_US + 1, None, 0),
        (1, 1, 2, 0),
        (1, 1, 0, 0),
        (1, 1, None, -1),
    ],
)
def test_a_quota_beyond_the_bounds_cannot_be_built(limit: int, window_us: int, burst: int | None, months: int) -> None:
    with pytest.raises(ValueError, match="q: "):
        Quota("q", limit, window_us, burst=burst, months=months)


def test_where_nothing_waits_all_was_taken() -> None:
    demands, level = (Demand(ALL[0], "k"),), (ALL[0], 7, 1)
    assert answer(demands, (level,), [0]) == Taken((level,))


def test_what_is_no_lease_has_none_to_renew() -> None:
    bucket = Window(ALL[0])
    one(bucket, Demand(ALL[0], "k"), START_US, "a")
    before = state(bucket)
    renew([(bucket, Demand(ALL[0], "k"))], START_US + 1, "a")
    assert state(bucket) == before
