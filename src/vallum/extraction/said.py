"""What an answer says of each input: a label, how sure, and how likely the others; what a student can learn from.

A label is looked for where APIs put it (`LABELS`), or is the likeliest of a list or an object of probabilities.  An
answer to a batch is taken apart by those of its members that have as many items as the batch.

Misses: numbers (a regression's answer) and texts (a chat's) are no labels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from vallum.extraction.features.answer import LABELS, SURE

LABEL_MAX_CHARS = 64
CLASSES_MAX = 64  # of one answer's probabilities that are learnt from
BANDS = {"high": 0.97, "medium": 0.8, "low": 0.5}  # what a reader takes a band's usual names for
FLOORS = {0.9: 0.97, 0.7: 0.8, 0.5: 0.6, 0.0: 0.4}  # and a band's lower bound
UNSAID = 0.9  # how sure a model is taken to be that does not say
SURE_MIN, SURE_MAX = 0.02, 0.999


class Said(NamedTuple):
    """What is said of one input."""

    label: str
    sure: float = UNSAID
    chances: tuple[tuple[str, float], ...] = ()  # of each class; empty: not said


def read_said(answer: Any, count: int) -> list[Said | None]:
    """Return what `answer` says of each of `count` inputs; None of one of which it says no label.  Never raises."""
    if isinstance(answer, list) and len(answer) == count:
        return [_read(item if isinstance(item, dict) else {"prediction": item}) for item in answer]
    if not isinstance(answer, dict):
        return [None] * count
    columns = {key: value for key, value in answer.items() if isinstance(value, list) and len(value) == count}
    if count == 1:
        said = _read(answer)
        return [said] if said is not None or not columns else [_read_item(answer, columns, 0)]
    return [_read_item({}, columns, index) for index in range(count)]


def _read_item(answer: dict[str, Any], columns: dict[str, list[Any]], index: int) -> Said | None:
    """Read one item of a batch: all that stands in its place, side by side."""
    apart: dict[str, Any] = dict(answer)
    for key, value in columns.items():
        if isinstance(value[index], dict):
            apart.update(value[index])
        else:
            apart[key] = value[index]
    return _read(apart)


def _read(answer: dict[str, Any]) -> Said | None:
    named = {key.lower(): value for key, value in answer.items() if isinstance(key, str)}
    label = next((found for name in LABELS if (found := _label(named.get(name))) is not None), None)
    sure = UNSAID
    for name in SURE.intersection(named):
        chances = _chances(named[name])
        if chances:
            best = max(chances, key=lambda pair: pair[1])
            return Said(label if label is not None else best[0], best[1], chances)
        sure = _sure(named[name], sure)
    return None if label is None else Said(label, sure)


def _label(value: Any) -> str | None:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        return value if len(value) <= LABEL_MAX_CHARS else None
    return str(value) if isinstance(value, int) and abs(value) < 10**6 else None


def _sure(value: Any, otherwise: float) -> float:
    if isinstance(value, str):
        return BANDS.get(value.lower(), otherwise)
    if isinstance(value, int | float) and 0 <= value <= 1:
        return min(max(FLOORS.get(value, value), SURE_MIN), SURE_MAX)
    return otherwise


def _chances(value: Any) -> tuple[tuple[str, float], ...]:
    """Return the probabilities of classes, which add up to one or nearly; else nothing."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    pairs = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    if not 1 < len(pairs) <= CLASSES_MAX:
        return ()
    numbers = [number for _, number in pairs if isinstance(number, int | float) and 0 <= number <= 1]
    if len(numbers) < len(pairs) or not 0.5 < sum(numbers) < 1.5:
        return ()
    return tuple([(str(name)[:LABEL_MAX_CHARS], number / sum(numbers)) for name, number in pairs])
