"""What an upstream is given: nobody over the limit, no slot lost, nobody starved, and a limit that finds the load."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.core.policy import Concurrency, Priority
from vallum.core.pressure import Place, Pressure, Ticket


def states(*tickets: Ticket) -> list[str]:
    return [ticket.place.value for ticket in tickets]


# --- properties -------------------------------------------------------------------------------------------------------

acts = st.lists(st.tuples(st.sampled_from(["arrive", "leave", "began"]), st.integers(0, 50)), max_size=150)


@given(acts, st.integers(1, 6), st.integers(0, 8), st.one_of(st.none(), st.floats(0.1, 2)))
@settings(max_examples=300)
def test_nobody_is_over_the_limit_and_no_place_is_lost(
    acts: list[tuple[str, int]], most: int, room: int, target_s: float | None
) -> None:
    pressure = Pressure(Concurrency(most, target_ttfb_s=target_s, room=room))
    tickets: list[Ticket] = []
    calls: list[Ticket] = []
    for now, (act, number) in enumerate(acts):
        if act == "arrive":
            ticket = pressure.arrive(float(now), Priority(number % 3))
            ticket.changed = lambda ticket=ticket: calls.append(ticket)
            tickets.append(ticket)
        elif tickets and act == "leave":
            pressure.leave(tickets[number % len(tickets)], float(now))
        elif tickets:
            pressure.began(tickets[number % len(tickets)], number / 10)
        inside = [ticket for ticket in tickets if ticket.place is Place.INSIDE]
        waiting = [ticket for ticket in tickets if ticket.place is Place.WAITING]
        assert pressure.inside == len(inside) <= most
        assert pressure.waiting == len(waiting) <= room
        assert 1.0 <= pressure.limit <= most
    assert len(calls) == len(set(map(id, calls))), "nobody is called twice"
    for _ in range(2):  # twice, as some are let in by the others' leaving
        for ticket in tickets:
            pressure.leave(ticket, 1000.0)
    assert (pressure.inside, pressure.waiting) == (0, 0)


# --- who waits, who goes ----------------------------------------------------------------------------------------------


def test_who_finds_no_room_waits_and_goes_in_by_turn() -> None:
    pressure = Pressure(Concurrency(1, room=2))
    tickets = [pressure.arrive(0.0, Priority.NORMAL) for _ in range(4)]
    assert states(*tickets) == ["inside", "waiting", "waiting", "shed"]
    pressure.leave(tickets[0], 1.0)
    assert states(*tickets) == ["gone", "inside", "waiting", "shed"]
    assert tickets[1].entered == 1.0


def test_who_gives_up_waiting_leaves_the_place_to_the_next() -> None:
    pressure = Pressure(Concurrency(1, room=1))
    first, second = pressure.arrive(0.0, Priority.LOW), pressure.arrive(0.0, Priority.LOW)
    pressure.leave(second, 0.5)
    third = pressure.arrive(0.5, Priority.LOW)
    assert states(first, second, third) == ["inside", "gone", "waiting"]


def test_a_full_room_is_left_by_the_newest_of_the_lowest_class() -> None:
    pressure = Pressure(Concurrency(1, room=4))
    pressure.arrive(0.0, Priority.NORMAL)
    low = [pressure.arrive(0.0, Priority.LOW) for _ in range(4)]
    high = pressure.arrive(0.0, Priority.HIGH)
    assert states(*low, high) == ["waiting", "waiting", "waiting", "shed", "waiting"]
    assert states(pressure.arrive(0.0, Priority.LOW)) == ["shed"]


def test_a_crowd_of_high_priority_leaves_every_class_its_places() -> None:
    pressure = Pressure(Concurrency(1, room=13))
    pressure.arrive(0.0, Priority.HIGH)
    low = [pressure.arrive(0.0, Priority.LOW) for _ in range(13)]
    high = [pressure.arrive(0.0, Priority.HIGH) for _ in range(30)]
    normal = pressure.arrive(0.0, Priority.NORMAL)
    assert states(*low).count("waiting") == 1
    assert states(*high).count("waiting") == 11
    assert states(normal) == ["waiting"]


def test_nobody_starves_behind_an_endless_crowd_of_high_priority() -> None:
    pressure = Pressure(Concurrency(1, room=26))
    inside = pressure.arrive(0.0, Priority.HIGH)
    low = pressure.arrive(0.0, Priority.LOW)
    lines = [pressure.arrive(0.0, Priority.HIGH) for _ in range(20)]
    turns = 0
    while low.place is Place.WAITING:
        pressure.leave(inside, float(turns))
        inside = next(t for t in [low, *lines] if t.place is Place.INSIDE)
        lines.append(pressure.arrive(float(turns), Priority.HIGH))
        turns += 1
    assert turns <= 13


def test_a_class_that_was_away_has_saved_up_no_turns() -> None:
    pressure = Pressure(Concurrency(1, room=100))
    inside = pressure.arrive(0.0, Priority.LOW)
    for _ in range(50):
        following = pressure.arrive(0.0, Priority.LOW)
        pressure.leave(inside, 0.0)
        inside = following
    line = [pressure.arrive(0.0, priority) for priority in [Priority.LOW, Priority.HIGH] * 10]
    served = []
    for _ in range(10):
        pressure.leave(inside, 0.0)
        inside = next(ticket for ticket in line if ticket.place is Place.INSIDE)
        served.append(inside.priority)
    assert served.count(Priority.HIGH) >= 8


def test_a_room_without_places_sheds_at_once() -> None:
    pressure = Pressure(Concurrency(1, room=0))
    assert states(*(pressure.arrive(0.0, Priority.HIGH) for _ in range(2))) == ["inside", "shed"]


# --- the limit --------------------------------------------------------------------------------------------------------


def test_a_limit_without_a_target_stays() -> None:
    pressure = Pressure(Concurrency(8))
    pressure.began(pressure.arrive(0.0, Priority.NORMAL), 1000.0)
    assert pressure.limit == 8


def test_a_late_first_byte_cuts_once_a_round_and_never_below_the_least() -> None:
    pressure = Pressure(Concurrency(100, 4, 0.5))
    assert pressure.limit == 10
    early = [pressure.arrive(0.0, Priority.NORMAL) for _ in range(10)]
    for ticket in early:
        pressure.began(ticket, 2.0)
    assert pressure.limit == 9.0
    for ticket in early:
        pressure.leave(ticket, 2.0)
    for now in range(3, 100):
        ticket = pressure.arrive(float(now), Priority.NORMAL)
        pressure.began(ticket, 0.9)
        pressure.leave(ticket, now + 0.9)
    assert pressure.limit == 4


def test_a_limit_grows_fast_at_first_then_by_one_a_round_and_only_while_it_is_needed() -> None:
    pressure = Pressure(Concurrency(40, 1, 0.5))
    alone = pressure.arrive(0.0, Priority.NORMAL)
    pressure.began(alone, 0.1)
    assert pressure.limit == 4, "who is alone proves nothing"
    crowd = [pressure.arrive(0.0, Priority.NORMAL) for _ in range(3)]
    pressure.began(crowd[0], 0.1)
    assert pressure.limit == 5
    pressure.began(crowd[1], 0.6)
    pressure.began(crowd[2], 0.1)
    assert pressure.limit == pytest.approx(4.5 + 1 / 4.5)
    for _ in range(1000):
        pressure.inside = 40
        pressure.began(alone, 0.1)
    assert pressure.limit == 40


# --- the simulation ---------------------------------------------------------------------------------------------------


@cache
def bench() -> Any:
    return import_module("bench.pressure")


@cache
def ran(rule: str, **more: Any) -> Any:
    return bench().Simulation(bench().RULES[rule], **more).run()


def test_under_twice_the_load_the_adaptive_limit_keeps_the_server_busy_and_waits_short() -> None:
    adaptive, wide = ran("adaptive, up to 200"), ran("fixed at 200")
    assert adaptive.goodput(30, 300) >= 0.9 * 16
    assert adaptive.wait_s(30, 300) < 2.0
    assert wide.wait_s(30, 300) > 5 * adaptive.wait_s(30, 300)


def test_when_work_gets_three_times_as_long_the_adaptive_limit_follows() -> None:
    adaptive, fixed = ran("adaptive, up to 200"), ran("fixed at 20")
    assert adaptive.goodput(300, 600) >= 0.9 * 16 / 3
    assert adaptive.wait_s(330, 600) < 2.5
    assert adaptive.wait_s(330, 600) < fixed.wait_s(330, 600)


def test_with_room_for_all_nobody_waits_or_is_shed() -> None:
    calm = ran("adaptive, up to 200", load=0.5, longer_at_s=None, span_s=200.0)
    assert calm.wait_s(50, 200) < 0.5
    assert len([at for at, _ in calm.shed if at > 50]) == 0


def test_the_lowest_class_is_shed_first_and_none_starves() -> None:
    mixed = ran("adaptive, up to 200", longer_at_s=None, mix=(1, 2, 2), span_s=300.0)
    high, normal, low = (mixed.served(priority) for priority in Priority)
    assert high > 0.97
    assert high > normal > low > 0.1
