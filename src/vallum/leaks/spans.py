"""Many patterns in one linear pass that says where each begins and ends.

Hyperscan does not backtrack: time is linear in the text, whoever wrote the pattern.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import hyperscan

from vallum.signatures.databases import compile_database

if TYPE_CHECKING:
    from collections.abc import Iterable


class Span(NamedTuple):
    """Where a pattern stands in a text, in characters."""

    start: int
    end: int
    number: int


class SpanSet:
    """A compiled set."""

    def __init__(self, expressions: Iterable[str]) -> None:
        """Compile; raise ValueError on an expression that Hyperscan does not take."""
        self._expressions = tuple(expression.encode() for expression in expressions)
        self._scratches: list[hyperscan.Scratch] = []
        if not self._expressions:  # of which Hyperscan makes no set
            return
        flags = (hyperscan.HS_FLAG_SOM_LEFTMOST,) * len(self._expressions)
        try:
            self._database = compile_database(self._expressions, flags)
        except hyperscan.error as error:
            raise ValueError(f"Hyperscan does not take this expression: {error}") from error

    def find(self, text: str) -> list[Span]:
        """Return for every place where a pattern begins its longest match, in order."""
        if not self._expressions:
            return []
        longest: dict[tuple[int, int], int] = {}

        def note(number: int, start: int, end: int, _flags: int, _context: object) -> None:
            longest[start, number] = max(end, longest.get((start, number), 0))

        data = text.encode("utf-8", "replace")
        try:  # a scan owns its scratch: list.pop and list.append are atomic, so two scans never share one
            scratch = self._scratches.pop()
        except IndexError:
            scratch = hyperscan.Scratch(self._database)
        try:
            self._database.scan(data, cast("Any", note), scratch=scratch)
        finally:
            self._scratches.append(scratch)
        if len(data) == len(text):
            return sorted([Span(start, end, number) for (start, number), end in longest.items()])
        return sorted([_in_characters(data, start, end, number) for (start, number), end in longest.items()])


def _in_characters(data: bytes, start: int, end: int, number: int) -> Span:
    before = len(data[:start].decode("utf-8", "replace"))
    return Span(before, before + len(data[start:end].decode("utf-8", "replace")), number)
