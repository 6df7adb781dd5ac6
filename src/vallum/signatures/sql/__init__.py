"""SQL injection: text that leaves its place in a statement.

Two layers.  `grammar` reads the text as each place in a statement would, and finds texts that take over; `pieces` are
patterns of what belongs to attacks alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from vallum.signatures.fields import split_fields
from vallum.signatures.patterns import PatternSet
from vallum.signatures.sql.grammar import judge
from vallum.signatures.sql.pieces import LONGEST_WHOLE, SQL, WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["find_pieces", "find_sqli"]

_INNER = tuple(pattern for pattern in SQL if not pattern.name.startswith(WHOLE))
_PARTS = PatternSet(_INNER)
_WHOLES = PatternSet(pattern for pattern in SQL if pattern.name.startswith(WHOLE))

# A text without any of these says nothing to a database.
_CUE = re.compile(
    r"['\"`;#=<>|&*@()$_]|--|\b(?:union|or|and|select|having|order|exec|case|from|into|drop|insert|update|delete|create"
    r"|alter|truncate|limit|like|shutdown|declare|waitfor|where|northwind|tempdb|msdb|like|when|between|regexp)\b",
    re.IGNORECASE,
)

# Joined lines bring together what a line's end held apart: two statements of a script are no stacked query.
_BLIND_TO_LINES = frozenset(("stacked.verb", "probe.time", "taut.quote"))

# Bounded: a text full of openings and without an end must cost no more than its length.
_COMMENT = re.compile(r"/\*[^*]{0,200}\*{1,9}/")
_MARKERS = re.compile(r"/\*!?\d{0,6}|\*/")


def find_sqli(text: str, *, sensitivity: Literal["low", "high"] = "low") -> str | None:
    """Return the name of what was found in a decoded text, or None.

    The text is one value, or a whole body, query or header field, whose fields are then looked at one by one as well.
    """
    for field in split_fields(text):
        if _CUE.search(field) and (name := _find(field, eager=sensitivity == "high")):
            return name
    return None


def find_pieces(text: str, *, joined: bool = False) -> str | None:
    """Return the name of the first pattern that occurs anywhere in a text, or None; `joined`: its lines were joined."""
    for variant in _uncommented(text):
        for hit in _PARTS.scan(variant):
            if not joined or hit.name not in _BLIND_TO_LINES:
                return hit.name
    return None


def _find(text: str, *, eager: bool) -> str | None:
    if name := judge(text, eager=eager):
        return name
    if name := find_pieces(text):
        return name
    if len(text) <= LONGEST_WHOLE and "\n" not in text.strip() and (hits := _WHOLES.scan(text)):
        return hits[0].name
    return None


def _uncommented(text: str) -> Iterator[str]:
    """Yield the text, then without its SQL comments: each in turn a space, nothing, and what it holds."""
    yield text
    if "/*" in text:
        yield _COMMENT.sub(" ", text)
        yield _COMMENT.sub("", text)
        yield _MARKERS.sub(" ", text)
