"""Extraction: how long one caller needs to copy the model, at what answers disclose and limits let through."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from vallum.probe.catalogue import read_corpus
from vallum.probe.finding import Outcome, UntestableError, held, weak
from vallum.probe.promises import Limit
from vallum.probe.session import Session
from vallum.probe.surrogate import make_copy
from vallum.probe.target import Spot, at, numbers, replaced

SOON_S = 3600.0  # a copy that one caller can have within this is as good as given away
COPIED = 0.95  # of answers on which a copy agrees that is as good as the model
LEAST = 16  # answers from which a copy can be measured
SEED, SPREAD_LEAST = 7, 0.02
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


async def surrogate(session: Session) -> Outcome:
    """Ask at random around the honest request, learn from the answers, and see how well the copy agrees.

    It looks at one small student and as many queries as were allowed; no control of a gateway stops it by itself within
    so few, but quotas do.
    """
    document = session.target.document
    spots = list(numbers(document))
    if not spots:
        raise UntestableError("the honest request has no numbers to vary")
    inputs, answers, why = await _collect(session, spots)
    if len(answers) < LEAST:
        raise UntestableError(why or f"only {len(answers)} of {session.surrogate} queries were answered")
    copied = make_copy(inputs, answers)
    if copied is None:
        raise UntestableError("the answers have no label, or only one, so there is nothing to copy")
    told = f"{copied.answers} answers; the commonest answer alone agrees on {copied.commonest:.0%}"
    sentence = f"a copy made with {copied.answers} queries agrees on {copied.agreement:.0%} of those held back"
    good = copied.agreement >= COPIED and copied.agreement > copied.commonest
    return weak(sentence, told) if good else held(sentence, told, *([why] if why else []))


async def _collect(session: Session, spots: list[Spot]) -> tuple[list[list[float]], list[Any], str]:
    """Return inputs, what was answered to them, and why there are no more."""
    chance = random.Random(SEED)  # noqa: S311  inputs that anybody may know
    honest = [at(session.target.document, spot) for spot in spots]
    inputs: list[list[float]] = []
    answers: list[Any] = []
    spread = 1.0
    for _ in range(session.surrogate):
        values = [_vary(value, spread, chance) for value in honest]
        document = session.target.document
        for spot, value in zip(spots, values, strict=True):
            document = replaced(document, spot, value)
        try:
            answer = await session.ask(document)
        except UntestableError as error:
            return inputs, answers, str(error)
        if answer.ok and answer.json() is not None:
            inputs.append([float(value) for value in values])
            answers.append(answer.json())
        else:
            spread = max(spread * 0.9, SPREAD_LEAST)  # it was outside of what is taken
    return inputs, answers, ""


def _vary(value: float, spread: float, chance: random.Random) -> float:
    varied = value + chance.uniform(-1.0, 1.0) * spread * max(abs(value), 1.0)
    return round(varied) if isinstance(value, int) else varied


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


EXTRACTION = {"pace": pace, "surrogate": surrogate}
