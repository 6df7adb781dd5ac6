"""Searches the strings of a request with a detector, each in every reading, and says where one was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vallum.core.decision import Finding
from vallum.signatures.patterns import MOST_PLACES

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.content import Content
    from vallum.core.reading import Reading

LONGEST_QUIET = 20
"""Characters of a string of letters and digits that cannot hold anything, in base64 neither."""


class Detector(NamedTuple):
    """What looks for one kind of attack in one text."""

    cued: Callable[[str], bool]  # whether a text, or any line of it, could hold one: cheap, and sure of its no
    find: Callable[[str], str | None]


class Search:
    """A search of all strings, or of those that nobody says to the model."""

    def __init__(self, rule: str, detector: Detector, *, prompts: bool) -> None:
        """Keep what is looked for, and where."""
        self._rule, self._detector, self._prompts = rule, detector, prompts

    def strings(self, content: Content) -> tuple[str, ...]:
        """Return what is searched."""
        return (*content.values, *content.keys) if self._prompts else content.unsaid

    def readings(self, content: Content) -> tuple[Reading, ...]:
        """Return the readings of all that is searched, one string a line."""
        return content.readings if self._prompts else content.unsaid_readings

    def inspect(self, content: Content) -> Finding | None:
        """Return the first string in which something is found."""
        strings = self.strings(content)
        if len(strings) > 1 and not any(self._detector.cued(reading.text) for reading in self.readings(content)):
            return None
        for text in strings:
            if len(text) <= LONGEST_QUIET and text.isalnum():
                continue
            if found := self._find(content.read(text)):
                return self.found(content, found, lambda text: self._find(content.read(text)) != "")
        return None

    def found(self, content: Content, found: str, holds: Callable[[str], bool]) -> Finding:
        """Make a finding, and look for the first place that `holds` it."""
        where = ""
        if len(content.values) + len(content.keys) <= MOST_PLACES:
            where = content.locate(holds, unsaid=not self._prompts)
        return Finding(rule=self._rule, where=where, detail=found)

    def _find(self, readings: tuple[Reading, ...]) -> str:
        for reading in readings:
            if reading.how.endswith("joined"):
                break  # what lines hold together is looked for in the whole
            if name := self._detector.find(reading.text):
                return f"{name} in {reading.how}"
        return ""
