"""Refuse text that a browser would run.

What it stops
    Tags that run or load (`script`, `iframe`, `svg`), event handlers, addresses that are code (`javascript:`,
    `data:text/html`), `srcdoc`, live styles, breaking out of an attribute or of a script's quotes, template
    expressions, and JavaScript that reaches for the page, under every encoding that a reading undoes.
Config
    `prompts: skip | search`: whether what is said to the model is searched as well; the format of the route tells which
    strings that are.  `mode: enforce | shadow`.
Cost
    TODO
Misses
    TODO
Example
    checks:
      - {type: xss}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from vallum.core.policy import Mode
from vallum.signatures.html import find_xss, is_cued
from vallum.signatures.search import Detector, Search

if TYPE_CHECKING:
    from vallum.core.content import Content
    from vallum.core.decision import Finding


class XssConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="xss", kw_only=True):
    """Whose words are searched."""

    mode: Annotated[Mode, Meta(description="shadow: record what would be refused")] = Mode.ENFORCE
    prompts: Annotated[
        Literal["skip", "search"], Meta(description="what is said to the model: it may well be about HTML")
    ] = "skip"


class Xss:
    """The check; pure and reentrant."""

    type: ClassVar[str] = "xss"

    def __init__(self, config: XssConfig) -> None:
        """Keep what was configured."""
        self.config = config
        self._search = Search(self.type, Detector(is_cued, find_xss), prompts=config.prompts == "search")

    def inspect(self, content: Content) -> Finding | None:
        """Return the first string that a browser would run."""
        return self._search.inspect(content)
