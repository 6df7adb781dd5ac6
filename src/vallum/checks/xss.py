"""Refuse text that a browser would run.

What it stops
    Tags that run or load (`script`, `iframe`, `svg`), event handlers, addresses that are code (`javascript:`,
    `data:text/html`), `srcdoc`, live styles, breaking out of an attribute or of a script's quotes, template
    expressions, and JavaScript that reaches for the page, under every encoding that a reading undoes.
Config
    `prompts: skip | search`: whether what is said to the model is searched as well; the format of the route tells which
    strings that are.  `mode: enforce | shadow`.
Cost
    About 0.1 ms for twenty strings of usual metadata, 1 kB together, which `sqli` then reads no second time; a
    string with markup or code costs 10 to 50 us more.  Linear: a megabyte of one thing repeated takes at most 0.5
    s, of odd text some seconds.
Misses
    Text that is harmless as it stands and runs only where a page puts it together with its own (`x.y`, a lone `-->`
    in the middle of a text); code without a call, an assignment or a name of the page's; handlers that browsers do
    not have yet, where no tag shows; styles that leak without running.  HTML that runs nothing (`<b>`, `<a
    href="https:">`, `<form>`) passes: `sanitize` strips it.  With `prompts: skip`, all that the format of the route
    gives to the model.  Headers and the path: a web ACL looks at those.  What is found and what is not is measured
    in docs/waf_detection.md.  Escape what you show; this is a second fence.
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
