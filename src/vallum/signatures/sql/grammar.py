"""What a text does once it stands in a statement, over the letters of `tokens`.

A text lands in one of four places: within one of three kinds of quotes, where its first such quote ends the string and
what follows must go on as SQL, or bare.  Honest text seldom goes on as SQL: after the apostrophe of `it's` stands a
word, where SQL wants an operator, a bracket, a comma or an end.

Every rule is anchored where the statement takes over, and looks at LONGEST letters, so that reading is linear.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vallum.signatures.patterns import Pattern, PatternSet
from vallum.signatures.sql.comments import replace_comments
from vallum.signatures.sql.openings import may_open
from vallum.signatures.sql.tokens import WORDS, classify

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 600
"""Letters after the break that rules look at: what can be repeated for nothing is folded before."""


def _rules(family: str, table: dict[str, str]) -> re.Pattern[str]:
    """Compile rules into one pattern, whose group is the name of the rule that a text obeys."""
    return re.compile("|".join(f"(?P<{family}_{name}>{pattern})" for name, pattern in table.items()), re.DOTALL)


VALUE = "[snwvVfztRTQ]"
CALL = r"(?:\([^)]{0,80}\))?"

# After the quote that ends the string.
QUOTED = _rules("quote", {
    "compare": rf"\)*l[xla(]*{VALUE}{CALL}\)*[xo]*o",
    "true": r"\)*l[xla(]*(?:[snvVwT]\)*[#;]|n,|[snT]\)*Q|[nT]\)*$|Q$)",
    "call": r"\)*l[xla(]*(?:[zC]|w?\(*S|f\()",
    "union": r"\)*;?u[A(]*S",
    "stack": r"\)*;+(?:[KSzEV]|u[A(]*S|C|#|w\()",
    "operate": r"\)*[aox]+[xao(]*(?:[zS]|CH|f\(|Q$|[snwvVT]\)*(?:#|l[xla(]*[snvVTwQ])|[snvV]\)*[ao]+Q)",
    "order": r"\)*OB(?:n|.{0,20}#)",
    "having": rf"\)*W[xa(]*{VALUE}{CALL}\)*[xo]*o",
    "into": r"\)*I[IR]?[sQ]",
    "limit": r"\)*L[nL,]*(?:#|;|u|I|Rz)",
    "verb": r"\)*(?:K[RFIfwvz].{0,200}#|K?z)",
    "values": r"\)*,(?:\(*[Sz]|.{0,200}\).{0,3}#|.{0,100}\(S)",
    "case": r"\)*H.{0,60}#",
})  # fmt: skip
CUT = re.compile(r"\)*;?#")

# From the beginning, where no quote is to be left: a number, a name, or the rest of a clause.
BARE = _rules("bare", {
    "compare": rf"[xa(]*[ns]\)*l[xla(]*{VALUE}{CALL}\)*[xo]*o[xoa(]*{VALUE}",
    "name": r"(?:[xa(]*w\)*)?l[xla(]*(?:n\)*[xo]*on|s\)*[xo]*o[sQ]|w\)*on\)*#)",
    "bracket": rf"[wnsT]\)+l[xla(]*{VALUE}{CALL}\)*[xo]*o",
    "true": r"[xa(]*[ns]\)*l[xa(]*(?:n\)*#|T|w?\(+S)",
    "union": r"[^S]{0,40}?u[A(]*S(?:[nsvVzftTQ(]|a[,F]|w(?:F|[,(].{0,200}[F#])|w#)",
    "stack": r"[^SK;]{0,12}?;+(?:K[RFIfzvVs#]|Kw[E#sQ(]|z|E[vV]|S[nsvVzfa(])",
    "call": r"[nsvV]?\)*(?:[laox,(;]|S|W)+z\(|w\)*[la,;][xla(]*z\(|\(*z\([^)]{0,80}\)\)*(?:[#;l]|$)",
    "execute": r"[^S]{0,8}?K[wz]?z[sQ(#,;]",
    "schema": r".{0,60}?[SuWl,(][^;]{0,60}F[(w,]{0,6}t",
    "variable": r".{0,12}?(?:S|[laoxu,(;])[A(]*V|V$",
    "order": r"(?:n|s|w\))\)*OB[n,]+(?:#|$)",
    "having": r"[nsw]\)*W[xa(]*[ns]\)*[xo]*o[ns]",
    "case": r"[nslxa(,o]{0,6}CH.{0,60}H",
    "select": r"[nsw]?\)*[laox(,]*\(+S(?:[^F]{0,60}F[(wtb]|[fzVn])|SA?f\(",
    "function": r"[ns]\)*l[xa(]*f\(|[ns]\)*[ao]+[xa(]*f\(.{0,80}[zS]",
    "procedure": r".{0,40}?Rz\(",
    "file": r"(?:.{0,60}?S.{0,60}|[ns]\)*)I[IR]?[sQ]",
})  # fmt: skip

# Whole statements, and ends without a beginning: honest where people write about SQL, so for high sensitivity alone.
EAGER = _rules("eager", {
    "statement": r"[(]*(?:S.{1,80}F[(wtsb]|K[RFIf][wR]|KwE)",
    "cut": r"[nw]\)*;?#$",
    "quote": r"[^qdb]{0,6}[qdb]$",
    "union": r".{0,80}?u[A(]*S",
    "compare": r".{0,80}?l[xla(]*[ns]\)*[xo]*o[ns]",
})  # fmt: skip

_PARTS = re.compile(r"q([^q]*+)q|d[^d]*+d|b([^b]*+)b|J[^j]*+(?:j|$)|#[^N]*+(?:N|$)")
_REST = re.compile(r"[qdb].*", re.DOTALL)
_IDLE = re.compile("[Nj]")
_STRINGS = re.compile("[se]{1,}")
_SUM = re.compile(r"(?<=[snvVT])(?:[a.][xa]*[snvVT])+")
_QUOTES = (("q", re.compile("q")), ("d", re.compile("d")), ("b", re.compile("b")))
_INNER = re.compile(r"(?<=\w)'(?=\w)")


# What every rule needs: a quote and what goes on as SQL, a word of SQL, or logic and something compared.
_GOES_ON = "|".join(
    word for letter in "loxuKWOILHzaCS" for word in WORDS[letter].split(" ") if word.replace("_", "").isalpha()
)
_STACKED = "|".join(word for letter in "KSEuCz" for word in WORDS[letter].split(" ") if word.isidentifier())
_CUES = PatternSet((
    Pattern("cue.quote", 1.0, rf"['\"`\xb4][\s)\xa0\xc2]*(?:[|&!=<>~+*/%^:;,#@-]|(?:{_GOES_ON})\b)"),
    Pattern(
        "cue.word",
        1.0,
        rf";[\s;(\xc2\xa0]*(?:(?:{_STACKED})\b|[#-])|@@|/\*|\b(?:union|except|intersect|minus|select|having|case|into|order|waitfor|exec|execute)\b"
        rf"|\b(?:{'|'.join(map(re.escape, WORDS['z'].split(' ')))})\b",
    ),
    Pattern("cue.logic", 1.0, r"\|\||&&|\b(?:x?or|and)\b"),
    Pattern(
        "cue.compared",
        1.0,
        r"[=<>~#(]|--|\b(?:r?like|ilike|regexp|glob|between|in|is|similar|sounds|match|isnull|notnull|true|false)\b",
    ),
))  # fmt: skip
_LOGICAL = {"cue.logic", "cue.compared"}


def is_cued(text: str) -> bool:
    """Say whether a text, or any line of it, could obey a rule: cheap, and sure of its no."""
    cues = {hit.name for hit in _CUES.scan(text)}
    return "cue.quote" in cues or "cue.word" in cues or cues >= _LOGICAL


def judge(text: str, *, eager: bool = False) -> str | None:
    """Return the name of the first rule that the text obeys, or None."""
    for reading in _read(text):
        if (eager or may_open(reading)) and (name := obey(classify(reading), eager=eager)):
            return name
    return None


def obey(letters: str, *, eager: bool = False) -> str | None:
    """Return the name of the first rule that the letters of a text obey, or None."""
    for quote, _ in _QUOTES:
        at = letters.find(quote)
        if at >= 0 and (name := _judge_quoted(letters[:at], letters[at + 1 :])):
            return name
    if name := _first(BARE, _fold(letters)):
        return name
    if eager:
        return _first(EAGER, _fold(letters)) or _first(EAGER, letters)
    return None


def _read(text: str) -> Iterator[str]:
    """Yield the text, then without the apostrophes within words, then without comments within words."""
    yield text
    if text.count("'") > 1 and (plain := _INNER.sub("", text)) != text and "'" in plain:
        yield plain
    if "/*" in text and (joined := replace_comments(text, "")) != text:
        yield joined


def _judge_quoted(before: str, letters: str) -> str | None:
    folded = _fold(letters)
    if CUT.match(folded) and len(before) <= 4 and len(letters.rstrip(")a#N")) <= 4:
        return "quote.cut"
    return _first(QUOTED, folded)


def _first(rules: re.Pattern[str], letters: str) -> str | None:
    match = rules.match(letters)
    return (match.lastgroup or "").replace("_", ".", 1) if match else None


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
