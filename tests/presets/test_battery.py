"""Every preset against its battery: valid requests pass, near-misses are refused with the right code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.presets.batteries import BATTERIES, near_misses_of, verdict_of, written

from vallum.presets import PRESETS

if TYPE_CHECKING:
    from tests.conftest import Kit

LEAST = 10  # valid requests of a preset that takes bodies
BODILESS = ("openai.models", "ollama.tags")


def judge(_: Kit, preset: str, item: dict[str, Any], body: bytes, fields: Any) -> str:
    """Return `allow` or the code, and where, of the refusal."""
    return verdict_of(preset, item, body, fields)


@pytest.mark.parametrize("preset", BATTERIES)
def test_what_the_reference_shows_is_taken(preset: str) -> None:
    for item in BATTERIES[preset]:
        verdict = verdict_of(preset, item, *written(item))
        wanted = item.get("refused", "allow")
        assert verdict.partition(":")[0] == wanted, (item["name"], verdict)


@pytest.mark.parametrize("preset", BATTERIES)
def test_what_is_nearly_right_is_refused(preset: str) -> None:
    missed: list[Any] = []
    count = 0
    for item, miss in near_misses_of(preset):
        verdict = verdict_of(preset, item, miss.body, miss.fields)
        count += 1
        if verdict.partition(":")[0] != miss.code:
            missed.append((item["name"], miss.name, miss.code, verdict))
    assert not missed, missed[:20]
    mutated = sum(
        bool({"body", "form"} & item.keys()) and not {"refused", "request"} & item.keys() for item in BATTERIES[preset]
    )
    assert count >= 50 * mutated


@pytest.mark.parametrize("preset", BATTERIES)
def test_every_battery_is_of_some_size_and_says_whence_it_comes(preset: str) -> None:
    valid = [item for item in BATTERIES[preset] if "refused" not in item]
    assert len(valid) >= (1 if preset in BODILESS else LEAST)
    assert all(item["name"] and item["source"] for item in BATTERIES[preset])


def test_every_preset_that_reads_bodies_has_a_battery() -> None:
    assert {name for name, preset in PRESETS.items() if preset.request.media_types} == BATTERIES.keys()
