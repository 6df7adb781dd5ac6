"""Cross-site scripting: text that a browser would run.

A text may land between tags, inside of one, in an address, in a string of a script or in a style; each is read for
itself, in the order of what it costs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vallum.core.reading import decode_entities
from vallum.signatures.fields import split_fields
from vallum.signatures.html import scripts
from vallum.signatures.html.tags import ADDRESSES, MOST_TAGS, RUNNING, Tag, read_address, read_tags
from vallum.signatures.patterns import Pattern, PatternSet

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["find_xss"]

_GAP = r"[\s\x00]{1,3}"
_SPREAD = "|".join(
    _GAP.join(name) for name in ("script", "form", "iframe", "object", "embed", "style", "svg", "dialog")
)
_MARKUP = re.compile(
    r"!entity\s|<!--#\s{0,4}(?:set|echo|exec|include|printenv|config|fsize|flastmod|if)\b"
    rf"|<\W{{0,3}}(?:{_SPREAD})\b|<\s{{0,4}}\w{{0,10}}\s{{0,4}}:\s{{0,4}}script\b"
    r"|<[!?](?:entity|element|attlist|doctype[^>\n]{0,200}(?:\[|system|public)|\[cdata\[|xml-stylesheet|import|xml\b)"
    r"|<!--\[if|</(?:script|style|textarea|title|xmp|noscript|template|iframe|svg|math)\b"
    r"|\+adw-|\xbc\w{1,20}\xbe|\xbc/?(?:script|img|svg|iframe|body|object|embed|\w{1,10}\s)[^\xbe]{0,200}\xbe",
    re.IGNORECASE,
)
_CSS_ESCAPE = re.compile(r"\\0{0,4}([0-9a-f]{2})\s?", re.IGNORECASE)
_CAPITAL = re.compile("&(?:tab|newline);")  # which HTML writes with a capital, and some parsers without
_COMMENT = re.compile(r"/\*[^*]{0,200}\*{1,9}/|<!--[^-]{0,200}-->")
_LONGEST_ALONE = 2000

_LETTERS = r"[\x00-\x20&;\xad\xc2\xe2\x80\x8b]{0,8}"
_CUES = PatternSet(
    Pattern(f"cue.{number}", 1.0, expression)
    for number, expression in enumerate(
        (
            r"<[\x00-\x20]{0,4}[a-z!?/$%]|<\W{1,9}\w",
            r"on[a-z]{3,40}[\s\x00/]*=|formaction|srcdoc|xlink",
            _LETTERS.join("script") + r"[\x00-\x20]*[:&]|\bdata\s*:|livescript|mocha:",
            r"\b(?:alert|confirm|prompt|print|eval|settimeout|setinterval|setimmediate|execscript|function|fetch|import"
            r"|importscripts|atob|btoa|unescape|decodeuri\w*|fromcharcode|image|xmlhttprequest|websocket"
            r"|requestanimationframe|reflect|array|sendbeacon|open|throw|location|constructor|getscript|globaleval|get|post)"
            r"(?:['\"`]\])?\s*(?:[(`=]|\?\.|\.)",
            r"\b(?:document|window|location|localstorage|sessionstorage|globalthis|frames)\b|__proto__|constructor|html\s*\+?="
            r"|adjacenthtml|\b(?:top|self|parent|this)\s*\[|\]\s*\.",
            r"['\"]\s*in|!\[\]|\[\]|\[!|[()+!\[\] ]{20}",
            r"\{\{|\$\{|<%|#\{|\[\[",
            r"expression|-moz-|behaviou?r|@import|url\(|@charset|-o-link|\\0{0,4}[0-9a-f]{2}",
            r"!entity|\+adw-|\xc2\xbc|&(?:#|[a-z]+;)|/\*|<!--",
        )
    )
)
"""What runs holds one of these: single words and signs, so that joining texts hides none."""


def is_cued(text: str) -> bool:
    """Say whether a text, or any line of it, could hold something that runs: cheap, and sure of its no."""
    return bool(_CUES.scan(text))


def find_xss(text: str) -> str | None:
    """Return the name of what was found in a decoded text, or None."""
    if not is_cued(text):
        return None
    text = text.replace("\x00", "")
    for field in split_fields(text):
        if name := _find(field):
            return name
    return None


def _find(text: str) -> str | None:
    if "<" in text and (name := _find_tag(text)):
        return name
    if _MARKUP.search(text):
        return "markup"
    for reading in _read(text):
        if name := _find_code(reading):
            return name
    return None


def _find_tag(text: str) -> str | None:
    count = 0
    for tag in read_tags(text):
        if name := _judge(tag):
            return name
        count += 1
    return "tag.flood" if count == MOST_TAGS else None


def _judge(tag: Tag) -> str | None:
    local = tag.name.rpartition(":")[2]
    if tag.name in RUNNING or local in RUNNING or tag.name.startswith("script"):
        return "tag." + ("script" if "script" in tag.name else "running")
    for name, value in tag.attributes:
        if scripts.ANY_HANDLER.match(name.rpartition(":")[2]):
            return "tag.handler"
        if name.startswith("xsi:") or name == "srcdoc":
            return "tag.srcdoc"
        if (name in ADDRESSES or ":" in name) and scripts.SCHEME.match(read_address(value)):
            return "tag.address"
        if name == "style" and _is_live(value):
            return "tag.style"
    return None


def _is_live(style: str) -> bool:
    return any(scripts.STYLE.search(reading) for reading in _read(read_address(style)))


def _read(text: str) -> Iterator[str]:
    """Yield the text, then without comments and with the escapes of CSS decoded."""
    yield text
    plain = text
    if "&" in text:
        plain = decode_entities(_CAPITAL.sub(lambda match: match[0].title(), plain)).replace("\t", "").replace("\n", "")
    if "/*" in text or "<!--" in text:
        plain = _COMMENT.sub("", plain)
    if "\\" in plain:
        plain = _CSS_ESCAPE.sub(lambda match: chr(int(match[1], 16)), plain)
    if plain != text:
        yield plain


def _find_code(text: str) -> str | None:
    if "=" in text and scripts.HANDLER.search(text):
        return "attribute.handler"
    if ":" in text and scripts.CODE_ADDRESS.search(text):
        return "address.code"
    if ":" in text and scripts.DATA_ADDRESS.search(text):
        return "address.data"
    if scripts.PLACE.search(text):
        return "script.place"
    if ("(" in text or "`" in text or "=" in text) and (
        scripts.BREAKOUT.search(text) or (len(text) <= _LONGEST_ALONE and scripts.ALONE.match(text))
    ):
        return "script.call"
    if "[" in text and scripts.SIGNS.search(text):
        return "script.signs"
    if ("{" in text or "[[" in text or "<%" in text) and scripts.TEMPLATE.search(text):
        return "template"
    if scripts.STYLE.search(text):
        return "style"
    return None
