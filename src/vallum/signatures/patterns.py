"""Many patterns in one linear pass: a compiled set that checks share.

Hyperscan does not backtrack: time is linear in the text whatever the patterns, and whatever the text.
"""

from __future__ import annotations

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
        scratch = self._take()
        try:
            return [self.patterns[number] for number in sorted(self._scan_piece(_encode(text), scratch))]
        finally:
            self._scratches.append(scratch)

    def scan_pieces(self, text: str) -> Iterator[list[Pattern]]:
        """Yield the patterns that occur in each piece of `text`, for a caller who may have heard enough."""
        return self._scan(_cut(_encode(text)))

    def _scan(self, pieces: Iterable[bytes]) -> Iterator[list[Pattern]]:
        scratch = self._take()
        try:
            for piece in pieces:
                yield [self.patterns[number] for number in sorted(self._scan_piece(piece, scratch))]
        finally:
            self._scratches.append(scratch)

    def _take(self) -> hyperscan.Scratch:
        try:
            return self._scratches.pop()
        except IndexError:
            return hyperscan.Scratch(self._database)

    def _scan_piece(self, raw: bytes, scratch: hyperscan.Scratch) -> set[int]:
        hits: set[int] = set()
        if self._flood < 0:
            self._database.scan(raw, lambda number, *_: hits.add(number), scratch=scratch)
            return hits
        triggers = 0

        def note(number: int, _start: int, _end: int, _flags: int, _context: object) -> bool:
            nonlocal triggers
            if number != self._flood:
                hits.add(number)
                return False
            triggers += 1
            return triggers >= MOST_TRIGGERS

        try:
            self._database.scan(raw, note, scratch=scratch)
        except hyperscan.ScanTerminated:
            hits.add(self._flood)
        return hits


def _encode(text: str) -> bytes:
    # A lone surrogate is not text; "?" stands for it as it does in every encoder's output.
    return (text if text.isascii() else text.lower()).encode("utf-8", "replace")


def _cut(raw: bytes) -> Iterator[bytes]:
    for at in range(0, max(len(raw) - OVERLAP_BYTES, 1), PIECE_BYTES - OVERLAP_BYTES):
        yield raw[at : at + PIECE_BYTES]
