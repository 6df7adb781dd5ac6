"""Match text that breaks out of an SQL statement.

What it stops
    What the detector of SQL injection knows: tautologies, unions, stacked statements, probes and cut-offs.
Config
    `field`, `transforms`, `oversize`; `sensitivity: low | high`, where high finds more and takes more amiss.
Cost
    A few microseconds for a short value; linear.
Misses
    What the detector misses, and what an encoding hides that no transformation undoes.  On a prompt it finds every
    question about SQL: leave prompts out, `{json_body: {exclude: [/messages/*/content]}}`.
Example
    statement: {sqli_match: {field: all_query_arguments, transforms: [url_decode]}}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from vallum.signatures import find_sqli
from vallum.statements.text import TextStatement

if TYPE_CHECKING:
    from vallum.statements.field import Field


class SqliMatch(TextStatement):
    """The statement; pure."""

    type: ClassVar[str] = "sqli_match"

    def __init__(self, field: Field, sensitivity: str) -> None:
        """Ask the detector."""
        super().__init__(field)
        self._sensitivity = sensitivity

    def find(self, value: bytes) -> str | None:
        """Return the shape of an injection."""
        if value.isalnum() or not value:  # a bare word breaks out of nothing
            return None
        return find_sqli(value.decode("utf-8", "replace"), sensitivity=self._sensitivity)
