"""Clean the strings that are passed on: HTML tags out, Unicode in one form, lengths capped.

What it stops
    Markup that runs in whoever displays an answer, look-alike and invisible characters, texts that grow when they are
    normalised, texts too long.
Config
    `request.sanitize`: `html: strip | keep`, `unicode: NFKC | NFC | keep`, `invisible: remove | refuse | keep`, and for
    each string after cleaning `max_chars` and `max_tokens`, which is an estimate that lies above what tokenizers count.
Cost
    A string without `<` and of ASCII alone costs well under 1 us; one with tags about 10 us a KB.
Misses
    Instructions in plain words: that is what the checks are for, which look before anything is cleaned.  Marks on one
    letter beyond 30, which no language needs, go where Unicode is put in one form.
Example
    request:
      sanitize: {html: strip, unicode: NFKC, max_chars: 5000}

Honest text arrives unchanged: only tags of HTML's elements, and of any other that carries an event handler, are
removed, so `1 < 2 && x > y`, `AT&T`, `vector<int>` and `&amp;` stay as they are.
"""

from __future__ import annotations

import html
import re
import sys
import unicodedata
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec
import nh3
from msgspec import Meta

from vallum.checks.invisible import ASCII_CONTROL, remove_invisible
from vallum.core.content import escape_pointer
from vallum.core.decision import Finding
from vallum.core.lookalikes import bound_marks
from vallum.core.text import tokens_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.content import Content

# Elements that load, run or post something: a tag from their bare name on.
LIVE = (
    "animate animatetransform applet audio base bgsound body embed foreignobject form frame frameset html iframe image"
    " img input isindex keygen link marquee math meta noscript object param picture plaintext portal script set slot"
    " source style svg template textarea title track use video xmp xss"
).split()
# The other elements of HTML, past and present: a tag if it is closed at once or has an attribute, so that
# `a<b && c>d` and `x<time and y>3` are the comparisons they look like.
QUIET = (
    "a abbr acronym address area article aside b basefont bdi bdo big blink blockquote br button canvas caption center"
    " cite code col colgroup command content data datalist dd del details dfn dialog dir div dl dt element em fieldset"
    " figcaption figure font footer h1 h2 h3 h4 h5 h6 head header hgroup hr i ins kbd label layer legend li listing"
    " main map mark menu menuitem meter multicol nav nextid nobr noembed noframes ol optgroup option output p pre"
    " progress q rb rp rt rtc ruby s samp search section select shadow small spacer span strike strong sub summary sup"
    " table tbody td tfoot th thead time tr tt u ul var wbr"
).split()
TAG = re.compile(
    rf"<(?:/?(?:{'|'.join(sorted(LIVE, key=len, reverse=True))})(?=[\s/>]|$)"
    rf"|/?(?:{'|'.join(sorted(QUIET, key=len, reverse=True))})"
    r"(?=\s{0,64}/?>|[\s/][^<>]{0,512}?[a-z-]\s{0,8}=[^=])"
    r"|[!?](?:--|doctype|\[cdata\[|xml)"  # a comment, a declaration
    r"|/?[a-z][^<>\s/]{0,64}[\s/][^<>]{0,512}?\bon[a-z]{3,32}\s{0,8}=)",  # any element with an event handler
    re.IGNORECASE,
)
RUNNING = re.compile(r"\bon[a-z]{3,32}[\s/]*=|(?:java|vb)script\s*:|data\s*:\s*text/html", re.IGNORECASE)
# A plain tag is taken out by itself: a tree of all tags, as a parser builds it, is dear where they nest.
WHOLE_TAG = re.compile(
    rf"</?(?:{'|'.join(sorted(QUIET, key=len, reverse=True))})(?:\s{{1,8}}[a-z-]+=[^<>]*)?\s{{0,8}}/?>", re.IGNORECASE
)
TAGS_MAX = 200  # what is left to the parser: scripts, comments, tags that are not whole
LONG_CHARS = 65_536  # beyond which a text is given one round: honest markup needs no more
ROUNDS = 8  # removing a tag can join its neighbours into another: `<scr<b></b>ipt>`


class SanitiseConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How strings are cleaned before they are passed on."""

    html: Annotated[Literal["strip", "keep"], Meta(description="strip: remove tags, scripts and comments")] = "keep"
    invisible: Annotated[
        Literal["remove", "refuse", "keep"],
        Meta(description="controls, tags, overrides of direction, and joiners where no script or emoji needs them"),
    ] = "keep"
    unicode: Annotated[Literal["NFKC", "NFC", "keep"], Meta(description="the one form to bring text into")] = "keep"
    max_chars: Annotated[int, Meta(ge=1, description="length of each string once cleaned")] | None = None
    max_tokens: (
        Annotated[int, Meta(ge=1, description="tokens of each string once cleaned, estimated from above")] | None
    ) = None


class Sanitise:
    """Cleans every string of a document, keys left as they are."""

    type: ClassVar[str] = "sanitise"

    def __init__(self, config: SanitiseConfig) -> None:
        """Build the steps that `config` asks for."""
        self._max_chars, self._max_tokens = config.max_chars, config.max_tokens
        self._least = min(config.max_chars or sys.maxsize, config.max_tokens or sys.maxsize)
        self._looks, self._refuses = config.invisible != "keep", config.invisible == "refuse"
        self._steps: list[Callable[[str], str]] = []
        if self._looks:  # before Unicode, which makes fillers of others
            self._steps.append(remove_invisible)
        form = config.unicode
        if form != "keep":
            self._steps.append(lambda text: text if text.isascii() else unicodedata.normalize(form, bound_marks(text)))
        if config.html == "strip":  # after Unicode, in which a full-width `<` becomes a plain one
            self._steps.extend([strip_tags, *self._steps])  # and before: a tag can part a letter from its accent

    def clean(self, content: Content) -> Any | Finding:
        """Return the cleaned document, the same object if nothing changed, or a finding for a string over the cap."""
        text = content.text
        plain = text.isascii() and "<" not in text and not (self._looks and ASCII_CONTROL.search(text))
        if plain and len(text) <= self._least:
            return content.document  # no step could change a letter of it
        return self._clean(content.document, "", content.aside)

    def _clean(self, item: Any, where: str, aside: frozenset[int]) -> Any | Finding:
        kind = type(item)
        if kind is str:
            return item if id(item) in aside else self._clean_text(item, where)  # aside: data, and no text
        pairs: Any
        if kind is dict:
            pairs = item.items()
        elif kind is list:
            pairs = enumerate(item)
        else:
            return item
        changed: dict[Any, Any] = {}
        for key, value in pairs:
            cleaned = self._clean(value, f"{where}/{escape_pointer(str(key))}", aside)
            if isinstance(cleaned, Finding):
                return cleaned
            if cleaned is not value:
                changed[key] = cleaned
        if not changed:
            return item
        if kind is dict:
            return {**item, **changed}
        return [changed.get(index, value) for index, value in enumerate(item)]

    def _clean_text(self, text: str, where: str) -> str | Finding:
        if self._refuses and remove_invisible(text) != text:
            return Finding("invisible", where, "characters that nobody sees, where nothing needs them")
        cleaned = text
        for step in self._steps:
            cleaned = step(cleaned)
        if self._max_chars is not None and len(cleaned) > self._max_chars:
            return Finding("max_chars", where, f"over {self._max_chars} characters once cleaned")
        if self._max_tokens is not None and tokens_of(cleaned) > self._max_tokens:
            return Finding("max_tokens", where, f"over {self._max_tokens} tokens once cleaned, estimated")
        return text if cleaned == text else cleaned


def strip_tags(text: str) -> str:
    """Remove tags, comments, and scripts and styles with what they hold; leave all other text as it is."""
    if "<" not in text:
        return text
    text = WHOLE_TAG.sub("", text)
    for _ in range(ROUNDS if len(text) <= LONG_CHARS else 1):
        starts = {match.start() for match in TAG.finditer(text)}
        if not starts or len(starts) > TAGS_MAX:
            break
        text = _strip_once(text, starts)
    if TAG.search(text) or _runs(text):  # nested or stretched beyond anything honest
        return text.replace("<", "")
    return text


def _runs(text: str) -> bool:
    """Say whether a browser would find code in what is left, however its tag is quoted or stretched."""
    if "<" not in text or not RUNNING.search(text):
        return False
    reader = _Reader()
    reader.feed(text + ">")
    reader.close()
    return reader.runs


class _Reader(HTMLParser):
    """Reads text as markup and notes whether a tag of it would run something."""

    runs = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.runs = self.runs or any(name.startswith("on") or RUNNING.search(value or "") for name, value in attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)


def _strip_once(text: str, starts: set[int]) -> str:
    # Shield what is text: every ampersand, and every `<` that starts no tag.  nh3 then sees markup alone, and what it
    # escapes on the way out is undone exactly once.
    shielded = "".join(
        "&amp;" if sign == "&" else "&lt;" if sign == "<" and at not in starts else sign for at, sign in enumerate(text)
    )
    return html.unescape(nh3.clean(shielded, tags=set(), clean_content_tags={"script", "style"}))
