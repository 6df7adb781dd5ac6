"""Where one account stands on the ladder, and how that is written down for a restart and for other replicas."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from math import isfinite
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from vallum.core.extraction import Grade
from vallum.extraction.alarms import Sounded

if TYPE_CHECKING:
    from collections.abc import Mapping

    Cohorts = dict[str, Sounded]
    # Now, rungs, cohorts' alarms, leaks, and by which names the clusters that sweeps report go.
    State = tuple[float, dict[str, "Rung"], Cohorts, dict[str, float], dict[str, str]]

FORMAT = 2


@dataclass(slots=True)
class Rung:
    """Where one account stands."""

    cluster: str
    first: float  # named, in this spell
    named: float  # last
    held: float  # last time that enough sweeps in a row had named it
    acted: float  # since when enough sweeps have named it; 0: they have not
    row: int  # sweeps in a row that named it
    grade: Grade
    told: Grade  # the last that operators were told of
    score: float
    others: int  # named with it
    established: bool


_FIELDS = attrgetter(*Rung.__slots__)


def rename(rungs: Mapping[str, Rung], old: str, new: str) -> None:
    """Let a cluster go by another name."""
    for rung in rungs.values():
        if rung.cluster == old:
            rung.cluster = new


def join(mine: Rung, other: Rung) -> Rung:
    """Return what two replicas know of one account: the graver of both."""
    graver = max(mine, other, key=lambda rung: (rung.grade, rung.held))
    return replace(
        graver,
        told=mine.told,
        first=min(mine.first, other.first),
        named=max(mine.named, other.named),
        row=max(mine.row, other.row),
        established=mine.established and other.established,
    )


def write(
    now: float, rungs: Mapping[str, Rung], cohorts: Cohorts, leaks: Mapping[str, float], reported: Mapping[str, str]
) -> bytes:
    """Write a ladder's state down."""
    rows = {name: _FIELDS(rung) for name, rung in rungs.items()}
    state = [FORMAT, now, rows, cohorts, leaks, reported]
    try:
        return msgspec.json.encode(state)
    except UnicodeEncodeError:  # half a pair in a name: only the slower one writes it
        return json.dumps(state).encode()


def read(packed: bytes) -> State:
    """Read what was written; raise ValueError for what was not."""
    try:
        form, now, rungs, cohorts, leaks, reported = json.loads(packed)
        if form != FORMAT:
            raise ValueError(f"format {form!r}")
        read = {str(name): _read_rung(row) for name, row in rungs.items()}
        alarms = {
            str(name): Sounded(int(row), _number(last), _number(over)) for name, (row, last, over) in cohorts.items()
        }
        return (
            _number(now),
            read,
            alarms,
            {str(name): min(1.0, max(0.0, _number(leak))) for name, leak in leaks.items()},
            {str(cluster): str(name) for cluster, name in reported.items()},
        )
    except (TypeError, AttributeError, KeyError, RecursionError, OverflowError, ValueError) as error:
        raise ValueError(f"this is no state of a ladder: {error}") from error


def _read_rung(row: list[Any]) -> Rung:
    cluster, first, named, held, acted, in_a_row, grade, told, score, others, established = row
    times = (_number(first), _number(named), _number(held), _number(acted))
    grades = (Grade(grade), Grade(told))
    return Rung(str(cluster), *times, int(in_a_row), *grades, _number(score), int(others), established is True)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isfinite(value):
        raise ValueError("a number that is none")
    return float(value)
