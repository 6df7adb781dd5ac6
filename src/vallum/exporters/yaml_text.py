"""Writes YAML that people read: comments, stable order, and no string that means more than itself.

Rule: a string of the policy never becomes syntax.  What is not plainly a word is quoted and escaped, a template of
      decK's (`${{ .. }}`) included, and a comment never ends early.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_/-]*(?:\.[A-Za-z0-9_/-]+)*")
RESERVED = frozenset("y n yes no on off true false null nan inf".split())  # YAML 1.1 reads them as something else
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
WIDTH = 118


class Noted(NamedTuple):
    """A value with comment lines above it."""

    value: Any
    notes: tuple[str, ...]


class Reference(NamedTuple):
    """A text that ends in an environment variable, which decK puts in."""

    before: str
    variable: str


def write_yaml(document: Mapping[str, Any], notes: Iterable[str] = ()) -> str:
    """Return a document as YAML, with comment lines at its top."""
    return "\n".join([*comment(notes), *_mapping(document, "")]) + "\n"


def comment(lines: Iterable[str], indent: str = "") -> Iterator[str]:
    """Write comment lines; what cannot be printed, and what decK would read, is made harmless."""
    for line in lines:
        plain = "".join(sign if " " <= sign <= "~" else "?" for sign in line).replace("${{", "$ {{")
        yield f"{indent}# {plain}".rstrip()


def scalar(value: Any) -> str:
    """Write one value that is no list or mapping."""
    if isinstance(value, Reference):
        return _reference(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = str(value)
    if WORD.fullmatch(text) and text.lower() not in RESERVED:
        return text
    return '"' + "".join(map(_escaped, text)).replace("${{", "$\\x7b{") + '"'


def _reference(value: Reference) -> str:
    """Write a reference in single quotes: decK reads the file as text first, and knows no YAML escapes."""
    if not VARIABLE.fullmatch(value.variable) or not all(" " <= sign <= "~" for sign in value.before):
        raise ValueError("a reference is plain text and the name of a variable")
    before = value.before.replace("'", "''").replace("${{", "$ {{")
    return f"'{before}${{{{ env \"{value.variable}\" }}}}'"


def _escaped(sign: str) -> str:
    if sign in '"\\':
        return "\\" + sign
    if " " <= sign <= "~":
        return sign
    code = ord(sign)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _mapping(mapping: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, given in mapping.items():
        value, notes = given if isinstance(given, Noted) else (given, ())
        yield from comment(notes, indent)
        name = scalar(key)
        if isinstance(value, dict) and value:
            yield f"{indent}{name}:"
            yield from _mapping(value, f"{indent}  ")
        elif isinstance(value, list) and value:
            yield from _list(name, value, indent)
        else:
            yield f"{indent}{name}: {_flow(value)}"


def _flow(value: Any) -> str:
    """Write a value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(key)}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    return scalar(value)


def _list(name: str, items: list[Any], indent: str) -> Iterator[str]:
    if not any(isinstance(item, dict | Noted) for item in items):
        line = f"{indent}{name}: {_flow(items)}"
        if len(line) <= WIDTH:
            yield line
            return
    yield f"{indent}{name}:"
    for given in items:
        item, notes = given if isinstance(given, Noted) else (given, ())
        yield from comment(notes, f"{indent}  ")
        if item is not None:  # else it is a comment alone
            yield from _item(item, f"{indent}  ")


def _item(item: Any, indent: str) -> Iterator[str]:
    """Write an item; the comments of its first key stand above its dash."""
    if not isinstance(item, dict) or not item:
        yield f"{indent}- {_flow(item)}"
        return
    lines = [line.removeprefix(f"{indent}  ") for line in _mapping(item, f"{indent}  ")]
    first = next(index for index, line in enumerate(lines) if not line.startswith("#"))
    yield from (f"{indent}{line}" for line in lines[:first])
    yield f"{indent}- {lines[first]}"
    yield from (f"{indent}  {line}" for line in lines[first + 1 :])
