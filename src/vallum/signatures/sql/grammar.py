"""What a text does once it stands in a statement, over the letters of `tokens`.

A text lands in one of four places: within one of three kinds of quotes, where its first such quote ends the string and
what follows must go on as SQL, or bare.  Honest text seldom goes on as SQL: after the apostrophe of `it's` stands a
word, where SQL wants an operator, a bracket, a comma or an end.

Each rule is anchored where the statement takes over, and looks at LONGEST letters, so that reading is linear.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from vallum.signatures.sql.tokens import WORDS, classify

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 600
"""Letters after the break that rules look at: what can be repeated for nothing is folded before."""


class Rule(NamedTuple):
    """One way in which a text takes over.  `name` goes into the record."""

    name: str
    pattern: re.Pattern[str]


def _rules(table: dict[str, str]) -> tuple[Rule, ...]:
    return tuple(Rule(name, re.compile(pattern)) for name, pattern in table.items())


VALUE = "[snwvVfztRTQ]"
CALL = r"(?:\([^)]{0,80}\))?"

# After the quote that ends the string.
QUOTED = _rules({
    "quote.compare": rf"\)*l[xla(]*{VALUE}{CALL}\)*[xo]*o",
    "quote.true": r"\)*l[xla(]*(?:[snvVwT]\)*[#;]|[snT]\)*Q|[nT]\)*$|Q$)",
    "quote.call": r"\)*l[xla(]*(?:[zC]|w?\(*S|f\()",
    "quote.union": r"\)*;?u[A(]*S",
    "quote.stack": r"\)*;+(?:[KSzE]|u[A(]*S|C|#|w\()",
    "quote.operate": r"\)*[aox]+[xao(]*(?:[zS]|CH|f\(|Q$|[snwvVT]\)*(?:#|l[xla(]*[snvVTwQ])|[snvV]\)*[ao]+Q)",
    "quote.condition": r"\)*[aox]*o[xa(]*(?:n\)*#|Q$|\(S)",
    "quote.order": r"\)*OB(?:n|.{0,20}#)",
    "quote.having": rf"\)*W[xa(]*{VALUE}{CALL}\)*[xo]*o",
    "quote.into": r"\)*I[IR]?[sQ]",
    "quote.limit": r"\)*L[nL,]*(?:#|;|u|I|Rz)",
    "quote.verb": r"\)*(?:K[RFIfwvz].{0,200}#|K?z)",
    "quote.values": r"\)*,(?:\(*[Sz]|.{0,200}\).{0,3}#|.{0,100}\(S)",
    "quote.case": r"\)*H.{0,60}#",
})  # fmt: skip
CUT = re.compile(r"\)*;?#")

# From the beginning, where no quote is to be left: a number, a name, or the rest of a clause.
BARE = _rules({
    "bare.compare": rf"[xa(]*[ns]\)*l[xla(]*{VALUE}{CALL}\)*[xo]*o[xoa(]*{VALUE}",
    "bare.name": r"(?:[xa(]*w\)*)?l[xla(]*(?:n\)*[xo]*on|s\)*[xo]*o[sQ]|w\)*on\)*#)",
    "bare.bracket": rf"[wnsT]\)+l[xla(]*{VALUE}{CALL}\)*[xo]*o",
    "bare.true": r"[xa(]*[ns]\)*l[xa(]*(?:n\)*#|T|w?\(+S)",
    "bare.union": r"[^S]{0,40}?u[A(]*S(?:[nsvVzftTQ(]|a[,F]|w[,F(].{0,200}[F#]|w#)",
    "bare.stack": r"[^SK;]{0,12}?;+(?:K[RFIfzvVs#]|Kw[E#sQ]|z|E[vV]|S[nsvVzfa(])",
    "bare.call": r"[nsvV]?\)*(?:[laox,(;]|S|W)+z\(|w\)*[la,;][xla(]*z\(|\(*z\([^)]{0,80}\)\)*(?:[#;l]|$)",
    "bare.execute": r"[^S]{0,8}?K[wz]?z",
    "bare.schema": r".{0,60}?[SuWl,(][^;]{0,60}F[(w,]{0,6}t",
    "bare.variable": r".{0,12}?(?:S|[laoxu,(;])[A(]*V|V$",
    "bare.order": r"(?:n|s|w\))\)*OB[n,]+(?:#|$)",
    "bare.having": r"[nsw]\)*W[xa(]*[ns]\)*[xo]*o[ns]",
    "bare.case": r"[nslxa(,o]{0,6}CH.{0,60}H",
    "bare.select": r"[nsw]?\)*[laox(,]*\(+S(?:[^F]{0,60}F[(wtb]|[fzVn])",
    "bare.function": r"[ns]\)*l[xa(]*f\(|[ns]\)*[ao]+[xa(]*f\(.{0,80}[zS]",
    "bare.procedure": r".{0,40}?Rz\(",
    "bare.file": r"(?:.{0,60}?S.{0,60}|[ns]\)*)I[IR]?[sQ]",
})  # fmt: skip

# Whole statements, and ends without a beginning: honest where people write about SQL, so for high sensitivity alone.
EAGER = _rules({
    "eager.statement": r"[(]*(?:S.{1,80}F[(wtsb]|K[RFIf][wR]|KwE)",
    "eager.cut": r"[nw]\)*;?#$",
    "eager.quote": r"[^qdb]{0,6}[qdb]$",
    "eager.union": r".{0,80}?u[A(]*S",
    "eager.compare": r".{0,80}?l[xla(]*[ns]\)*[xo]*o[ns]",
})  # fmt: skip

_PARTS = re.compile(r"q([^q]*+)q|d[^d]*+d|b([^b]*+)b|J[^j]*+(?:j|$)|#[^N]*+(?:N|$)")
_REST = re.compile(r"[qdb].*", re.DOTALL)
_IDLE = re.compile("[Nj]")
_STRINGS = re.compile("[se]{1,}")
_SUM = re.compile(r"(?<=[snvVT])(?:[a.][xa]*[snvVT])+")
_QUOTES = (("q", re.compile("q")), ("d", re.compile("d")), ("b", re.compile("b")))
_INNER = re.compile(r"(?<=\w)'(?=\w)")
_COMMENT = re.compile(r"/\*[^*]{0,200}\*{1,9}/")


# What every rule needs: a quote and what goes on as SQL, or a word of SQL.  Each search is linear.
_WORD_CUES = "|".join(
    word
    for letter in "loxuKWOILHzaCSt"
    for word in WORDS[letter].split(" ")
    if (word.replace("_", "").isalpha() and letter not in "LOaxIHKS") or (letter in "LOIHKa" and word.isalpha())
)
_AFTER_QUOTE = re.compile(
    rf"['\"`\u00b4][\s)]*+(?:[|&!=<>~+*/%^:;,#@-]|(?:{_WORD_CUES}|not|select|exec)\b)", re.IGNORECASE
)
_BARE = re.compile(
    rf";|@@|/\*|\b(?:union|except|intersect|minus|select|having|case|into|order|waitfor|exec|execute)\b"
    rf"|\b(?:{'|'.join(map(re.escape, WORDS['z'].split(' ')))})\b",
    re.IGNORECASE,
)
_LOGIC = re.compile(r"\|\||&&|\b(?:x?or|and)\b", re.IGNORECASE)
_COMPARED = re.compile(
    r"[=<>~#(]|--|\b(?:r?like|ilike|regexp|glob|between|in|is|similar|sounds|match|isnull|notnull|true|false)\b",
    re.IGNORECASE,
)


def is_cued(text: str) -> bool:
    """Say whether a text could obey a rule: cheap, and sure of its no."""
    return bool(_AFTER_QUOTE.search(text) or _BARE.search(text) or (_LOGIC.search(text) and _COMPARED.search(text)))


def judge(text: str, *, eager: bool = False) -> str | None:
    """Return the name of the first rule that the text obeys, or None."""
    for reading in _read(text):
        letters = classify(reading)
        for quote, _ in _QUOTES:
            at = letters.find(quote)
            if at >= 0 and (name := _judge_quoted(letters[:at], letters[at + 1 :])):
                return name
        if name := _first(BARE, _fold(letters)):
            return name
        if eager and (name := _first(EAGER, _fold(letters)) or _first(EAGER, letters)):
            return name
    return None


def _read(text: str) -> Iterator[str]:
    """Yield the text, then without the apostrophes within words, then without comments within words."""
    yield text
    if text.count("'") > 1 and (plain := _INNER.sub("", text)) != text:
        yield plain
    if "/*" in text and (joined := _COMMENT.sub("", text)) != text:
        yield joined


def _judge_quoted(before: str, letters: str) -> str | None:
    folded = _fold(letters)
    if CUT.match(folded) and len(before) <= 4 and len(letters.rstrip(")a#N")) <= 4:
        return "quote.cut"
    return _first(QUOTED, folded)


def _first(rules: tuple[Rule, ...], letters: str) -> str | None:
    for rule in rules:
        if rule.pattern.match(letters):
            return rule.name
    return None


def _fold(letters: str) -> str:
    """Fold strings into `s`, an open one into `Q`, comments into nothing, the last into `#`, and sums into one value."""
    letters = _PARTS.sub(_fold_part, letters)
    letters = _REST.sub("Q", letters, count=1)
    letters = _STRINGS.sub("s", _IDLE.sub("", letters))
    return _SUM.sub("", letters)[:LONGEST]


def _fold_part(match: re.Match[str]) -> str:
    part = match[0]
    if part[0] == "b":
        return "w"
    if part[0] == "#":
        return "" if part[-1] == "N" else "#"
    if part[0] == "J":
        return "" if part[-1] == "j" else "#"
    return "s"
