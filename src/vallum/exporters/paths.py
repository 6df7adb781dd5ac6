"""A policy's paths as regular expressions, in the part of the language that RE2 and PCRE share.

Rule: an expression takes what the pattern takes and nothing else; all of a path, never a part of one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vallum.core.target import Pattern

SEGMENT = "[^/?]+"
# What a lenient server drops from a segment before it looks who is meant (core/target.py, `folded`).
PARAMETERS = "(?:(?:;|%3[Bb])[^/?]*)?"
LITERAL = re.compile(r"[A-Za-z0-9_/:@!&=,~-]")


def is_exact(pattern: Pattern) -> bool:
    """Say whether a pattern names one path only."""
    return pattern.segments is None


def path_expression(pattern: Pattern) -> str:
    """Return what matches the decoded paths that `pattern` names, without anchors."""
    if pattern.segments is None:
        return literal(pattern.text)
    path = "".join("/" + (SEGMENT if part is None else literal(part)) for part in pattern.segments)
    return path + "(?:/.*)?" if pattern.open_ended else path


def excluded_expression(pattern: Pattern) -> str:
    """Return what matches every spelling of the paths that `pattern` names: letter case, parameters, a last slash."""
    parts = tuple(pattern.text[1:].split("/")) if pattern.segments is None else pattern.segments
    segments = "".join("/" + (f"[^/;?]+{PARAMETERS}" if part is None else literal(part) + PARAMETERS) for part in parts)
    return f"(?i:{segments})" + ("(?:/.*)?" if pattern.open_ended else "/*")


def literal(text: str) -> str:
    """Return an expression for `text` itself."""
    return "".join(sign if LITERAL.fullmatch(sign) else f"\\{sign}" for sign in text)


def overlap(base: str, pattern: Pattern, other_base: str, other: Pattern) -> bool:
    """Say whether two patterns, each below a base path, can name the same path."""
    one, two = _segments(base, pattern), _segments(other_base, other)
    if (len(one) < len(two) and not pattern.open_ended) or (len(two) < len(one) and not other.open_ended):
        return False
    return all(a is None or b is None or a == b for a, b in zip(one, two, strict=False))


def _segments(base: str, pattern: Pattern) -> list[str | None]:
    own = pattern.text[1:].split("/") if pattern.segments is None else pattern.segments
    return [*base.split("/")[1:], *own]
