"""What was seen of one value over many requests: kinds, ranges, lengths, members; never the values themselves.

Rule 1: bounded.  A node keeps MEMBERS_MAX members and WORDS_MAX short words, whatever comes; past these it keeps what
        its members have in common, which is what a map from names to values is.
Rule 2: a word is proposed only if many callers sent it often: a secret is sent by one, or once.
Rule 3: what two halves of the traffic have seen is put together by `merge`, and is what the whole would have seen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

MEMBERS_MAX = 64
WORDS_MAX = 24
WORD_MAX_CHARS = 40
CALLERS_KEPT = 3  # as many as there need be to tell one from several
DEPTH_MAX = 16
NUMBER_MAX = 1e300  # room for a margin
KINDS = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


@dataclass(slots=True)
class Range:
    """The least and the most of something, once something was seen."""

    least: float | None = None
    most: float | None = None

    def add(self, number: float) -> None:
        """Widen to hold `number`."""
        self.least = number if self.least is None else min(self.least, number)
        self.most = number if self.most is None else max(self.most, number)

    def merge(self, other: Range) -> None:
        """Widen to hold another range."""
        if other.least is not None and other.most is not None:
            self.add(other.least)
            self.add(other.most)


@dataclass(slots=True)
class Word:
    """How often a short text was seen, and from whom, as far as it matters."""

    count: int = 0
    callers: set[str] = field(default_factory=set)

    def add(self, count: int, callers: set[str]) -> None:
        """Count more sightings."""
        self.count += count
        self.callers = set(sorted(self.callers | callers)[:CALLERS_KEPT])


@dataclass(slots=True)
class Seen:
    """Everything that is remembered of the values in one place."""

    kinds: Counter[str] = field(default_factory=Counter)
    numbers: Range = field(default_factory=Range)
    chars: Range = field(default_factory=Range)
    items: Range = field(default_factory=Range)
    keys: Range = field(default_factory=Range)  # how long the names of members are
    sizes: Range = field(default_factory=Range)  # how many members there are
    words: dict[str, Word] | None = field(default_factory=dict)  # None: too many, or too long
    signs: set[str] = field(default_factory=set)  # classes of characters, of short texts
    item: Seen | None = None
    members: dict[str, Seen] | None = field(default_factory=dict)  # None: a map, of which `item` is a value

    def add(self, value: Any, caller: str = "", depth: int = 0) -> None:
        """Take note of one value."""
        kind = KINDS[type(value)]
        self.kinds[kind] += 1
        if kind in ("integer", "number"):
            self.numbers.add(min(max(value, -NUMBER_MAX), NUMBER_MAX))
        elif kind == "string":
            self._add_text(value, caller)
        elif depth >= DEPTH_MAX:
            return
        elif kind == "array":
            self.items.add(len(value))
            for item in value:
                self._item().add(item, caller, depth + 1)
        elif kind == "object":
            self.sizes.add(len(value))
            for name, item in value.items():
                self._member(name).add(item, caller, depth + 1)

    def merge(self, other: Seen) -> None:
        """Take note of all that another has seen in the same place."""
        self.kinds.update(other.kinds)
        for mine, theirs in zip(self._ranges(), other._ranges(), strict=True):
            mine.merge(theirs)
        self.signs |= other.signs
        if other.words is None:
            self.words = None
        for word, seen in (other.words or {}).items():
            self._add_word(word, seen.count, seen.callers)
        if other.members is None:
            self._to_map()
        for name, member in (other.members or {}).items():
            self._member(name).merge(member)
        if other.item is not None:
            self._item().merge(other.item)

    def _ranges(self) -> tuple[Range, ...]:
        return self.numbers, self.chars, self.items, self.keys, self.sizes

    def _add_text(self, text: str, caller: str) -> None:
        self.chars.add(len(text))
        if len(text) <= WORD_MAX_CHARS:
            self.signs.update(map(class_of, text))
            self._add_word(text, 1, {caller} if caller else set())
        else:
            self.words = None
            self.signs.add("any")

    def _add_word(self, word: str, count: int, callers: set[str]) -> None:
        if self.words is None:
            return
        if word not in self.words and len(self.words) >= WORDS_MAX:
            self.words = None
        else:
            self.words.setdefault(word, Word()).add(count, callers)

    def _item(self) -> Seen:
        if self.item is None:
            self.item = Seen()
        return self.item

    def _member(self, name: str) -> Seen:
        self.keys.add(len(name))
        if self.members is not None:
            if name in self.members or len(self.members) < MEMBERS_MAX:
                return self.members.setdefault(name, Seen())
            self._to_map()
        return self._item()

    def _to_map(self) -> None:
        """Forget the names of members, and put together what their values have in common."""
        members, self.members = self.members or {}, None
        for member in members.values():
            self._item().merge(member)


def class_of(sign: str) -> str:
    """Return the class of a character, as a pattern would name it."""
    if "a" <= sign <= "z":
        return "a-z"
    if "A" <= sign <= "Z":
        return "A-Z"
    if "0" <= sign <= "9":
        return "0-9"
    return sign if sign in "_.:/-" else "any"
