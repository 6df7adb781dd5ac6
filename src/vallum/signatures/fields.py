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
_PAIR = re.compile(r"(?:^|[?&;\s])[\w.\[\]$%-]{1,64}=([^&\n]++)")

MOST_SEGMENTS = 8
"""Segments of a path behind each of which an attack may begin."""


def split_fields(text: str) -> Iterator[str]:
    """Yield the text, then what look like its fields."""
    yield text
    start = text.lstrip()[:1]
    if start in {"{", "["}:
        for match in _STRING.finditer(text):
            if len(match[1]) > 1:
                yield match[1]
    if start == "/":
        at = text.find("/", text.find("/") + 1)
        for _ in range(MOST_SEGMENTS):
            if at < 0:
                break
            yield text[at + 1 :]
            at = text.find("/", at + 1)
    if "=" in text:
        for match in _PAIR.finditer(text):
            if match.start(1) or match.end(1) < len(text):
                yield match[1]
    if text.startswith("--") and "\n" in text:
        for line in text.splitlines():
            if line.strip():
                yield line
