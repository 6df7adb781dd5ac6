"""Match text that a browser would run.

What it stops
    What the detector of cross-site scripting knows: script tags, event handlers, addresses that run code.
Config
    `field`, `transforms`, `oversize`.
Cost
    A few microseconds for a short value; linear.
Misses
    What the detector misses, and what an encoding hides that no transformation undoes.  On a prompt it finds every
    question about HTML: leave prompts out, `{json_body: {exclude: [/messages/*/content]}}`.
Example
    statement: {xss_match: {field: headers, transforms: [html_entity_decode]}}
"""

from __future__ import annotations

from typing import ClassVar

from vallum.signatures import find_xss
from vallum.statements.text import TextStatement


class XssMatch(TextStatement):
    """The statement; pure."""

    type: ClassVar[str] = "xss_match"

    def find(self, value: bytes) -> str | None:
        """Return what a browser would run."""
        if value.isalnum() or not value:  # a bare word runs nothing
            return None
        return find_xss(value.decode("utf-8", "replace"))
