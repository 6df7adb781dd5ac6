"""Requests made wrong at random: in their members where they are JSON or a form, in their bytes, and in their head."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from vallum.core.exchange import Fields

TOKENS = (
    *(b"null", b"true", b"-1", b"0.5", b"1e308", b"1e400", b"-0", b'""', b'"x"', b"[]", b"{}", b"[[]]", b'{"a":1}'),
    *(
        b"9" * 30,
        b"9" * 5000,
        b"0." + b"1" * 3000,
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'"\\u0000"',
        b"NaN",
        b"Infinity",
    ),
    *(b",", b":", b'"', b"{", b"}", b"[", b"]", b"\\", b"\xff", b"\x00", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xc0\x80"),
    *(
        b"[" * 300,
        b'{"a":' * 300,
        b'"' + b"a" * 60_000 + b'"',
        b"[" + b"1," * 20_000 + b"1]",
        b"\r\n",
        b"--",
        b"\r\n--",
    ),
    *(b'{"type":"text"}', b"data:,", b'"a":1,"a":2,', b"\r\nContent-Type: text/html\r\n", b"%00", b"\x1f\x8b\x08\x00"),
)
NASTY = (
    "\u202e",
    "\x00",
    "\u200b",
    "\ufeff",
    "\U000e0041",
    "\u0130",
    "\u1e9e",
    "e\u0301",
    "\u2028",
    "\ud7ff",
    "\U0010ffff",
)
PLAIN: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, -(2**63), 10**40, 1e308, 5e-324, 0.5, "", "x", [], {}),
    *("1", "null", "a" * 300, "a" * 70_000, " ", "\n", "../../x", "http://169.254.169.254/", "file:///etc/passwd"),
    *("data:image/png;base64,", "data:image/png;base64,AAAA", "AAAA", "=", *NASTY, [[]], [None] * 50, [0] * 3000),
    *({"type": "text", "text": "x"}, {"role": "user", "content": "x"}, {"$ref": "#"}, [{}] * 500, {"": {"": []}}),
    *({f"k{index}": index for index in range(300)}, [["x"] * 40] * 40, ["x" * 50] * 400, {"pattern": "(a+)+$"}),
)
VALUES = tuple(msgspec.Raw(json.dumps(value).encode()) for value in PLAIN)  # as text: nobody changes it
TYPES = (
    "application/json; charset=utf-16",
    "text/plain",
    "multipart/form-data",
    "application/json, text/html",
    "",
    "image/png",
)
CODINGS = ("gzip", "br", "identity", "gzip, gzip", "")
DEEP = (3, 20, 70, 400)


def mutate(chance: random.Random, body: bytes, fields: Fields, others: list[bytes]) -> tuple[bytes, Fields]:
    """Return a body and a head that are wrong in one place to four; `others` are bodies to splice pieces of."""
    mutated = _mutate_members(chance, body) if chance.random() < 0.7 else body
    if mutated is body or chance.random() < 0.2:
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            mutated = chance.choice(BYTES)(chance, mutated, others)
    if chance.random() < 0.04:
        fields = _mutate_head(chance, fields)
    return mutated, fields


def _mutate_head(chance: random.Random, fields: Fields) -> Fields:
    name, value = chance.choice(fields) if fields else ("content-type", "")
    others = [field for field in fields if field[0] != name]
    return tuple(
        chance.choice(
            (
                [*others, (name, chance.choice(TYPES))],
                [*others, (name, value + chance.choice(NASTY).encode("utf-8", "ignore").decode("latin-1"))],
                [*others, (name, value), (name, value)],
                [*others, (name, str(chance.choice((-1, 0, 1, 7, 2**63))))],
                [*fields, ("content-encoding", chance.choice(CODINGS))],
                others,
            )
        )
    )


# --- members


def _mutate_members(chance: random.Random, body: bytes) -> bytes:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        places = list(_places(document))
        if not places:
            return msgspec.json.encode(chance.choice(VALUES))
        _change(chance, *chance.choice(places), places)
    try:
        return msgspec.json.encode(document)
    except (RecursionError, OverflowError):  # deeper, or a whole number larger, than is written
        return body


def _change(chance: random.Random, container: Any, key: Any, places: list[tuple[Any, Any]]) -> None:
    value = container[key]
    kind = chance.randrange(10)
    if kind < 3:
        container[key] = chance.choice(VALUES)
    elif kind == 3:
        other, name = chance.choice(places)
        container[key] = msgspec.json.decode(msgspec.json.encode(other[name]))
    elif kind == 4:
        listed = chance.random() < 0.5
        for _ in range(chance.choice(DEEP)):
            value = [value] if listed else {"a": value}
        container[key] = value
    elif kind == 5:
        del container[key]
    elif kind == 6 and isinstance(container, dict):
        container[chance.choice((str(key).upper(), f"{key} ", chance.choice(NASTY), "x" * 300))] = value
    elif kind == 7 and isinstance(value, (str, list)):
        container[key] = value * chance.choice((0, 2, 3, 40))
    elif kind == 8:
        container[key] = f"{value}{chance.choice(NASTY)}" if isinstance(value, str) else str(value)
    else:
        container[key] = [value]


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    waiting = [document]
    while waiting:
        item = waiting.pop()
        keys = list(item)[:200] if isinstance(item, dict) else range(len(item))[:200] if isinstance(item, list) else ()
        for key in keys:
            yield item, key
            if isinstance(item[key], (dict, list)):
                waiting.append(item[key])


# --- bytes


def _flip(chance: random.Random, body: bytes, _: list[bytes]) -> bytes:
    at = chance.randrange(len(body) + 1)
    return body[:at] + bytes([body[at] ^ 1 << chance.randrange(8)]) + body[at + 1 :] if at < len(body) else body


def _cut(chance: random.Random, body: bytes, _: list[bytes]) -> bytes:
    return body[: chance.randrange(len(body) + 1)]


def _insert(chance: random.Random, body: bytes, _: list[bytes]) -> bytes:
    at = chance.randrange(len(body) + 1)
    return body[:at] + chance.choice(TOKENS) + body[at + chance.choice((0, 0, 1, 4)) :]


def _repeat(chance: random.Random, body: bytes, _: list[bytes]) -> bytes:
    at = chance.randrange(len(body) + 1)
    piece = body[at : at + chance.choice((1, 4, 40, 400))]
    return body[:at] + piece * chance.choice((0, 2, 3, 50)) + body[at:]


def _splice(chance: random.Random, body: bytes, others: list[bytes]) -> bytes:
    other = chance.choice(others)
    return body[: chance.randrange(len(body) + 1)] + other[chance.randrange(len(other) + 1) :]


def _randomise(chance: random.Random, body: bytes, _: list[bytes]) -> bytes:
    at = chance.randrange(len(body) + 1)
    return body[:at] + chance.randbytes(4) + body[at + 4 :]


def _duplicate(chance: random.Random, body: bytes, _: list[bytes]) -> bytes:
    """Say a key of a JSON object twice."""
    keys = [at for at in range(len(body)) if body.startswith(b'{"', at)][:50]
    if not keys:
        return body
    at = chance.choice(keys) + 1
    return body[:at] + body[at : body.find(b'"', at + 1) + 1] + b":1," + body[at:]


def _recode(chance: random.Random, body: bytes, _: list[bytes]) -> bytes:
    return chance.choice((b"\xef\xbb\xbf" + body, body.decode("latin-1").encode("utf-16"), body + body, body[::-1]))


def _nest(chance: random.Random, body: bytes, _: list[bytes]) -> bytes:
    depth = chance.choice(DEEP)
    return b"[" * depth + body + b"]" * depth


BYTES: tuple[Callable[[random.Random, bytes, list[bytes]], bytes], ...] = (
    *(_flip, _flip, _flip, _cut, _insert, _insert, _insert, _repeat, _splice, _randomise, _duplicate),
    *(_recode, _nest),
)
