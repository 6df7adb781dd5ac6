"""Many patterns in one linear pass: a compiled set that checks share.

Hyperscan does not backtrack: time is linear in the text whatever the patterns, and whatever the text.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

import hyperscan

from vallum.signatures.databases import compile_database

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_PLACES = 500
"""Strings of one request that are searched one by one for the place of a finding."""

PIECE_BYTES, OVERLAP_BYTES = 4096, 800
"""What is scanned at once where a scan may stop early, and what two such pieces share."""

MOST_TRIGGERS = 200
"""Triggers in one piece, one in twenty bytes, that are a flood: text made to keep the scan busy."""


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

    def __init__(self, patterns: Iterable[Pattern], flood: Pattern | None = None) -> None:
        """Compile; raise hyperscan.error on an expression that Hyperscan does not take.

        `flood` is a pattern for words with which many others begin, and a hit only where it occurs MOST_TRIGGERS times.
        """
        self.patterns = tuple(patterns) if flood is None else (*patterns, flood)
        self._flood = -1 if flood is None else len(self.patterns) - 1
        flags = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_MULTILINE
        self._database = compile_database(
            tuple(pattern.expression.encode() for pattern in self.patterns),
            tuple(flags if pattern is flood else flags | hyperscan.HS_FLAG_SINGLEMATCH for pattern in self.patterns),
        )
        # A scan owns its scratch: list.pop and list.append are atomic, so two scans never share one.
        self._scratches: list[hyperscan.Scratch] = []

    def scan(self, text: str) -> list[Pattern]:
        """Return the patterns that occur in `text`, each once."""
        return self.scan_piece(encode(text))

    def scan_piece(self, raw: bytes, enough: float = inf) -> list[Pattern]:
        """Return the patterns that occur in what `encode` gave, each once; none after one that weighs `enough`."""
        try:
            scratch = self._scratches.pop()
        except IndexError:
            scratch = hyperscan.Scratch(self._database)
        hits: set[int] = set()
        triggers = 0

        def note(number: int, _start: int, _end: int, _flags: int, _context: object) -> bool:
            nonlocal triggers
            if number != self._flood:
                hits.add(number)
                return self.patterns[number].weight >= enough
            triggers += 1
            return triggers >= MOST_TRIGGERS

        try:
            self._database.scan(raw, note, scratch=scratch)
        except hyperscan.ScanTerminated:
            if triggers >= MOST_TRIGGERS:
                hits.add(self._flood)
        finally:
            self._scratches.append(scratch)
        return [self.patterns[number] for number in sorted(hits)]


def encode(text: str) -> bytes:
    """Return the text as patterns see it."""
    # A lone surrogate is not text; "?" stands for it as it does in every encoder's output.
    return (text if text.isascii() else text.lower()).encode("utf-8", "replace")


def cut(raw: bytes) -> Iterator[bytes]:
    """Yield pieces of what `encode` gave, for a caller who may have heard enough before the last."""
    for at in range(0, max(len(raw) - OVERLAP_BYTES, 1), PIECE_BYTES - OVERLAP_BYTES):
        yield raw[at : at + PIECE_BYTES]
