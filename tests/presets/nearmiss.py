"""Near-misses: requests that are almost right, made from one that is.

Every member of a valid document is given every wrong shape we can think of, and every bound that its schema states
(lengths, counts, ranges) is overstepped by one.  The schema is the judge of a mutant's shape: what it still takes, as
loose and optional members do, is no near-miss and is left out.  What is wrong in the bytes or the head needs no judge.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema_rs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Path = tuple[str | int, ...]

INVALID, MALFORMED, UNSUPPORTED = "invalid_request", "malformed_request", "unsupported_media_type"
BODY_MAX_BYTES = 500_000  # mutants stay within every route's max_bytes: over it is another refusal
ITEMS_VISITED = 3  # of each list
STAND_IN = "@@stand-in@@"
JSON_FIELDS = (("content-type", "application/json"),)
UNKNOWN = "no_such_member"


class NearMiss(NamedTuple):
    """A request that must be refused, and the code it must be refused with."""

    name: str
    body: bytes
    code: str
    fields: tuple[tuple[str, str], ...] = JSON_FIELDS


def near_misses(schema: Mapping[str, Any] | None, document: Any) -> Iterator[NearMiss]:
    """Yield every near-miss of `document`; by its shape only where there is a schema to judge it."""
    if schema is not None:
        yield from misshapen(schema, document)
    yield from misspelt(document)
    yield from mislabelled(document)


# --- shape: JSON, but not what the schema says


def misshapen(schema: Any, document: Any) -> Iterator[NearMiss]:
    """Yield mutants that the schema does not take; raise ValueError if it does not take the document itself."""
    validator = jsonschema_rs.validator_for(schema, validate_formats=True, offline=True)
    if not validator.is_valid(document):
        error = next(iter(validator.iter_errors(document)))
        raise ValueError(f"not valid: {list(error.instance_path)} {list(error.schema_path)}")
    bounds = Bounds(schema)
    seen: set[bytes] = set()
    for path, value in places(document):
        where = pointer(path)
        for words, candidates in _mutate(value, bounds):
            for candidate in candidates:  # the first that oversteps: bounds stand in order, and most are other members'
                mutant = replaced(document, path, candidate)
                if validator.is_valid(mutant):
                    continue
                body = json.dumps(mutant).encode()
                if body not in seen and len(body) <= BODY_MAX_BYTES:
                    seen.add(body)
                    yield NearMiss(f"{words} at {where}", body, INVALID)
                break
    yield NearMiss("no body", b"", INVALID)


class Bounds:
    """Every bound that stands anywhere in a schema, by its keyword, smallest first."""

    def __init__(self, schema: Any) -> None:
        self._found: dict[str, set[float]] = {}
        waiting = [schema]
        while waiting:
            item = waiting.pop()
            if isinstance(item, dict):
                for key, value in item.items():
                    if type(value) in (int, float):
                        self._found.setdefault(key, set()).add(value)
                    waiting.append(value)
            elif isinstance(item, list):
                waiting.extend(item)

    def of(self, *keywords: str) -> list[Any]:
        return sorted({value for keyword in keywords for value in self._found.get(keyword, ())})


def _mutate(value: Any, bounds: Bounds) -> Iterator[tuple[str, Iterable[Any]]]:
    """Yield ways to be wrong, each as words and the values to try until one is refused."""
    yield from _other_kinds(value)
    if isinstance(value, str):
        yield from _texts(value, bounds)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _numbers(bounds)
    elif isinstance(value, list):
        yield from _lists(value, bounds)
    elif isinstance(value, dict):
        yield from _objects(value, bounds)


def _other_kinds(value: Any) -> Iterator[tuple[str, Iterable[Any]]]:
    kinds: dict[str, Any] = {
        "null": None,
        "true": True,
        "a number": 7,
        "a fraction": 1.5,
        "an empty text": "",
        "a text": "nonsense",
        "an empty list": [],
        "a list of numbers": [7],
        "a list of texts": ["nonsense"],
        "a list of nulls": [None],
        "a list of lists": [[]],
        "an empty object": {},
        "another object": {UNKNOWN: 1},
    }
    for words, other in kinds.items():
        yield words, [other]
    yield "itself in a list", [[value]]
    yield "itself in an object", [{"value": value}]
    if not isinstance(value, (dict, list, str)):
        yield "itself as a text", [json.dumps(value)]


def _texts(value: str, bounds: Bounds) -> Iterator[tuple[str, Iterable[Any]]]:
    pad = value[:1] or "x"
    yield (
        "a text too long",
        (
            value + pad * (most + 1 - len(value))
            for most in bounds.of("maxLength")
            if len(value) <= most < BODY_MAX_BYTES
        ),
    )
    for words, other in {
        "in capitals": value.upper(),
        "with a capital": value.title(),
        "with a blank behind": value + " ",
        "with a blank before": " " + value,
        "with a line behind": value + "\n",
        "with a NUL": value + "\x00",
        "cut short": value[:-1],
        "with a wide letter": "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in value),
    }.items():
        yield f"a text {words}", [other]


def _numbers(bounds: Bounds) -> Iterator[tuple[str, Iterable[Any]]]:
    yield "a number too large", [most + 1 for most in bounds.of("maximum", "exclusiveMaximum")]
    yield "a fraction too large", [most + 0.001 for most in bounds.of("maximum", "exclusiveMaximum")]
    yield "a number too small", [least - 1 for least in reversed(bounds.of("minimum", "exclusiveMinimum"))]
    yield "a fraction too small", [least - 0.001 for least in reversed(bounds.of("minimum", "exclusiveMinimum"))]
    for other in (0, -1, 0.5, 2**31, 2**63, -(2**63), 2**64, 10**30, 1e308, -1e308):
        yield f"the number {other:g}", [other]


def _lists(value: list[Any], bounds: Bounds) -> Iterator[tuple[str, Iterable[Any]]]:
    item = value[0] if value else "x"
    yield "too many items", ([*value, *[item] * (most + 1 - len(value))] for most in _counts(item, value, bounds))
    yield "the first item twice", [[item, *value]]
    yield "too few items", [value[:1]]
    others: dict[str, Any] = {"null": None, "a number": 7, "a text": "nonsense", "a list": [], "an object": {}}
    for words, other in others.items():
        yield f"{words} as the last item", [[*value, other]]
        yield f"{words} as the first item", [[other, *value]]


def _counts(item: Any, value: list[Any], bounds: Bounds) -> Iterator[int]:
    size = len(json.dumps(item)) + 2
    for most in bounds.of("maxItems"):
        if len(value) <= most and most * size < BODY_MAX_BYTES:
            yield most


def _objects(value: dict[str, Any], bounds: Bounds) -> Iterator[tuple[str, Iterable[Any]]]:
    for key in list(value)[:40]:
        rest = {other: inner for other, inner in value.items() if other != key}
        yield f"without {key!r}", [rest]
        for words, name in {
            "in capitals": key.upper(),
            "with a capital": key.title(),
            "with a blank": key + " ",
            "in one word": key.replace("_", ""),
            "with a NUL": key + "\x00",
        }.items():
            if name != key:
                yield f"{key!r} {words}", [rest | {name: value[key]}]
                yield f"{key!r} twice, once {words}", [value | {name: value[key]}]
    yield "an unknown member", [value | {UNKNOWN: 1}]
    for name in ("__proto__", "constructor", "$ref", "", "a" * 300):
        yield f"a member called {name[:12]!r}", [value | {name: {}}]
    yield (
        "too many members",
        (
            value | {f"m{index}": next(iter(value.values()), 1) for index in range(most + 1)}
            for most in bounds.of("maxProperties")
        ),
    )


# --- spelling: not JSON, or JSON that two parsers read in two ways


def misspelt(document: Any) -> Iterator[NearMiss]:
    """Yield bodies that are wrong in their bytes."""
    body = json.dumps(document).encode()
    for words, data in {
        "a byte-order mark": b"\xef\xbb\xbf" + body,
        "UTF-16": body.decode().encode("utf-16"),
        "UTF-16 without a mark": body.decode().encode("utf-16-le"),
        "UTF-16, big end first": body.decode().encode("utf-16-be"),
        "UTF-32": body.decode().encode("utf-32"),
        "a second document": body + body,
        "a line after it": body + b"\nnull",
        "a bracket after it": body + b"}",
        "a NUL after it": body + b"\x00",
        "a comma after it": body + b",",
        "a comment": b"/* x */" + body,
        "blanks alone": b"  \n",
        "a form": b"a=1&b=2",
        "a guard before it": b")]}'\n" + body,
    }.items():
        yield NearMiss(words, data, MALFORMED)
    for part in range(1, 8):
        cut = len(body) * part // 8
        if cut:
            yield NearMiss(f"cut after {part} of 8", body[:cut], MALFORMED)
    yield from _mistyped(document)
    yield from _twice(document)
    for words, depth, code in (("too deep for the route", 60, INVALID), ("too deep for any", 400, MALFORMED)):
        for kind, nest in (("lists", "[{}]"), ("objects", '{{"a":{}}}')):
            deep = "1"
            for _ in range(depth):
                deep = nest.format(deep)
            for path in _leaves(document)[:1]:
                yield NearMiss(f"{kind} {words} at {pointer(path)}", _written(document, path, deep.encode()), code)


_TOKENS: tuple[tuple[str, bytes, str], ...] = (
    ("NaN", b"NaN", MALFORMED),
    ("Infinity", b"Infinity", MALFORMED),
    ("minus Infinity", b"-Infinity", MALFORMED),
    ("a number over all doubles", b"1e400", MALFORMED),
    ("a whole number over all doubles", b"1" * 400 + b".0", MALFORMED),
    ("a number of 400,000 digits", b"9" * 400_000, MALFORMED),
    ("a leading zero", b"01", MALFORMED),
    ("a plus sign", b"+1", MALFORMED),
    ("a hexadecimal number", b"0x10", MALFORMED),
    ("half a number", b"1.", MALFORMED),
    ("a lone surrogate", b'"\\ud800"', MALFORMED),
    ("half a pair", b'"\\udc00 x"', MALFORMED),
    ("a surrogate in UTF-8", b'"\xed\xa0\x80"', MALFORMED),
    ("a byte that is no UTF-8", b'"\xff"', MALFORMED),
    ("an overlong NUL", b'"\xc0\x80"', MALFORMED),
    ("a bare control character", b'"\x01"', MALFORMED),
    ("a bare line end", b'"a\nb"', MALFORMED),
    ("a wrong escape", b'"\\x41"', MALFORMED),
    ("single quotes", b"'x'", MALFORMED),
    ("a bare word", b"undefined", MALFORMED),
    ("True", b"True", MALFORMED),
    ("two values", b"1 2", MALFORMED),
    ("a comma too many in a list", b"[1,]", MALFORMED),
    ("a comma too many in an object", b'{"a":1,}', MALFORMED),
    ("a key without quotes", b"{a:1}", MALFORMED),
)


def _leaves(document: Any) -> list[Path]:
    """Return the places of three values that hold no others: the first, one in the middle, the last."""
    every = [path for path, value in places(document) if path and not isinstance(value, (dict, list))]
    return [every[0], every[len(every) // 2], every[-1]] if len(every) > 2 else every


def _mistyped(document: Any) -> Iterator[NearMiss]:
    for words, token, code in _TOKENS:
        for path in _leaves(document):
            if token or not _is_only_item(document, path):  # a list of nothing is JSON
                yield NearMiss(f"{words} at {pointer(path)}", _written(document, path, token), code)


def _is_only_item(document: Any, path: Path) -> bool:
    for step in path[:-1]:
        document = document[step]
    return isinstance(document, list) and len(document) == 1


def _twice(document: Any) -> Iterator[NearMiss]:
    for path, value in places(document):
        if not isinstance(value, dict) or not value:
            continue
        key = next(iter(value))
        escaped = f"\\u{ord(key[0]):04x}{key[1:]}" if key and ord(key[0]) < 0x10000 else key
        for words, spelling in (("twice", json.dumps(key)), ("twice, once escaped", f'"{escaped}"')):
            body = json.dumps(replaced(document, path, value | {STAND_IN: value[key]}))
            twice = body.replace(f'"{STAND_IN}"', spelling, 1)
            yield NearMiss(f"{key!r} {words} at {pointer(path)}", twice.encode(), MALFORMED)


def _written(document: Any, path: Path, token: bytes) -> bytes:
    return json.dumps(replaced(document, path, STAND_IN)).encode().replace(f'"{STAND_IN}"'.encode(), token, 1)


# --- head


def mislabelled(document: Any) -> Iterator[NearMiss]:
    """Yield a valid body under a head that says something else."""
    body = json.dumps(document).encode()
    for words, fields in {
        "no type": (),
        "two types": JSON_FIELDS * 2,
        "an unknown type": (("content-type", "application/x-no-such-type"),),
        "no type at all in the field": (("content-type", ""),),
        "a list of types": (("content-type", "application/json, text/html"),),
        "another charset": (("content-type", "application/json; charset=utf-16"),),
        "an unknown encoding": (*JSON_FIELDS, ("content-encoding", "no-such-encoding")),
    }.items():
        yield NearMiss(words, body, UNSUPPORTED, fields)


# --- documents


def places(document: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every place of a document and what stands there, and of a long list some items only."""
    yield path, document
    if isinstance(document, dict):
        for key, inner in document.items():
            yield from places(inner, (*path, key))
    elif isinstance(document, list):
        shown = range(len(document)) if len(document) <= ITEMS_VISITED else (0, 1, len(document) - 1)
        for index in shown:
            yield from places(document[index], (*path, index))


def replaced(document: Any, path: Path, value: Any) -> Any:
    """Return `document` with another value at `path`; what did not change is shared."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    copy: Any = dict(document) if isinstance(document, dict) else list(document)
    copy[step] = replaced(document[step], rest, value)
    return copy


def pointer(path: Path) -> str:
    return "".join(f"/{step}" for step in path) or "the whole"
