"""Leakage: what answers and refusals tell of the model, the server and the keys."""

from __future__ import annotations

import json
import re
from statistics import median
from typing import Any

from vallum.probe.catalogue import read_corpus
from vallum.probe.finding import Outcome, UntestableError, held, weak
from vallum.probe.session import Session
from vallum.probe.target import at, numbers, replaced, walk
from vallum.probe.wire import Answer

MARKER = "zqxj-vallum-probe-7f3a"
BEFORE_CHARS = 100  # of a refusal that are shown before what it repeats
PRECISE_DIGITS = 5  # significant digits from which a score is worth more to a thief than to a caller
NAMELESS = frozenset("date connection content-length x-request-id request-id x-correlation-id cf-ray".split())
ID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}|\d{9,}")
PASSING = re.compile(r"\b(id|created|timestamp|request_id|created_at)\b")
PAIRS = 20  # samples a side, of which the ranks are compared
RANKS_Z = 4.0  # standard deviations from which a difference is no chance
TIME_LEAST_S = 0.003


async def error_shape(session: Session) -> Outcome:
    """Ask wrongly in several ways: every refusal must be data, and none a page."""
    refusals = await _provoke(session)
    pages = [line for line in map(_line, refusals) if "text/html" in line]
    if pages:
        return weak(f"{len(pages)} of {len(refusals)} refusals are HTML pages of the framework", *pages[:3])
    return held(f"{len(refusals)} refusals, none of them a page", _line(refusals[0]))


async def internals(session: Session) -> Outcome:
    """Look for traces, paths, hosts and secrets in every refusal."""
    refusals = await _provoke(session)
    patterns = {name: re.compile(text) for name, text in read_corpus("leakage")["internals"].items()}
    shown = []
    for label, answer in refusals:
        for name, pattern in patterns.items():
            match = pattern.search(answer.text)
            if match:
                shown.append(f"{label}: {name}: {answer.text[max(0, match.start() - 60) : match.end() + 100]}")
                break
    if shown:
        return weak(f"{len(shown)} of {len(refusals)} refusals show what is inside", *shown[:3])
    return held(f"{len(refusals)} refusals say nothing of what is inside")


async def echo(session: Session) -> Outcome:
    """Put a marker where it is wrong: the refusal must not repeat it."""
    document = {MARKER: MARKER} if isinstance(session.target.document, dict) else [MARKER]
    answers = [
        ("a wrong member", await session.ask(document)),
        ("a text that is not JSON", await session.ask(raw=f'{{"{MARKER}'.encode())),
        ("a path", await session.ask(target=f"{session.target.path}/{MARKER}")),
    ]
    told = [
        f"{label}: {answer} ...{answer.text[max(0, answer.text.index(MARKER) - BEFORE_CHARS) :]}"
        for label, answer in answers
        if not answer.ok and MARKER in answer.text
    ]
    if all(answer.ok for _, answer in answers):
        raise UntestableError("nothing was refused, so no refusal could repeat anything")
    return weak("refusals repeat what was sent", *told) if told else held("refusals repeat nothing of what was sent")


async def headers(session: Session) -> Outcome:
    """Look for header fields that name software, versions, models, times or loads."""
    corpus = read_corpus("leakage")["headers"]
    names, products = re.compile(corpus["names"]), re.compile(corpus["products"], re.IGNORECASE)
    answers = [("an honest request", session.honest), *(await _provoke(session))[:3]]
    told = {
        f"{name}: {value}"
        for _, answer in answers
        for name, value in answer.fields
        if names.search(name) or (name in ("server", "via") and products.search(value))
    }
    if told:
        return weak(f"header fields tell of the server or the model: {len(told)} of them", *sorted(told)[:6])
    return held(f"{len(answers)} answers, and no header field tells anything")


async def versions(session: Session) -> Outcome:
    """Look for members of the answer that name versions, hosts, devices and times."""
    pattern = re.compile(read_corpus("leakage")["members"]["versions"], re.IGNORECASE)
    return _members(session, pattern, "tell of the model's build or the machine")


async def scores(session: Session) -> Outcome:
    """Look for logits and log-probabilities, also where they are asked for."""
    corpus = read_corpus("leakage")["members"]
    pattern = re.compile(corpus["scores"], re.IGNORECASE)
    found = _members(session, pattern, "give away the model's raw scores")
    document = session.target.document
    if found.verdict == "held" and isinstance(document, dict) and ("messages" in document or "prompt" in document):
        for ask in corpus["asks"]:
            answer = await session.ask(document | ask)
            if answer.ok and any(pattern.search(name) and value for name, value in walk(answer.json())):
                return weak(f"raw scores are given to who asks with {json.dumps(ask)}", answer.text)
    return found


async def precision(session: Session) -> Outcome:
    """Count the digits of confidences."""
    numbers = [
        (name, value)
        for name, value in walk(session.honest.json())
        if isinstance(value, float) and abs(value) < 1_000_000 and _digits(value) >= PRECISE_DIGITS
    ]
    if numbers:
        shown = [f"{name}: {value!r}" for name, value in numbers[:4]]
        most = max(_digits(value) for _, value in numbers)
        return weak(f"{len(numbers)} numbers of an answer have up to {most} significant digits", *shown)
    return held(f"no number of an answer has {PRECISE_DIGITS} significant digits or more")


async def documents(session: Session) -> Outcome:
    """Ask without a key for pages that tell how the service is built."""
    paths = session.some(read_corpus("leakage")["documents"]["paths"], 8)
    tries = [(f"GET {path}", path) for path in paths if path != session.target.path]
    how = {"method": "GET", "media": None}
    found = await session.served((name, {**how, "target": path, "label": name}) for name, path in tries)
    if found:
        return weak(f"{len(found)} of {len(paths)} addresses answer whoever asks", *found[:6])
    return held(f"none of {len(paths)} addresses answers a stranger")


async def unknown_or_wrong(session: Session) -> Outcome:
    """Compare the refusals of a key that was never made and of one that is nearly right."""
    wrong, unknown = _bad_keys(session)
    texts = {"nearly right": wrong, "never made": unknown}
    answers = {name: await session.ask(key=text, label=f"a key that is {name}") for name, text in texts.items()}
    if any(answer.ok for answer in answers.values()):
        raise UntestableError("a key that is wrong was taken: see authentication")
    if not any(answer.status for answer in answers.values()):
        raise UntestableError("without the certificate nothing is answered")
    first = answers["never made"]
    if len({_shape(answer, texts[name]) for name, answer in answers.items()}) > 1:
        shown = [f"{name}: {answer} {answer.text}" for name, answer in answers.items()]
        return weak("the refusal tells why a key does not hold", *shown)
    return held(f"{len(answers)} keys that do not hold, one and the same refusal", f"{first} {first.text}")


async def timing(session: Session) -> Outcome:
    """Compare the times of those two refusals by their ranks."""
    pair = _bad_keys(session)
    times: list[list[float]] = [[], []]
    for number in range(2 * PAIRS):
        side = (number + number // 2) % 2  # first one goes first, then the other
        answer = await session.ask(key=pair[side])
        if answer.ok:
            raise UntestableError("a key that is wrong was taken: see authentication")
        times[side].append(answer.took_s)
    z, apart_s = _rank_distance(*times), median(times[0]) - median(times[1])
    sentence = f"{PAIRS} times each, {abs(apart_s) * 1000:.1f} ms apart in the median, {abs(z):.1f} deviations"
    if abs(z) >= RANKS_Z and abs(apart_s) >= TIME_LEAST_S:
        return weak(f"the time of a refusal tells a wrong key from an unknown one: {sentence}")
    return held(f"the time of a refusal does not tell a wrong key from an unknown one: {sentence}")


async def size(session: Session) -> Outcome:
    """Ask for different things, and compare the lengths of answers that say the same."""
    lengths: dict[str, set[int]] = {}
    asked = [session.target.document, *_variants(session)]
    for document in asked:
        answer = await session.ask(document)
        said = answer.json()
        if answer.ok and said is not None:
            lengths.setdefault(json.dumps(_nameless(said), sort_keys=True), set()).add(_written(answer))
    uneven = {said: sorted(found) for said, found in lengths.items() if len(found) > 1}
    if uneven:
        shown = [f"{', '.join(map(str, found))} bytes: {said}" for said, found in uneven.items()]
        return weak("answers that say the same are not equally long: the length tells what they do not", *shown[:4])
    if len(asked) < 2 or len(lengths) == len(asked):
        raise UntestableError("no two answers to different questions said the same")
    return held(f"{len(asked)} answers, and those that say the same are equally long")


async def _provoke(session: Session) -> list[tuple[str, Answer]]:
    """Return refusals, after asking wrongly once in this run."""
    if not session.refusals:
        spot = session.target.spot
        for label, value in session.some([("null", None), ("a list", [[]]), ("an object", {"a": 1})], 2):
            if spot is not None:
                await session.ask(replaced(session.target.document, spot, value), label=f"{label} for the text")
        await session.ask(raw=b"{", label="half a JSON text")
        await session.ask({}, label="an empty object")
        await session.ask(raw=b"\xff\xfe", label="bytes that are no text")
        await session.ask(method="DELETE", label="DELETE")
        await session.ask(target=f"{session.target.path}/nowhere", label="a path that is not there")
        if session.takes_keys:
            await session.ask(key=None, label="no key")
    if not session.refusals:
        raise UntestableError("nothing was refused")
    return session.refusals


def _variants(session: Session) -> list[Any]:
    """Return honest requests that differ a little from the first."""
    document = session.target.document
    if session.target.spot is not None:
        text = str(at(document, session.target.spot))
        texts = [f"{text} {word}" for word in ("Please.", "Thank you very much.", "Soon?", "Today, if I may ask.", "A")]
        return [session.target.with_text(one) for one in (*texts, text.upper(), text.lower())]
    spots = [spot for spot in numbers(document) if isinstance(at(document, spot), float)][:2]
    shares = [1 - step / 64 for step in range(1, 5)]
    return [replaced(document, spot, at(document, spot) * share) for spot in spots for share in shares]


def _nameless(said: Any) -> Any:
    """Return an answer without what differs from one to the next: ids and times."""
    if isinstance(said, dict):
        return {name: _nameless(value) for name, value in said.items() if not PASSING.search(name)}
    return [_nameless(value) for value in said] if isinstance(said, list) else said


def _written(answer: Answer) -> int:
    """Return how long an answer is, with its ids at one length."""
    return len(ID.sub("-", answer.text))


def _members(session: Session, pattern: re.Pattern[str], what: str) -> Outcome:
    document = session.honest.json()
    if document is None:
        raise UntestableError("the answer is no JSON")
    named = {name: value for name, value in reversed(list(walk(document))) if pattern.search(name) and value}
    shown = [f"{name}: {json.dumps(value)}" for name, value in named.items()]
    if shown:
        return weak(f"members of an answer {what}: {', '.join(list(named)[:6])}", *shown[:4])
    return held(f"no member of an answer seems to {what}")


def _digits(value: float) -> int:
    mantissa = repr(abs(value)).partition("e")[0].replace(".", "")
    return len(mantissa.strip("0"))


def _bad_keys(session: Session) -> tuple[str, str]:
    """Return a key that differs from a good one in its last letter, and one in all letters but keeps its form."""
    good = session.keys[0].text
    if good is None:
        raise UntestableError("no key was given, so there is none to be nearly right")
    last = "a" if good[-1] != "a" else "b"
    start = re.match(r"[A-Za-z]+[_-](?:[a-z]+[_-])?", good)
    kept = start.group() if start else ""
    swapped = "".join(_other(letter) for letter in good[len(kept) :])
    return good[:-1] + last, kept + swapped


def _other(letter: str) -> str:
    if letter.isdigit():
        return str((int(letter) + 3) % 10)
    if letter.isascii() and letter.isalpha():
        base = ord("a" if letter.islower() else "A")
        return chr(base + (ord(letter) - base + 7) % 26)
    return letter


def _shape(answer: Answer, key: str) -> tuple[Any, ...]:
    """Return all of a refusal but what differs from one to the next, and the key where it is repeated."""
    names = frozenset(name for name, _ in answer.fields) - NAMELESS
    return answer.status, names, answer.get("www-authenticate"), ID.sub("-", answer.text.replace(key, "-"))


def _line(refusal: tuple[str, Answer]) -> str:
    label, answer = refusal
    return f"{label}: {answer}: {answer.text[:120]}"


def _rank_distance(left: list[float], right: list[float]) -> float:
    """Return by how many standard deviations the ranks of two samples differ (Mann and Whitney's U)."""
    wins = sum((a > b) + 0.5 * (a == b) for a in left for b in right)
    count = len(left) * len(right)
    deviation = (count * (len(left) + len(right) + 1) / 12) ** 0.5
    return float((wins - count / 2) / deviation)


LEAKAGE = {
    "error_shape": error_shape,
    "internals": internals,
    "echo": echo,
    "headers": headers,
    "versions": versions,
    "scores": scores,
    "precision": precision,
    "documents": documents,
    "unknown_or_wrong": unknown_or_wrong,
    "timing": timing,
    "size": size,
}
