"""Whether a text could obey a rule of the grammar, by how it begins and how it goes on after a quote.

To read a text letter by letter costs ten times as much, and honest prose begins with two words, and goes on with one
after each kind of quote.  Sure of its no: what is said of a rule here is what its pattern begins with, or a word that
it cannot do without.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vallum.signatures.patterns import Pattern, PatternSet
from vallum.signatures.sql.tokens import TOKEN, WORDS, classify

if TYPE_CHECKING:
    from collections.abc import Iterator

# Letters that every rule for what stands after a quote begins with.
AFTER_QUOTE = frozenset(")laoxu;OWILKz,H#JjN")
# Letters that rules for what stands bare begin with; before a word, what they have behind it; before CASE, what may stand.
BARE = frozenset("xa(nsTlvV")
AFTER_WORD = frozenset(")lW")
BEFORE_CASE = frozenset("Co,")
# What is folded, into a value or into nothing: what stands behind it is not looked at here.
FOLDED = frozenset("qdbeJjN#")

_RUNS = tuple((sign, re.compile(f"{sign}+")) for sign in ("'", '"', "`"))
_ACUTE = "\u00b4"  # which some databases take for an apostrophe


def _any_of(letters: str) -> str:
    """Write a pattern for the words of some classes; a number may be glued to their beginning."""
    words = sorted({word for letter in letters for word in WORDS[letter].split(" ")}, key=len, reverse=True)
    return "|".join(re.escape(word) + (r"\b" if word[-1].isalnum() else "") for word in words)


# Words without which no rule is obeyed that looks beyond the beginning.
_WORDS = PatternSet((
    Pattern("opening.word", 1.0, rf"@@|/\*|{_any_of('uSzt')}"),
    Pattern("opening.stack", 1.0, rf";\W*(?:#|--|{_any_of('KE')})"),
))  # fmt: skip


def may_open(text: str) -> bool:
    """Say whether a text could obey a rule."""
    text = text.lower()
    return _goes_on(text) or _begins(text) or bool(_WORDS.scan(text))


def _goes_on(text: str) -> bool:
    return any(_letter(text, at)[0] in AFTER_QUOTE for at in _find_breaks(text))


def _find_breaks(text: str) -> Iterator[int]:
    """Yield what stands behind the quote of each kind that breaks out: the first that is no half of an empty string."""
    for sign, run in _RUNS:
        at = text.find(sign)
        while at >= 0 and (end := _end(run, text, at)) % 2 == at % 2:
            at = text.find(sign, end)
        if at >= 0:
            yield end
    acute = text.find(_ACUTE)
    if acute >= 0:
        yield acute + 1


def _end(run: re.Pattern[str], text: str, at: int) -> int:
    match = run.match(text, at)
    return at if match is None else match.end()


def _begins(text: str) -> bool:
    letter, end = _letter(text, 0)
    if letter == "w":
        letter, _ = _letter(text, end)
        return letter in AFTER_WORD or letter in FOLDED
    return letter in BARE or letter in FOLDED or (letter in BEFORE_CASE and "case" in text)


def _letter(text: str, at: int) -> tuple[str, int]:
    """Return the class of the next token, and where that ends."""
    token = TOKEN.search(text, at)
    return (classify(token[0]), token.end()) if token is not None else ("", len(text))
