"""Malformed: requests that no parser should take, or that two parsers would take in two ways."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from functools import cache, partial
from typing import Any

from vallum.probe.catalogue import read_corpus
from vallum.probe.finding import Outcome, UntestableError, held, weak
from vallum.probe.session import Session
from vallum.probe.target import encode, replaced
from vallum.probe.target import numbers as find_numbers
from vallum.probe.wire import Answer, compose, trickle

MIB = 1_048_576
USUAL_MAX_BYTES = 16 * MIB  # more than an endpoint that bounds bodies at all would take
BOMB_BYTES = 48 * MIB
DEEP = 10_000
SLOW_S = 45.0  # a connection that takes longer over one request should have been ended
SLOW_EVERY_S, SLOW_LEAST_S = 1.0, 5.0
NOT_SUPPORTED = (501, 505)  # honest refusals, though they begin with 5


class _Tally:
    """What became of samples that must be refused."""

    def __init__(self, closing_refuses: bool = False) -> None:
        self.count = 0
        self.faults: list[str] = []
        self._closing_refuses = closing_refuses

    def add(self, label: str, answer: Answer) -> None:
        self.count += 1
        second = " and a second answer" if answer.rest.startswith(b"HTTP/") else ""
        closed = answer.ended == "closed" and not answer.status and self._closing_refuses
        if second or not (answer.refused or answer.status in NOT_SUPPORTED or closed):
            self.faults.append(f"{label}: {answer}{second}")

    def judge(self, what: str) -> Outcome:
        if self.faults:
            return weak(f"{len(self.faults)} of {self.count} {what} are not refused", *self.faults[:6])
        return held(f"all {self.count} {what} are refused")


async def bodies(session: Session) -> Outcome:
    """Send bodies that are no JSON, or that two parsers read in two ways."""
    tally = _Tally()
    for label, body in session.some(list(_bodies(session)), 8):
        tally.add(label, await session.ask(raw=body, label=label))
    return tally.judge("bodies that are not one JSON text")


async def depth(session: Session) -> Outcome:
    """Send bodies that nest deeper than is allowed, and deeper than any reader's stack."""
    if not isinstance(session.target.document, dict):
        raise UntestableError("the honest request is no object to which something deep could be added")
    tally = _Tally(closing_refuses=True)
    promised = session.promises.max_depth
    depths = [DEEP] if promised is None else [promised + 1, DEEP]
    honest = encode(session.target.document)[:-1]
    for levels in depths:
        deep = b"[" * levels + b"]" * levels
        label = f"{levels} levels"
        tally.add(label, await session.ask(raw=honest + b', "deep": ' + deep + b"}", label=label))
        tally.add(f"{label}, unclosed", await session.ask(raw=b"[" * levels, label=label))
    return tally.judge("bodies that nest too deep")


async def size(session: Session) -> Outcome:
    """Send a body that is honest but for its size, and one that only says that it is large."""
    most = session.promises.max_bytes
    over = USUAL_MAX_BYTES if most is None else most + 1
    honest = encode(session.target.document)
    tally = _Tally(closing_refuses=True)
    label = f"{over} bytes" if most is None else f"one byte over the promised {most}"
    tally.add(label, await session.ask(raw=honest.ljust(over), label=label))

    def declare(key: str | None) -> bytes:
        return _head(session, key) + b"Content-Length: 1099511627776\r\n\r\n" + honest

    tally.add("a terabyte that is only declared", await session.send(declare, listen_on=False))
    return tally.judge("bodies that are too large")


async def compression(session: Session) -> Outcome:
    """Send packed bodies that are huge when they are unpacked, and ones of codings that nobody knows."""
    tally = _Tally(closing_refuses=True)
    honest = encode(session.target.document)
    for coding in ("gzip", "x-gzip", "deflate", "gzip, gzip", "br, gzip"):
        label = f"{BOMB_BYTES // MIB} MiB packed as {coding}"
        tally.add(label, await session.ask(raw=_bomb(honest), fields=[("Content-Encoding", coding)], label=label))
    return tally.judge("packed bodies that are too large")


async def media_types(session: Session) -> Outcome:
    """Send the honest body as something else; a page of another site can send such types without asking."""
    tally = _Tally()
    for value in session.some(read_corpus("malformed")["media_types"], 4):
        media = ("Content-Type", value) if value else None
        tally.add(value or "no type", await session.ask(media=media, label=f"type {value or 'absent'}"))
    return tally.judge("media types that are not JSON")


async def types(session: Session) -> Outcome:
    """Put values of other types where the model reads, and documents of other shapes."""
    tally = _Tally()
    for label, document in session.some(list(_mutants(session)), 8):
        tally.add(label, await session.ask(document, label=label))
    return tally.judge("requests of the wrong shape")


async def unknown_members(session: Session) -> Outcome:
    """Add members that no API has: what is not known should not pass to the model server."""
    document = session.target.document
    if not isinstance(document, dict):
        raise UntestableError("the honest request is no object")
    tally = _Tally()
    for name in read_corpus("malformed")["members"]:
        tally.add(name, await session.ask(document | {name: True}, label=f"member {name}"))
    return tally.judge("members that the API does not have")


async def numbers(session: Session) -> Outcome:
    """Put numbers that break arithmetic where numbers stand; they may be refused, but nothing may break."""
    spots = list(find_numbers(session.target.document))[:3]
    if not spots:
        raise UntestableError("the honest request has no number")
    broken, count = [], 0
    for spot in spots:
        for text in session.some(read_corpus("malformed")["numbers"], 4):
            body = encode(replaced(session.target.document, spot, "@NUMBER@")).replace(b'"@NUMBER@"', text.encode())
            label = f"{spot[-1]} = {text[:20]}"
            answer = await session.ask(raw=body, label=label)
            count += 1
            if answer.status >= 500 or not answer.status:
                broken.append(f"{label}: {answer}")
    if broken:
        return weak(f"{len(broken)} of {count} extreme numbers break it", *broken[:6])
    return held(f"none of {count} extreme numbers breaks it")


async def framing(session: Session) -> Outcome:
    """Send requests whose end two servers in a row would see at two places: request smuggling."""
    tally = _Tally(closing_refuses=True)
    honest = encode(session.target.document)
    parts = {
        "path": session.target.path,
        "host": session.target.place.authority,
        "body": honest.decode(),
        "length": str(len(honest)),
        "size": f"{len(honest):x}",
    }

    def fill(form: str, key: str | None) -> bytes:
        fields = [field for field in session.head(key) if field[0] not in ("Host", "Connection")]
        head = "\r\n".join(f"{name}: {value}" for name, value in fields)
        data = form.replace("\n", "\r\n").replace("<LF>\r\n", "\n").replace("<CR>", "\r").replace("<NUL>", "\0")
        for name, value in {**parts, "head": head}.items():
            data = data.replace(f"<{name}>", value)
        return data.encode()

    samples = session.some(list(read_corpus("malformed")["framing"].items()), 9)
    # All at once: after each of them a second answer is waited for.
    sent = (session.send(partial(fill, form), label=label) for label, form in samples)
    for (label, _), answer in zip(samples, await asyncio.gather(*sent), strict=True):
        tally.add(label, answer)
    return tally.judge("requests whose end is in doubt")


async def heads(session: Session) -> Outcome:
    """Send heads without measure."""
    tally = _Tally(closing_refuses=True)
    tally.add("a path of 100 KB", await session.ask(target=session.target.path + "/" + "a" * 100_000))
    tally.add("a field of 1 MiB", await session.ask(fields=[("X-Probe", "a" * MIB)]))
    tally.add("10,000 fields", await session.ask(fields=[(f"X-Probe-{number}", "a") for number in range(10_000)]))
    return tally.judge("heads without measure")


async def slow_head(session: Session) -> Outcome:
    """Send a head a few bytes at a time."""
    head = _head(session, session.keys[0].text)
    pieces = (b"X-Slow: a\r\n" for _ in range(10_000))
    return await _trickle(session, "head", _first(head, pieces))


async def slow_body(session: Session) -> Outcome:
    """Send a body a byte at a time."""
    head = _head(session, session.keys[0].text) + b"Content-Length: 10000\r\n\r\n"
    return await _trickle(session, "body", _first(head, (b" " for _ in range(10_000))))


async def _trickle(session: Session, what: str, pieces: Iterator[bytes]) -> Outcome:
    most_s = min(SLOW_S if what == "head" else 2 * SLOW_S, session.budget.left_s - 2)
    if most_s < SLOW_LEAST_S:
        raise UntestableError("too little time is left to be slow; give more with --max-time")
    await session.budget.spend()
    after_s = await trickle(session.target.place, pieces, SLOW_EVERY_S, most_s)
    if after_s is not None:
        return held(f"a {what} that comes byte by byte is ended after {after_s:.0f} s")
    if most_s < SLOW_S:
        raise UntestableError(f"a slow {what} was still waited for after the {most_s:.0f} s that were left")
    return weak(f"a {what} that comes byte by byte is waited for, {most_s:.0f} s and more")


def _head(session: Session, key: str | None) -> bytes:
    """Return an honest head without its end."""
    return compose(session.target.method, session.target.path, session.head(key), None)[:-2]


def _first(head: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from pieces


def _bodies(session: Session) -> Iterator[tuple[str, bytes]]:
    honest = encode(session.target.document)
    if isinstance(session.target.document, dict) and session.target.document:
        name = next(iter(session.target.document))
        yield "one member twice", b"{" + encode(name) + b": 0, " + honest[1:]
        yield "not a number", honest[:-1] + b', "probe": NaN}'
        yield "a number without end", honest[:-1] + b', "probe": 1e400}'
        yield "bytes that are no text", honest[:-1] + b', "probe": "\xc3\x28"}'
        yield "half a letter", honest[:-1] + b', "probe": "\\ud800"}'
        yield "a comment", b"/* probe */" + honest
        yield "a comma too many", honest[:-1] + b",}"
    yield "half of it", honest[: len(honest) // 2]
    yield "something after it", honest + b"x"
    yield "twice", honest + honest
    yield "UTF-16", honest.decode().encode("utf-16")
    yield "nothing", b""
    yield "a zero byte after it", honest + b"\0"
    yield "a form", b"input=probe&text=probe"
    yield "XML with an entity", read_corpus("malformed")["xml"].encode()


def _mutants(session: Session) -> Iterator[tuple[str, Any]]:
    document, spot = session.target.document, session.target.spot
    if spot is not None:
        at = ".".join(map(str, spot))
        for label, value in (("null", None), ("a number", 7), ("an object", {"a": "b"}), ("true", True)):
            yield f"{at} = {label}", replaced(document, spot, value)
    else:
        for number in list(find_numbers(document))[:2]:
            at = ".".join(map(str, number))
            yield f"{at} = a text", replaced(document, number, "seven")
            yield f"{at} = null", replaced(document, number, None)
    yield "an empty object", {}
    yield "an empty list", []
    yield "a text alone", "probe"
    yield "null alone", None
    yield "a list around it", [document, document]


@cache
def _bomb(honest: bytes) -> bytes:
    return gzip.compress(honest + b" " * BOMB_BYTES, 6)


MALFORMED = {
    "bodies": bodies,
    "depth": depth,
    "size": size,
    "compression": compression,
    "media_types": media_types,
    "types": types,
    "unknown_members": unknown_members,
    "numbers": numbers,
    "framing": framing,
    "heads": heads,
    "slow_head": slow_head,
    "slow_body": slow_body,
}
