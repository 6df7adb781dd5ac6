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

__all__ = ["find_sqli"]

_PARTS = PatternSet(pattern for pattern in SQL if not pattern.name.startswith(WHOLE))
_WHOLES = PatternSet(pattern for pattern in SQL if pattern.name.startswith(WHOLE))

# A text without any of these says nothing to a database.
_CUE = re.compile(r"['\"`;#=<>|&*@()]|--|\b(?:union|or|and|select|having|order|exec|case|from|into)\b", re.IGNORECASE)

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


def _find(text: str, *, eager: bool) -> str | None:
    if name := judge(text, eager=eager):
        return name
    for variant in _uncommented(text):
        if hits := _PARTS.scan(variant):
            return hits[0].name
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
