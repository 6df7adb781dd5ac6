"""Searches the strings of a request with a detector, each in every reading, and says where one was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.core.decision import Finding
from vallum.core.reading import read
from vallum.signatures.patterns import MOST_PLACES

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.content import Content

LONGEST_QUIET = 1
"""Characters of a string that is too short to attack anything."""

FOR_MODELS = ("joined", "spaced", "leet")
"""Readings of what only a model reads together."""


def search(content: Content, rule: str, find: Callable[[str], str | None], *, prompts: bool) -> Finding | None:
    """Return what `find` finds first, of what is said to the model too if `prompts`."""
    strings = (*content.values, *content.keys) if prompts else content.unsaid
    for text in strings:
        if found := _find(text, find):
            where = ""
            if len(content.values) + len(content.keys) <= MOST_PLACES:
                where = content.locate(lambda value: _find(value, find) != "", unsaid=not prompts)
            return Finding(rule=rule, where=where, detail=found)
    return None


def _find(text: str, find: Callable[[str], str | None]) -> str:
    if len(text) <= LONGEST_QUIET:
        return ""
    for reading in read(text):
        if reading.how.endswith(FOR_MODELS):
            break
        if name := find(reading.text):
            return f"{name} in {reading.how}"
    return ""
