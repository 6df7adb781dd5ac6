"""Cross-site scripting: text that a browser would run.

A text may land between tags, inside of one, in an address, in a string of a script or in a style; each is read for
itself, in the order of what it costs.
"""

from __future__ import annotations

import re

from vallum.core.reading import decode_entities
from vallum.signatures.fields import split_fields
from vallum.signatures.html import scripts
from vallum.signatures.html.tags import ADDRESSES, MOST_TAGS, RUNNING, Tag, read_address, read_tags
from vallum.signatures.patterns import Pattern, PatternSet

__all__ = ["find_xss"]

_GAP = r"[\s\x00]{1,3}"
_SPREAD = "|".join(
    _GAP.join(name) for name in ("script", "form", "iframe", "object", "embed", "style", "svg", "dialog")
)
_MARKUP = re.compile(
    r"\A-->|!entity\s|<!--#\s{0,4}(?:set|echo|exec|include|printenv|config|fsize|flastmod|if)\b"
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
_CUES = PatternSet((
    Pattern("tag", 1.0, r"<[\x00-\x20]{0,4}[a-z!?/$%]|<\W{1,9}[a-z]|-->|!entity|\+adw-|\xc2\xbc"),
    Pattern("handler", 1.0, r"on[a-z]{3,40}[\s\x00/]*=|formaction|srcdoc|xlink"),
    Pattern("address", 1.0, _LETTERS.join("script") + r"[\x00-\x20]*[:&]|\bdata\s*:|livescript|mocha:"),
    Pattern(
        "call",
        1.0,
        r"\b(?:alert|confirm|prompt|print|eval|settimeout|setinterval|setimmediate|execscript|function|fetch|import"
        r"|importscripts|atob|btoa|unescape|decodeuri\w*|fromcharcode|image|xmlhttprequest|websocket|write(?:ln)?"
        r"|requestanimationframe|reflect|array|sendbeacon|open|throw|location|constructor|getscript|globaleval|get|post)"
        r"(?:['\"`]\])?\s*(?:[(`=]|\?\.|\.)",
    ),
    Pattern(
        "place",
        1.0,
        r"\b(?:document|window|location|localstorage|sessionstorage|globalthis|frames)\b|__proto__|constructor"
        r"|html\s*\+?=|adjacenthtml|\b(?:top|self|parent|this)\s*\[|\]\s*\.|['\"]\s*(?:in|\(\s*function)|onerror|srcdoc|eval|import"
        r"|fromcharcode",
    ),
    Pattern("signs", 1.0, r"!\[\]|\[\]|\[!|[()+!\[\] ]{20}"),
    Pattern("template", 1.0, r"\{\{|\$\{|<%|#\{|\[\["),
    Pattern("style", 1.0, r"e\s*x\s*p\s*r\s*e\s*s|-moz-|behaviou?r|@import|url\(|@charset|-o-link"),
    Pattern("hidden", 1.0, r"\\0{0,4}[0-9a-f]{2}|&(?:#|[a-z]+;)|/\*|<!--"),
))  # fmt: skip
"""What runs holds one of these: single words and signs, so that joining texts hides none."""


def is_cued(text: str) -> bool:
    """Say whether a text, or any line of it, could hold something that runs: cheap, and sure of its no."""
    return bool(_CUES.scan(text))


def find_xss(text: str) -> str | None:
    """Return the name of what was found in a decoded text, or None."""
    text = text.replace("\x00", "")
    for field in split_fields(text):
        if name := _find(field):
            return name
    return None


def _find(text: str) -> str | None:
    cues = {hit.name for hit in _CUES.scan(text)}
    if not cues:
        return None
    if "tag" in cues:
        if name := _find_tag(text):
            return name
        if _MARKUP.search(text):
            return "markup"
    if name := _find_code(text, cues):
        return name
    if "hidden" in cues and (plain := _uncover(text)) != text:
        return _find_code(plain, {hit.name for hit in _CUES.scan(plain)})
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
        if name == "style" and _is_live(read_address(value)):
            return "tag.style"
    return None


def _is_live(style: str) -> bool:
    return bool(scripts.STYLE.search(style) or scripts.STYLE.search(_uncover(style)))


def _uncover(text: str) -> str:
    """Return a text without comments, and with entities and the escapes of CSS decoded."""
    if "&" in text:
        text = decode_entities(_CAPITAL.sub(lambda match: match[0].title(), text)).replace("\t", "").replace("\n", "")
    if "/*" in text or "<!--" in text:
        text = _COMMENT.sub("", text)
    if "\\" in text:
        text = _CSS_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    return text


def _find_code(text: str, cues: set[str]) -> str | None:
    for cue, name, pattern in _CODE:
        if cue in cues and pattern.search(text):
            return name
    if "call" in cues and len(text) <= _LONGEST_ALONE and scripts.ALONE.match(text):
        return "script.call"
    return None


_CODE = (
    ("handler", "attribute.handler", scripts.HANDLER),
    ("address", "address.code", scripts.CODE_ADDRESS),
    ("address", "address.data", scripts.DATA_ADDRESS),
    ("place", "script.place", scripts.PLACE),
    ("call", "script.call", scripts.BREAKOUT),
    ("signs", "script.signs", scripts.SIGNS),
    ("template", "template", scripts.TEMPLATE),
    ("style", "style", scripts.STYLE),
)
