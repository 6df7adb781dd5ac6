"""Refuse text that breaks out of an SQL statement.

What it stops
    Tautologies, stacked statements, UNION queries, time and error probes, comment cut-offs and calls of the functions
    that read files, run commands or list a schema, in any case and spacing, split by comments, and under every
    encoding that a reading undoes.
Config
    `transforms`: readings this route counts on (`url_decode`, `html_decode`, `base64_decode`, `unicode_normalise`);
    all of them are always looked at.  `mode: enforce | shadow`.
Cost
    One pass of Hyperscan for each reading: about 7 us for 1 kB on one line, 15 us on several, which have two readings.
Misses
    A bare word that is only dangerous in one query (`1`, `admin`, `id desc`), second-order injection, a lone quote, and
    injection into ORDER BY or identifiers that needs no quote or operator.  A well-formed statement passes, so that
    questions about SQL do.  A mere piece of SQL (`abs(`) counts only where it fills a whole value.  The patterns were
    tuned on the rule set they are measured with: expect less elsewhere.  Parameterise queries; this is a second fence.
Example
    checks:
      - {type: sqli, transforms: [url_decode]}
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from vallum.signatures.patterns import MOST_PLACES, PatternSet
from vallum.signatures.sql.pieces import LONGEST_WHOLE, SQL, WHOLE
from vallum.core.decision import Finding
from vallum.core.policy import Mode
from vallum.core.reading import Reading, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vallum.core.content import Content


class SqliConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="sqli", kw_only=True):
    """Which readings a route counts on; every reading is looked at whatever stands here."""

    mode: Annotated[Mode, Meta(description="shadow: record what would be refused")] = Mode.ENFORCE
    transforms: Annotated[
        list[Literal["url_decode", "html_decode", "base64_decode", "unicode_normalise"]],
        Meta(description="readings that must be looked at; all always are"),
    ] = []


# Bounded: a text full of openings and without an end must cost no more than its length.
_COMMENT = re.compile(r"/\*[^*]{0,200}\*{1,9}/")
_MARKERS = re.compile(r"/\*!?\d{0,6}|\*/")

# Joined lines bring together what a line's end held apart: two statements of a script are no stacked query.
_BLIND_TO_LINES = frozenset(("stacked.verb", "probe.time", "taut.quote"))


class Sqli:
    """The check; pure and reentrant."""

    type: ClassVar[str] = "sqli"

    def __init__(self, config: SqliConfig) -> None:
        """Compile the patterns."""
        self.config = config
        self._parts = PatternSet(pattern for pattern in SQL if not pattern.name.startswith(WHOLE))
        self._wholes = PatternSet(pattern for pattern in SQL if pattern.name.startswith(WHOLE))

    def inspect(self, content: Content) -> Finding | None:
        """Return the first reading with a hit; what must fill a value is asked of short values alone."""
        for reading in content.readings:
            if names := _names(self._parts, reading):
                return self._found(content, names, reading)
        # Of strings of one line each, every line is a whole value.
        lines = [text for text in (*content.values, *content.keys) if _is_short(text)]
        if not lines:
            return None
        text = "\n".join(lines)
        for reading in content.readings if text == content.text else read(text):
            if names := _names(self._wholes, reading):
                return self._found(content, names, reading)
        return None

    def _found(self, content: Content, names: list[str], reading: Reading) -> Finding:
        where = ""
        if len(content.values) + len(content.keys) <= MOST_PLACES:
            where = content.locate(self._holds)
        return Finding(rule=self.type, where=where, detail=f"{','.join(names)} in {reading.how}")

    def _holds(self, value: str) -> bool:
        sets = (self._parts, self._wholes) if _is_short(value) else (self._parts,)
        return any(_names(patterns, reading) for reading in read(value) for patterns in sets)


def _names(patterns: PatternSet, reading: Reading) -> list[str]:
    if reading.how.endswith("joined") and patterns.patterns[0].name.startswith(WHOLE):
        return []
    names = [hit.name for text in _uncommented(reading.text) for hit in patterns.scan(text)]
    if names and reading.how.endswith("joined"):
        return [name for name in names if name not in _BLIND_TO_LINES]
    return names


def _is_short(text: str) -> bool:
    return len(text) <= LONGEST_WHOLE and "\n" not in text.strip()


def _uncommented(text: str) -> Iterator[str]:
    """Yield the text, then without its SQL comments: each in turn a space, nothing, and what it holds."""
    yield text
    if "/*" in text:
        yield _COMMENT.sub(" ", text)
        yield _COMMENT.sub("", text)
        yield _MARKERS.sub(" ", text)
