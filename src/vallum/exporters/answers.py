"""Answers of an exporter, written in groups: whatever is named in none of them fails when the module is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.exporters.export import Answer, Kind
from vallum.exporters.features import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping


def group(answer: Answer, *features: Feature) -> dict[Feature, Answer]:
    """Give all of `features` one answer."""
    return dict.fromkeys(features, answer)


def complete(*groups: Mapping[Feature, Answer], rest: Answer | None = None) -> dict[Feature, Answer]:
    """Put groups together, in the order of the features; `rest` is the answer for all that none of them names.

    Raises ValueError where two groups name one feature, or none does and there is no `rest`.
    """
    found: dict[Feature, Answer] = {}
    for one in groups:
        twice = found.keys() & one.keys()
        if twice:
            raise ValueError(f"two answers for {sorted(twice)}")
        found |= one
    missing = _missing(found)
    if missing and rest is None:
        raise ValueError(f"no answer for {missing}")
    return {feature: found[feature] if rest is None else found.get(feature, rest) for feature in Feature}


def _missing(found: Mapping[Feature, Answer]) -> list[str]:
    return [feature.value for feature in Feature if feature not in found]


def approximate(detail: str, remedy: str, *features: Feature) -> dict[Feature, Answer]:
    """Say of `features` what is different, and what helps."""
    return group(Answer(Kind.APPROXIMATE, detail, remedy), *features)


def lost(detail: str, remedy: str, *features: Feature) -> dict[Feature, Answer]:
    """Say of `features` that they are not there, and what helps."""
    return group(Answer(Kind.LOST, detail, remedy), *features)


def asked(detail: str, remedy: str, *features: Feature) -> dict[Feature, Answer]:
    """Say of `features` that they hold where Vallum is asked."""
    return group(Answer(Kind.VALLUM, detail, remedy), *features)


def kept(*features: Feature) -> dict[Feature, Answer]:
    """Say of `features` that they are kept exactly."""
    return group(Answer(None), *features)
