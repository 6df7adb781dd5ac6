"""Match text that one of some regular expressions occurs in, in linear time.

What it stops
    What a pattern can tell: identifiers of a wrong form, addresses of metadata services, a scanner's probes.
Config
    `field`, `transforms`, `oversize`; `patterns`, up to ten, of which one is enough.  ASCII; `(?i)` for any letter
    case; `^` and `$` are the ends of the text.  No lookaround and no backreference: `vallum check` refuses them.
Cost
    About 1 us for a value of 1 kB, whatever the pattern: Hyperscan does not backtrack.
Misses
    What the pattern does not say, and what an encoding hides that no transformation undoes.
Example
    statement: {regex_match: {field: body, patterns: ['169\\.254\\.169\\.254'], transforms: [url_decode]}}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import hyperscan

from vallum.signatures.databases import compile_database
from vallum.statements.text import TextStatement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vallum.statements.field import Field


NOT_LINEAR = "cannot be matched in linear time; write it without"
TOLD = {
    "Zero-width": f"lookaround {NOT_LINEAR}",
    "Back-references": f"a backreference {NOT_LINEAR}",
    "empty buffer": "occurs in every text, the empty one too",
}


class Expressions:
    """A compiled set of expressions.  Safe to search from several threads."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Compile; raise ValueError that says what an expression has that cannot be had in linear time."""
        if not all(pattern.isascii() for pattern in patterns):
            raise ValueError("an expression is ASCII; write other letters as bytes: \\xc3\\xa9")
        try:
            expressions = tuple(pattern.encode() for pattern in patterns)
            self._database = compile_database(expressions, (hyperscan.HS_FLAG_SINGLEMATCH,) * len(patterns))
        except hyperscan.error as error:
            words = str(error).rstrip(".")
            raise ValueError(next((said for sign, said in TOLD.items() if sign in words), words)) from error
        # A scan owns its scratch: list.pop and list.append are atomic, so two scans never share one.
        self._scratches: list[hyperscan.Scratch] = []

    def search(self, value: bytes) -> int | None:
        """Return the number of an expression that occurs in `value`."""
        found: list[int] = []

        def note(number: int, _start: int, _end: int, _flags: int, _context: object) -> bool:
            found.append(number)
            return True

        try:
            scratch = self._scratches.pop()
        except IndexError:
            scratch = hyperscan.Scratch(self._database)
        try:
            self._database.scan(value, note, scratch=scratch)
        except hyperscan.ScanTerminated:
            pass  # by `note`: one is enough
        finally:
            self._scratches.append(scratch)
        return found[0] if found else None


class RegexMatch(TextStatement):
    """The statement; pure."""

    type: ClassVar[str] = "regex_match"

    def __init__(self, field: Field, expressions: Expressions) -> None:
        """Look for any of them."""
        super().__init__(field)
        self._search = expressions.search

    def find(self, value: bytes) -> str | None:
        """Say which expression occurs."""
        number = self._search(value)
        return None if number is None else f"patterns[{number}]"
