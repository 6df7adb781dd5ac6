"""Writes YAML that people read: comments that say why, a stable order, and no string that means more than itself.

Rule: a string of the policy never becomes syntax.  What some reader of YAML could take for more than a word is quoted
      and escaped, decK's templates (`${{ .. }}`) included, and a comment never ends early.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORD = re.compile(r"[A-Za-z_/][A-Za-z0-9_/-]*(?:(?:\.|::)[A-Za-z0-9_/-]+)*")
RESERVED = frozenset("y n yes no on off true false null none nan inf".split())  # YAML 1.1 reads them as something else
WIDTH = 118


class Noted(NamedTuple):
    """A value with a comment above it.  In a list, None is a comment alone."""

    value: Any
    note: str


def write_yaml(document: Mapping[str, Any], head: str = "", scalar: Callable[[Any], str] | None = None) -> str:
    """Return a document as YAML below a comment, its sections apart.

    `scalar` writes what is no list or mapping, for formats that know more of such than YAML does.
    """
    writer = _Writer(scalar or write_scalar)
    parts = [comment(head), *(writer.mapping({key: value}, "") for key, value in document.items())]
    return "\n\n".join(text for part in parts if (text := "\n".join(part))) + "\n"


def strip(value: Any, scalar: Callable[[Any], Any]) -> Any:
    """Return a document without its comments, each scalar as `scalar` reads it."""
    if isinstance(value, Noted):
        return strip(value.value, scalar)
    if isinstance(value, Mapping):
        return {name: strip(item, scalar) for name, item in value.items()}
    if isinstance(value, list):
        return [strip(item, scalar) for item in value if not _is_comment(item)]
    return scalar(value)


def write_scalar(value: Any) -> str:
    """Write one value that is no list or mapping."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".") if value == round(value, 6) else f"{value:.17e}"
    text = str(value)
    if WORD.fullmatch(text) and text.lower() not in RESERVED:
        return text
    if '"' in text and "'" not in text and "${{" not in text and text.isascii() and text.isprintable():
        return f"'{text}'"  # JSON in a string, without a backslash before every quote
    return quote(text)


def quote(text: str) -> str:
    """Write a text in double quotes."""
    return '"' + "".join(map(_escaped, text)).replace("${{", "$\\x7b{") + '"'


def comment(note: str, indent: str = "") -> Iterator[str]:
    """Write the lines of a comment; what cannot be printed, and what decK would read, is made harmless."""
    for line in map(printable, note.splitlines()):
        hanging = line[: len(line) - len(line.lstrip())]
        lines = textwrap.wrap(
            line.replace("${{", "$ {{"),
            WIDTH - len(indent) - 2,
            subsequent_indent=hanging,
            break_long_words=False,
            break_on_hyphens=False,
        )
        yield from (f"{indent}# {part}" for part in lines)


def printable(text: str) -> str:
    """Return `text` without what could end a line."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _escaped(sign: str) -> str:
    if sign in '"\\':
        return "\\" + sign
    if sign.isprintable():
        return sign
    code = ord(sign)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_comment(item: Any) -> bool:
    return isinstance(item, Noted) and item.value is None


class _Writer:
    def __init__(self, scalar: Callable[[Any], str]) -> None:
        self._scalar = scalar

    def mapping(self, mapping: Mapping[str, Any], indent: str) -> Iterator[str]:
        for key, given in mapping.items():
            value, note = given if isinstance(given, Noted) else (given, "")
            yield from comment(note, indent)
            name = f"{indent}{self._scalar(key)}:"
            flow = self._flow(value, len(name))
            if flow is not None:
                yield f"{name} {flow}"
            else:
                yield name
                yield from self._block(value, f"{indent}  ")

    def _block(self, value: Any, indent: str) -> Iterator[str]:
        if isinstance(value, Mapping):
            yield from self.mapping(value, indent)
            return
        for given in value:
            item, note = given if isinstance(given, Noted) else (given, "")
            yield from comment(note, indent)
            if not _is_comment(given):
                yield from self._item(item, indent)

    def _item(self, item: Any, indent: str) -> Iterator[str]:
        """Write an item; the comments of its first key stand above its dash."""
        flow = self._flow(item, len(indent) + 1)
        if flow is not None:
            yield f"{indent}- {flow}"
            return
        lines = [line.removeprefix(f"{indent}  ") for line in self._block(item, f"{indent}  ")]
        first = next(index for index, line in enumerate(lines) if not line.startswith("#"))
        yield from (f"{indent}{line}" for line in lines[:first])
        yield f"{indent}- {lines[first]}"
        yield from (f"{indent}  {line}" for line in lines[first + 1 :])

    def _flow(self, value: Any, before: int) -> str | None:
        """Write what fits on the line of its name: a scalar, an empty list or mapping, a short list of scalars."""
        if isinstance(value, Mapping):
            return None if value else "{}"
        if not isinstance(value, list):
            return self._scalar(value)
        if any(isinstance(item, Mapping | list | Noted) for item in value):
            return None
        line = f"[{', '.join(map(self._scalar, value))}]"
        return line if not value or before + len(line) < WIDTH else None
