"""SQL injection: text that leaves its place in a statement.

Two layers.  `grammar` reads the text as each place in a statement would, and finds texts that take over; `pieces` are
patterns of what belongs to attacks alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from vallum.signatures.fields import split_fields
from vallum.signatures.patterns import PatternSet
from vallum.signatures.sql.comments import replace_comments
from vallum.signatures.sql.grammar import is_cued, judge
from vallum.signatures.sql.pieces import LONGEST_WHOLE, SQL, WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["find_pieces", "find_sqli", "find_takeover", "find_whole", "is_cued"]

_PARTS = PatternSet(pattern for pattern in SQL if not pattern.name.startswith(WHOLE))
_WHOLES = PatternSet(pattern for pattern in SQL if pattern.name.startswith(WHOLE))

# Joined lines bring together what a line's end held apart: two statements of a script are no stacked query.
_BLIND_TO_LINES = frozenset(("stacked.verb", "probe.time", "taut.quote"))

PROSE_CHARS = 400

_MARKERS = re.compile(r"/\*!?\d{0,6}|\*/")


def find_sqli(text: str, *, sensitivity: Literal["low", "high"] = "low") -> str | None:
    """Return the name of what was found in a decoded text, or None.

    The text is one value, or a whole body, query or header field, whose fields are then looked at one by one as well.
    """
    eager = sensitivity == "high"
    for field in split_fields(text):
        if (eager or is_cued(field)) and (name := judge(field, eager=eager)):
            return name
        if name := find_pieces(field) or (is_short(field) and find_whole(field)) or None:
            return name
    return None


def find_takeover(text: str) -> str | None:
    """Return the name of the rule by which a text, or a field of it, takes a statement over, or None."""
    for field in split_fields(text):
        # To ask for cues saves work on short texts alone: in longer ones the words of prose are cues.
        if (len(field) > PROSE_CHARS or is_cued(field)) and (name := judge(field)):
            return name
    return None


def find_pieces(text: str, *, joined: bool = False) -> str | None:
    """Return the name of the first pattern that occurs anywhere in a text, or None; `joined`: its lines were joined."""
    for variant in _uncommented(text):
        for hit in _PARTS.scan(variant):
            if not joined or hit.name not in _BLIND_TO_LINES:
                return hit.name
    return None


def find_whole(text: str) -> str | None:
    """Return the name of the pattern that fills a line of a text, or None."""
    if not text:
        return None
    return next((hit.name for variant in _uncommented(text) for hit in _WHOLES.scan(variant)), None)


def is_short(text: str) -> bool:
    """Say whether a mere piece of SQL could fill a text."""
    return len(text) <= LONGEST_WHOLE and "\n" not in text.strip()


def join_short(texts: Iterable[str]) -> str:
    """Return the texts that a mere piece of SQL could fill, one a line."""
    return "\n".join(filter(is_short, texts))


def _uncommented(text: str) -> Iterator[str]:
    """Yield the text, then without its SQL comments: each in turn a space, nothing, and what it holds."""
    yield text
    if "/*" in text:
        yield replace_comments(text, " ")
        yield replace_comments(text, "")
        yield _MARKERS.sub(" ", text)
