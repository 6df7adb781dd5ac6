"""Refuse text that breaks out of an SQL statement.

What it stops
    Tautologies, stacked statements, UNION queries, time and error probes, comment cut-offs and calls of the functions
    that read files, run commands or list a schema, in any case and spacing, split by comments, and under every
    encoding that a reading undoes.
Config
    `transforms`: readings this route counts on (`url_decode`, `html_decode`, `base64_decode`, `unicode_normalise`);
    all of them are always looked at.  `prompts: skip | search`: whether what is said to the model is searched as well;
    the format of the route tells which strings that are.  `mode: enforce | shadow`.
Cost
    About 30 us for 1 kB of prose in one string, 0.1 ms for twenty strings of usual metadata, 1 kB together; a string
    that begins, or goes on after a quote, as SQL does costs 5 to 20 us more, one of 1 kB 90 us.
    Linear: a megabyte of one thing repeated takes at most 0.7 s, of odd text some seconds.
Misses
    A bare word that is only dangerous in one query (`1`, `admin`, `id desc`), second-order injection, a lone quote,
    a stored procedure's call by name (`execute report`), and injection into ORDER BY or identifiers that needs no
    quote or operator.  A well-formed statement passes.  A mere piece of SQL (`abs(`) counts only where it fills a
    whole value, and some honest values are such: a band called Drop Table Records, `1=1`.  With `prompts: skip`,
    all that the format of the route gives to the model, names and definitions of tools among it.  Headers and the
    path: a web ACL looks at those.  What is found and what is not is measured in docs/waf_detection.md.
    Parameterise queries; this is a second fence.
Example
    checks:
      - {type: sqli, transforms: [url_decode]}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from vallum.core.decision import Finding
from vallum.core.policy import Mode
from vallum.core.reading import Reading, read
from vallum.signatures.search import Detector, Search
from vallum.signatures.sql import find_pieces, find_sqli, find_takeover, find_whole, is_cued, join_short

if TYPE_CHECKING:
    from vallum.core.content import Content


class SqliConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="sqli", kw_only=True):
    """Which readings a route counts on, and whose words are searched; every reading is looked at in any case."""

    mode: Annotated[Mode, Meta(description="shadow: record what would be refused")] = Mode.ENFORCE
    transforms: Annotated[
        list[Literal["url_decode", "html_decode", "base64_decode", "unicode_normalise"]],
        Meta(description="readings that must be looked at; all always are"),
    ] = []
    prompts: Annotated[
        Literal["skip", "search"], Meta(description="what is said to the model: it may well be about SQL")
    ] = "skip"


class Sqli:
    """The check; pure and reentrant."""

    type: ClassVar[str] = "sqli"

    def __init__(self, config: SqliConfig) -> None:
        """Keep what was configured."""
        self.config = config
        self._search = Search(self.type, Detector(is_cued, find_takeover), prompts=config.prompts == "search")

    def inspect(self, content: Content) -> Finding | None:
        """Return the first string that takes a statement over, or else that holds what belongs to attacks alone."""
        if finding := self._search.inspect(content):
            return finding
        readings = self._search.readings(content)
        for reading in readings:
            if name := find_pieces(reading.text, joined=reading.how.endswith("joined")):
                return self._found(content, name, reading)
        strings = self._search.strings(content)
        lines = join_short(strings)  # of strings of one line each, every line is a whole value
        for reading in readings if len(lines) == len(readings[0].text) else read(lines):
            if not reading.how.endswith("joined") and (name := find_whole(reading.text)):
                return self._found(content, name, reading)
        return None

    def _found(self, content: Content, name: str, reading: Reading) -> Finding:
        return self._search.found(content, f"{name} in {reading.how}", _holds)


def _holds(text: str) -> bool:
    return any(find_sqli(reading.text) for reading in read(text))
