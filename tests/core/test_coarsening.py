"""Answers coarsened for one caller: by level, the same each time, and down to the best class alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.core.coarsening import LEVELS, Coarsening
from vallum.core.exchange import Headers, ResponseHead
from vallum.core.record import Timing, compose
from vallum.core.relay import Through, Whole

if TYPE_CHECKING:
    from tests.conftest import Kit

GONE = "removed"


def coarsen(value: Any, level: int) -> Any:
    return Coarsening(["s"], level).apply({"s": value}, set()).get("s", GONE)


@pytest.mark.parametrize(
    ("value", "levels"),
    [
        (0.9312, (0.9, 0.9, GONE)),
        (0.66, (0.7, 0.5, GONE)),
        (0.2, (0.2, 0.0, GONE)),
        (1, (1.0, 0.9, GONE)),
        (-3.27, (-3.3, -3.0, GONE)),
        (1.2, (1.2, 0.9, GONE)),
        (-0.3, (-0.3, 0.0, GONE)),
        ({"a": 0.66, "b": 0.34}, ({"a": 0.7, "b": 0.3}, {"a": 0.5, "b": 0.0}, {"a": None})),
        ({"a": "x"}, ({"a": None}, {"a": None}, {})),
        ([0.1, 0.66, 0.24], ([0.1, 0.7, 0.2], [0.0, 0.5, 0.0], [0.0, 1.0, 0.0])),
        ([[0.1, 0.9], [0.8, 0.2]], ([[0.1, 0.9], [0.8, 0.2]], [[0.0, 0.9], [0.7, 0.0]], [[0.0, 1.0], [1.0, 0.0]])),
        ([], ([], [], [])),
        ("0.93", (GONE, GONE, GONE)),
        (True, (GONE, GONE, GONE)),
        (None, (GONE, GONE, GONE)),
        (math.nan, (GONE, GONE, GONE)),
        (1e300, (GONE, GONE, GONE)),
        ([0.1, "0.9"], ([0.1, None], [0.0, None], [None, None])),
    ],
)
def test_levels(value: Any, levels: tuple[Any, ...]) -> None:
    assert tuple(coarsen(value, level) for level in LEVELS) == levels


def test_a_score_in_a_list_stays_in_its_place() -> None:
    removed: set[str] = set()
    assert Coarsening(["*"], 3).apply([0.9, 0.1], removed) == [None, None]
    assert removed == {"scores (coarsened to level 3)"}


@given(st.floats(allow_nan=False), st.sampled_from(LEVELS))
def test_asking_again_gains_nothing(value: float, level: int) -> None:
    once = coarsen(value, level)
    assert once == coarsen(value, level)
    assert once == GONE or coarsen(once, level) == once


@pytest.mark.parametrize(
    ("level", "out"),
    [(0, b'{"s":0.9312}'), (1, b'{"s":0.9}'), (2, b'{"s":0.9}'), (3, b"{}"), (9, b"{}")],
)
def test_a_control_sets_the_level_of_one_exchange(kit: Kit, level: int, out: bytes) -> None:
    coarser = tuple(Coarsening(["s"], number) for number in LEVELS)
    engine = kit.engine(kit.route(outlet=kit.outlet(kit.Dropping(), coarser=coarser)))
    x = kit.judge(engine, kit.request())
    x.coarsen = level
    engine.response_head(x, ResponseHead(200, Headers([("content-type", "application/json")])))
    engine.response_chunk(x, b'{"s": 0.9312, "secret": 1}')
    assert engine.response_end(x) == out
    assert compose(x, 200, Timing(0.1, 0.1), 1).get("coarsened", 0) == level


def test_a_route_that_passes_answers_unread_reads_those_that_must_be_coarser(kit: Kit) -> None:
    coarser = tuple(Coarsening(["s"], number) for number in LEVELS)
    engine = kit.engine(kit.route(outlet=kit.outlet(coarser=coarser)))
    for level, kind in ((0, Through), (1, Whole)):
        x = kit.judge(engine, kit.request())
        x.coarsen = level
        engine.response_head(x, ResponseHead(200, Headers([("content-type", "application/json")])))
        assert isinstance(x.relay, kind)


def test_where_nobody_knows_the_scores_nothing_changes(kit: Kit) -> None:
    outlet = kit.outlet(kit.Dropping())
    assert outlet.at(3) is outlet
