"""Reads a text as a browser reads markup: tags, their attributes, and the addresses and code that these hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from vallum.core.reading import decode_entities

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_TAG = 4096
"""Characters of one tag that are read for its attributes."""

MOST_TAGS = 2000
"""Tags of one text that are read: more are a finding of their own in text that is not markup."""


class Tag(NamedTuple):
    """One start tag, as lax as browsers are."""

    name: str
    attributes: list[tuple[str, str]]


# Elements that run, load or restyle by their mere presence.
RUNNING = frozenset(
    "script iframe frame frameset object embed applet base basefont bgsound link meta style svg math isindex xml import"
    " layer ilayer noscript template portal fencedframe animate animatetransform animatemotion set foreignobject handler"
    " listener xss xsl:script plaintext vmlframe include xmp noembed textarea marquee".split()
)
# Attributes that hold an address or a document.
ADDRESSES = frozenset(
    "href src action formaction data poster background lowsrc dynsrc code codebase archive cite classid content from to"
    " values by manifest longdesc profile usemap icon ping xlink:href srcset xml:base target folder".split()
)

# After `<`: a name, glued to anything but what ends it.  Controls within it are dropped, as some parsers do.
_OPEN = re.compile(r"<[\x00-\x20]{0,4}([a-z][\w:.-]{0,64})", re.IGNORECASE)
_ATTRIBUTE = re.compile(
    r"[\s/\"'`,;]*([^\s=>/\"'<][^\s=>/\"'<]{0,200})"  # a name
    r"(?:\s*=\s*(?:\"([^\"]*+)\"?|'([^']*+)'?|`([^`]*+)`?|([^\s>\"'`][^\s>]*+)))?",
)
_CONTROLS = re.compile(r"[\x00-\x20\x7f-\xa0\xad\u200b-\u200f\u2028-\u202e\ufeff]+")


def read_tags(text: str) -> Iterator[Tag]:
    """Yield the start tags of a text; each is read once, to its end or LONGEST_TAG characters."""
    at = 0
    for _ in range(MOST_TAGS):
        match = _OPEN.search(text, at)
        if match is None:
            return
        name = match[1].lower()
        attributes, at = _read_attributes(text, match.end())
        yield Tag(name, attributes)


def _read_attributes(text: str, start: int) -> tuple[list[tuple[str, str]], int]:
    attributes: list[tuple[str, str]] = []
    at = start
    end = min(len(text), start + LONGEST_TAG)
    while at < end and text[at] != ">":
        match = _ATTRIBUTE.match(text, at, end)
        if match is None:
            if text[at] == "<":
                break
            at += 1
            continue
        value = match[2] or match[3] or match[4] or match[5] or ""
        attributes.append((match[1].lower(), value))
        at = match.end()
    return attributes, at


def read_address(value: str) -> str:
    """Return an address as a browser takes it: entities decoded, and no blanks or controls in its scheme."""
    if "&" in value:
        value = decode_entities(value)
    return _CONTROLS.sub("", value[:2000]).lower()
