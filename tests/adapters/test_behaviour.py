"""The replay of bench/behaviour.py: a heavy user keeps the plan, an attacker beside it does not, and both recover."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

MINUTE_S, HOUR_S = 60.0, 3600.0
SERVED = 0.96 * 60  # a strict quota gives at least 24/25 of the plan


@pytest.fixture(scope="module")
def bench() -> Any:
    return import_module("bench.behaviour")


async def test_the_heavy_user_keeps_the_plan_the_attacker_falls_and_both_recover(bench: Any) -> None:
    traces = await bench.replay()
    studio, attacker = traces["studio"], traces["attacker"]

    # Over the plan all day, with an unlucky text in 200: not one request less than the plan gives.
    assert studio.lowest(0, HOUR_S) == 1.0
    assert studio.rate(0, HOUR_S) >= SERVED - 0.6
    # Its own bug costs it half, and is forgotten within a quarter of an hour.
    assert 0.5 <= studio.lowest(HOUR_S, 1.25 * HOUR_S) < 1.0
    assert studio.lowest(1.25 * HOUR_S) == 1.0
    assert studio.rate(1.25 * HOUR_S, 6 * HOUR_S) >= SERVED - 0.6

    assert attacker.lowest(0, 0.5 * HOUR_S) == 1.0
    assert attacker.lowest(0, 0.6 * HOUR_S) < 0.3, "falls within minutes"
    assert attacker.rate(0.6 * HOUR_S, 1.75 * HOUR_S) < 10
    assert max(attacker.factors[minute] for minute in range(46, 105)) < 0.25, "hiding does not help"
    assert attacker.lowest(5 * HOUR_S) == 1.0, "recovers by itself"
    assert attacker.rate(5 * HOUR_S, 6 * HOUR_S) >= SERVED - 0.6

    told = next(entry for entry in attacker.records if entry.get("factor"))
    assert set(told) >= {"throttle", "factor", "in_force"}
    assert told["throttle"]["cause"] == "request_rejected"
    assert not any("factor" in entry for entry in studio.records[:60])
