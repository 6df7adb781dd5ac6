"""The width of a last layer: computed from the bare answers, and not from what the gateway lets through.

A small one of bench/hidden_size.py.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

hidden_size = import_module("bench.hidden_size")

SMALL = {"width": 48, "tokens": 400}


@pytest.fixture(autouse=True)
def _a_small_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden_size, "PROMPTS", 60)
    monkeypatch.setattr(hidden_size, "WANTED", 60)


@pytest.mark.parametrize(("name", "queries"), [("logprobs + bias", 1_500), ("argmax + bias", 15_000)])
def test_the_bare_answers_tell_the_width(name: str, queries: int) -> None:
    found: Any = hidden_size.assail(name, guarded=False, queries=queries, accounts=1, **SMALL)
    assert found.width == SMALL["width"]


@pytest.mark.parametrize("name", list(hidden_size.ATTACKS))
def test_the_gateway_does_not(name: str) -> None:
    found: Any = hidden_size.assail(name, guarded=True, queries=3_000, accounts=10, **SMALL)
    assert found.width is None
    assert found.queries == 3_000, "the attack went on to the next best thing"


def test_honest_requests_with_the_same_parameters_are_served() -> None:
    kinds: Any = hidden_size.honest(600)
    assert {kind for kind, (asked, served) in kinds.items() if served < asked} <= {"refused by design"}
    assert kinds["bans"][1] > 300
    assert kinds["nudges"][1] > 80
    assert kinds["logprobs"][1] > 80
