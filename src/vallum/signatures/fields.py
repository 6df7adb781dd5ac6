"""Cuts a text that holds several values, a whole body or query, into them.

An attack is read from where a value begins.  Nothing is parsed: what looks like a string of JSON or like one pair of a
form is a field, and the whole text is one too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# A string of JSON, closed or not; what follows a form's, a cookie's or an attribute's `name=`.
_STRING = re.compile(r'"((?:[^"\\]|\\.)*+)', re.DOTALL)
_COOKIE = re.compile(r"(?:^|;)\s{0,4}[\w.$%-]{1,64}=([^;\n]++)")
_PAIR = re.compile(r"(?:^|[?&])\s{0,4}[\w.\[\]$%-]{1,64}=([^&\n]++)")

LONGEST_PATH = 8192
"""Characters of a text that may be a path."""

MOST_SEGMENTS = 8
"""Segments of a path behind each of which an attack may begin."""


def split_fields(text: str) -> Iterator[str]:
    """Yield the text, then what look like its fields."""
    yield text
    start = text.lstrip()[:1]
    if start in {"{", "["}:
        yield from (match[1] for match in _STRING.finditer(text))
    elif start == "/" and len(text) <= LONGEST_PATH:
        yield from _split_path(text)
    elif start == "-" and "\n" in text:
        yield from text.splitlines()
    if "=" in text:
        yield from (match[1] for match in _PAIR.finditer(text))
        if ";" in text:
            yield from (match[1] for match in _COOKIE.finditer(text))


def _split_path(path: str) -> Iterator[str]:
    at = 0
    for _ in range(MOST_SEGMENTS):
        at = path.find("/", at + 1)
        if at < 0:
            return
        yield path[at + 1 :]
