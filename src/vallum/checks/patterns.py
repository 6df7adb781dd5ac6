"""Many patterns in one linear pass: a compiled set that checks share.

Hyperscan does not backtrack: time is linear in the text whatever the patterns, and whatever the text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import hyperscan

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_PLACES = 500
"""Strings of one request that are searched one by one for the place of a finding."""


class Pattern(NamedTuple):
    """One regular expression, caseless.  `name` is "family.member"; `weight` 1.0 decides alone at the usual threshold.

    It sees bytes, and lower case beyond ASCII: write such letters small and outside of sets.  `^` and `$` are the ends
    of a line.
    """

    name: str
    weight: float
    expression: str

    @property
    def family(self) -> str:
        """What stands before the dot."""
        return self.name.partition(".")[0]


class PatternSet:
    """A compiled set.  Safe to scan from several threads, and from within a scan."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        """Compile; raise hyperscan.error on an expression that Hyperscan does not take."""
        self.patterns = tuple(patterns)
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=[pattern.expression.encode() for pattern in self.patterns],
            ids=list(range(len(self.patterns))),
            elements=len(self.patterns),
            flags=hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_MULTILINE,
        )
        # A scan owns its scratch: list.pop and list.append are atomic, so two scans never share one.
        self._scratches: list[hyperscan.Scratch] = []

    def scan(self, text: str) -> list[Pattern]:
        """Return the patterns that occur in `text`, each once."""
        hits: list[int] = []
        if not text.isascii():
            text = text.lower()
        try:
            scratch = self._scratches.pop()
        except IndexError:
            scratch = hyperscan.Scratch(self._database)
        try:
            # A lone surrogate is not text; "?" stands for it as it does in every encoder's output.
            self._database.scan(text.encode("utf-8", "replace"), _note, context=hits, scratch=scratch)
        finally:
            self._scratches.append(scratch)
        return [self.patterns[number] for number in sorted(hits)]


def _note(number: int, _start: int, _end: int, _flags: int, hits: object) -> None:
    cast("list[int]", hits).append(number)
