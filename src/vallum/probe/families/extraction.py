"""Extraction: how long one caller needs to copy the model, at what answers disclose and limits let through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vallum.probe.catalogue import read_corpus
from vallum.probe.finding import Outcome, UntestableError, held, weak
from vallum.probe.promises import Limit
from vallum.probe.session import Session

SOON_S = 3600.0  # a copy that one caller can have within this is as good as given away
SPANS = ((86_400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


async def pace(session: Session) -> Outcome:
    """Work out how long one caller needs for as many answers as a copy takes."""
    document = session.honest.json()
    if document is None:
        raise UntestableError("the answer is no JSON")
    level, queries = _level(session, document)
    limits = session.promises.limits
    if not limits and session.over is not None:
        raise UntestableError("there is a limit, but nobody said how high it is; name the policy with --policy")
    needs_s = _time_s(queries, limits) if limits else queries / session.budget.per_second
    told = f"answers disclose {level}: about {queries:,} of them make a copy; one caller needs {_span(needs_s)}"
    rule = " and ".join(f"{limit.count} in {limit.window_s:g} s" for limit in limits) or "no limit is known"
    if needs_s < SOON_S:
        return weak(f"one caller can copy the model in {_span(needs_s)}", told, f"limits: {rule}")
    return held(f"one caller needs {_span(needs_s)} to copy a model", told, f"limits: {rule}")


def _level(session: Session, document: Any) -> tuple[str, int]:
    """Return what the answer discloses, and how many answers a copy took where that was measured."""
    queries = read_corpus("extraction")["queries"]
    if isinstance(session.target.document, dict) and {"messages", "prompt"} & set(session.target.document):
        return "texts", queries["texts"]
    numbers = list(_floats(document))
    shares = [value for value in numbers if 0 <= value <= 1]
    if not numbers:
        level = "labels or bands"
    elif len(shares) > 1:
        level = "all scores" if max(map(_decimals, shares)) > 2 else "all scores, rounded"
    else:
        level = "a label and its score" if max(map(_decimals, numbers)) > 2 else "a label and its score, rounded"
    return level, queries[level]


def _floats(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _floats(item)
    elif isinstance(value, list):
        for item in value:
            yield from _floats(item)
    elif isinstance(value, float):
        yield value


def _decimals(value: float) -> int:
    return len(repr(value).partition("e")[0].partition(".")[2].rstrip("0"))


def _time_s(queries: int, limits: tuple[Limit, ...]) -> float:
    """Return how long so many requests take under all limits: each full window must pass."""
    return max((queries - 1) // limit.count * limit.window_s for limit in limits)


def _span(seconds: float) -> str:
    for span_s, name in SPANS:
        if seconds >= 2 * span_s:
            return f"{seconds / span_s:.0f} {name}"
    return "a second or two"


EXTRACTION = {"pace": pace}
