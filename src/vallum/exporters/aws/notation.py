"""YAML as CloudFormation reads it: values, intrinsic functions and comments.

Rule 1: a text of the policy is a double-quoted scalar unless every reader takes it for the same plain word.
Rule 2: nothing of the policy is a reference: what CloudFormation would expand (`${`) is escaped, and what it would
        expand and cannot be escaped (`{{resolve:`) is refused.
Rule 3: a comment is one line, whatever is in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from vallum.exporters.export import ExportError

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*(?:::[A-Za-z0-9]+)*")
# What readers of YAML 1.1 or 1.2 take for something else than a text.
NO_WORDS = frozenset("y yes n no on off true false null none".split())
DYNAMIC = re.compile(r"\{\{\s*resolve\s*:", re.IGNORECASE)
ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Ref(NamedTuple):
    """`!Ref`: a parameter's value, or what a resource is called."""

    name: str


class Sub(NamedTuple):
    """`!Sub`: a text of ours with `${references}`; texts of the policy go through `literal` first."""

    text: str


class GetAtt(NamedTuple):
    """`!GetAtt`: an attribute of a resource."""

    name: str
    attribute: str


class If(NamedTuple):
    """`!If`: one of two values, by a condition."""

    condition: str
    then: Any
    otherwise: Any


class Function(NamedTuple):
    """Another function, by its short name: `Not`, `Equals`."""

    name: str
    arguments: list[Any]


class Noted(NamedTuple):
    """A value, and why it is there."""

    value: Any
    comment: str


class Resolved(NamedTuple):
    """`!Sub` of a text that CloudFormation shall resolve: the only way to a secret."""

    text: str


NOTHING = Ref("AWS::NoValue")
LONG_NAMES = {"GetAtt": "Fn::GetAtt", "If": "Fn::If", "Sub": "Fn::Sub", "Not": "Fn::Not", "Equals": "Fn::Equals"}


def literal(text: str) -> str:
    """Return `text` so that `!Sub` leaves it as it is."""
    return text.replace("${", "${!")


def plain(value: Any) -> Any:
    """Return a value as readers of JSON templates know it, without comments."""
    if isinstance(value, Noted):
        return plain(value.value)
    if isinstance(value, Ref):
        return {"Ref": value.name}
    if isinstance(value, Sub | Resolved):
        return {"Fn::Sub": value.text}
    if isinstance(value, GetAtt):
        return {"Fn::GetAtt": [value.name, value.attribute]}
    if isinstance(value, If):
        return {"Fn::If": [value.condition, plain(value.then), plain(value.otherwise)]}
    if isinstance(value, Function):
        return {LONG_NAMES[value.name]: [plain(item) for item in value.arguments]}
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def write(document: Mapping[str, Any]) -> str:
    """Write a document, its members in their order.  Raises ExportError for a text that cannot be kept a text."""
    return "\n".join(_mapping(document, "", top=True)) + "\n"


def comment(text: str, indent: str = "") -> str:
    """Return a comment of one line."""
    words = "".join([sign if sign.isprintable() else " " for sign in text])
    return f"{indent}# {' '.join(words.split())}"


def quoted(text: str) -> str:
    """Return a text as a scalar."""
    if DYNAMIC.search(text):
        raise ExportError(f"{text[:60]!r} would be resolved by CloudFormation: take '{{{{resolve:' out of the policy")
    if PLAIN.fullmatch(text) and text.lower() not in NO_WORDS:
        return text
    if '"' in text and "'" not in text and text.isascii() and text.isprintable():
        return f"'{text}'"  # documents in JSON, without a backslash before every quote
    return _double_quoted(text)


def _double_quoted(text: str) -> str:
    return '"' + "".join([_escaped(sign) for sign in text]) + '"'


def _escaped(sign: str) -> str:
    if sign in ESCAPES:
        return ESCAPES[sign]
    if sign.isprintable() and ord(sign) < 0xD800:
        return sign
    return f"\\u{ord(sign):04x}" if ord(sign) < 0x10000 else f"\\U{ord(sign):08x}"


def _mapping(value: Mapping[str, Any], indent: str, *, top: bool = False) -> Iterator[str]:
    for index, (name, item) in enumerate(value.items()):
        held = item
        if top and index:
            yield ""
        if isinstance(held, Noted):
            yield comment(held.comment, indent)
            held = held.value
        yield from _member(f"{indent}{quoted(name)}:", held, indent)


def _member(head: str, item: Any, indent: str) -> Iterator[str]:
    """Write what follows a name or a dash."""
    short = _short(item)
    if short is not None:
        yield f"{head} {short}"
        return
    if isinstance(item, Mapping):
        yield head
        yield from _mapping(item, f"{indent}  ")
    else:
        yield head
        yield from _list(item, f"{indent}  ")


def _list(items: list[Any], indent: str) -> Iterator[str]:
    for item in items:
        held = item
        if isinstance(held, Noted):
            yield comment(held.comment, indent)
            held = held.value
        if isinstance(held, Mapping) and held:
            lines = list(_mapping(held, f"{indent}  "))
            first = next(index for index, line in enumerate(lines) if not line.lstrip().startswith("# "))
            yield from (f"{indent}{line.lstrip()}" for line in lines[:first])
            yield f"{indent}- {lines[first].lstrip()}"
            yield from lines[first + 1 :]
        else:
            yield from _member(f"{indent}-", held, indent)


def _short(item: Any) -> str | None:
    """Return what fits on the line of its name."""
    if isinstance(item, Ref):
        return f"!Ref {item.name}"
    if isinstance(item, GetAtt):
        return f"!GetAtt {item.name}.{item.attribute}"
    if isinstance(item, Sub):
        return f"!Sub {quoted(item.text)}"
    if isinstance(item, Resolved):
        return f"!Sub {_double_quoted(item.text)}"
    if isinstance(item, If | Function):
        name, items = ("If", list(item)) if isinstance(item, If) else (item.name, item.arguments)
        return f"!{name} [{', '.join([_short(one) or '{}' for one in items])}]"
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, int | float):
        return f"{item:.6f}".rstrip("0") if isinstance(item, float) and item % 1 else str(int(item))
    if isinstance(item, str):
        return quoted(item)
    if item is None:
        return "null"
    if not item:
        return "{}" if isinstance(item, Mapping) else "[]"
    return None
