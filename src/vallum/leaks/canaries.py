"""Find strings that must never be said: markers that you have put into a system prompt, a template or a document.

What it stops
    An answer that repeats the operator's instructions: a marker that only these contain is in it, as it is, in other
    case, with anything between its letters, reversed, under rot13, in hexadecimal or base64.  In streams too, however
    they are cut.
Config
    `strings`: the markers, each with at least 8 letters or digits, best as `${ENV}`.  `action`, `mode`.
Cost
    About 2 us for an answer of 1 kB, about 1.5 us for a piece of a stream; with ten markers three times that.
Misses
    A prompt that is told in other words, translated, or without the marker (see `prompt`).  Other ciphers and codes,
    a code of a part, a marker split over two members of an answer.
Example
    response:
      leaks:
        - {type: canaries, strings: ["${PROMPT_CANARY}"], action: refuse}
"""

from __future__ import annotations

import re
from base64 import b64encode
from codecs import encode as recode
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec
from msgspec import Meta

from vallum.core.leaks import Leak, Scan
from vallum.core.policy import LeakAction, Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vallum.core.content import Content

SHORTEST = 8
SIGNS = bytes(code for code in range(128) if not chr(code).isalnum())
OTHER = re.compile(r"[\W_]+")


class CanariesConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="canaries", kw_only=True
):
    """Strings that must never be said."""

    strings: Annotated[
        list[Annotated[str, Meta(max_length=200)]], Meta(min_length=1, max_length=50, description="the markers")
    ]
    action: Annotated[LeakAction, Meta(description="redact: replace it; refuse: withhold the answer")] = (
        LeakAction.REDACT
    )
    mode: Annotated[Mode, Meta(description="shadow: record what would be replaced or refused")] = Mode.ENFORCE

    def __post_init__(self) -> None:
        """Hold that no marker is so short that honest answers contain it."""
        for place, marker in enumerate(self.strings):
            if len(squash(marker)) < SHORTEST:
                raise ValueError(f"strings[{place}] has fewer than {SHORTEST} letters or digits")


def squash(text: str) -> str:
    """Return the letters and digits of a text, in lower case: one for each that there is."""
    if text.isascii():  # ten times faster
        return text.lower().encode().translate(None, SIGNS).decode()
    return OTHER.sub("", text.lower())


def guises(marker: str) -> Iterator[str]:
    """Yield every form of a marker that is looked for, squashed."""
    raw = marker.encode()
    for form in (marker, marker[::-1], recode(marker, "rot13"), raw.hex()):
        yield squash(form)
    for before in range(3):  # base64 of a text that it stands in: what does not depend on its neighbours
        digits = b64encode(b"\0" * before + raw).decode().rstrip("=")
        yield squash(digits[(0, 2, 3)[before] : len(digits) - ((len(raw) + before) % 3 > 0)])


class Canaries:
    """Looks for markers."""

    type: ClassVar[str] = "canaries"

    def __init__(self, config: CanariesConfig) -> None:
        """Make every guise of every marker, and the beginnings of them."""
        self._guises = {
            guise: f"strings[{place}]"
            for place, marker in enumerate(config.strings)
            for guise in guises(marker)
            if len(guise) >= SHORTEST
        }
        self._beginnings = frozenset(guise[:length] for guise in self._guises for length in range(1, len(guise)))
        self._longest = max(map(len, self._guises))

    def watch(self, _content: Content | None) -> Callable[[str, bool], Scan]:
        """Return what looks at an answer."""
        return self.scan

    def scan(self, text: str, ended: bool) -> Scan:
        """Find every marker; hold what could be the beginning of one."""
        said = squash(text)
        hits = [(guise, rule) for guise, rule in self._guises.items() if guise in said]
        leaks = [leak for guise, rule in hits for leak in _find(text, said, guise, rule)]
        size = len(text)
        if ended or not said:
            return Scan(leaks, size)
        for length in range(min(self._longest - 1, len(said)), 0, -1):
            if said[-length:] in self._beginnings:
                return Scan(leaks, _nth_last(text, length))
        return Scan(leaks, size)


def _find(text: str, said: str, guise: str, rule: str) -> Iterator[Leak]:
    """Yield where a guise stands in the text, with all that is between its letters."""
    places = [place for place, sign in enumerate(text) if sign.isalnum()]
    at = said.find(guise)
    while at >= 0:
        yield Leak(places[at], places[at + len(guise) - 1] + 1, rule)
        at = said.find(guise, at + len(guise))


def _nth_last(text: str, number: int) -> int:
    """Return where the last `number` letters and digits of a text begin."""
    for place in range(len(text) - 1, -1, -1):
        if text[place].isalnum():
            number -= 1
            if not number:
                return place
    return 0
