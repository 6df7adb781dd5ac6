"""The ways a text can be read: as sent, normalised, and decoded.

A model understands base64, a database sees what the web framework decoded; a check that looks at the sent text alone
is walked around.  Four rules hold for every decoder:

Rule 1: linear.  No pattern here can backtrack over more than a bounded stretch.
Rule 2: in place.  Decoded text stands where its code stood, so that what surrounds it still counts.
Rule 3: shrinking.  Only compatibility normalisation may grow a text, and Unicode bounds that by 18.
Rule 4: cued.  A decoder runs where a cheap test says that it could change something; clean ASCII pays for the tests.
"""

from __future__ import annotations

import html
import re
from binascii import a2b_base64
from codecs import decode as recode
from html.entities import html5
from string import ascii_letters, digits
from typing import TYPE_CHECKING, NamedTuple

from vallum.core.lookalikes import normalise, read_tags
from vallum.core.substitution import substitute, substitute_stretches

if TYPE_CHECKING:
    from collections.abc import Callable


class Reading(NamedTuple):
    """One way to read a text.  `how` names the decoders, joined by "+", and goes into the record."""

    how: str
    text: str


HIDDEN = "tags"
"""The reading of what tag characters hide, without the words between which they hide it."""

ROUNDS = 3
"""Codes inside codes are followed this deep; a text has at most ROUNDS + 5 readings."""

WINDOW = 100
"""Characters kept on each side of a line break where lines are joined."""

MOST_LEET = 2000
"""Words of a text that are read as leetspeak, which is dear: the first, of which an attack needs few."""

SURELY_LEET = 3
"""Digits within words from which on lone numbers are words as well: "7h15 15 4 7r1ck"."""

SHORTEST_RUN = 24
"""Characters of base64 or hex that are worth decoding: 18 or 12 bytes."""


def read(sent: str, *, for_models: bool = True) -> tuple[Reading, ...]:
    """Return the text as sent, then every other reading that differs from it.

    `for_models`: also those of what a model makes words of and no other program does, letters apart and leetspeak.
    """
    decoded, shape = _decode(sent)
    path, text = decoded[-1] if decoded else ("", sent)
    readings = [Reading("sent", sent), *decoded]
    if for_models and (hidden := read_tags(sent)):
        readings.insert(1, Reading(HIDDEN, hidden))
    if "\n" in text:
        readings.append(Reading(_extend(path, "joined"), _join_lines(text)))
    if not for_models:
        return tuple(readings)
    if _is_spaced(shape):
        spelled = _GAPS.sub(" ", substitute(_SPACED, _join_letters, text))
        if spelled != text:
            path, text = _extend(path, "spaced"), spelled
            readings.append(Reading(path, text))
    if count := _count_leet(text):
        readings.append(Reading(_extend(path, "leet"), _decode_leet(text, count)))
    return tuple(readings)


def _decode(text: str) -> tuple[list[Reading], bytes]:
    """Return a reading for each round of decoding that changed the text, and the shape of the last."""
    readings: list[Reading] = []
    path = normal = ""
    shape = _shape(text)
    for _ in range(ROUNDS):
        before = text
        for how, decode in _cued(text, shape):
            if decode is normalise and text is normal:
                continue  # twice is as once
            decoded = decode(text)
            if decoded != text:
                path, text = _extend(path, how), decoded
            if decode is normalise:
                normal = text
        if text == before:
            break
        readings.append(Reading(path, text))
        shape = _shape(text)
    return readings, shape


def read_ciphers(text: str) -> tuple[Reading, Reading]:
    """Return the text under rot13 and reversed: for a model alone, and dear, so only where such words were seen."""
    rotated = text.encode("utf-8", "surrogatepass").translate(_ROT13).decode("utf-8", "surrogatepass")
    return Reading("rot13", rotated), Reading("reversed", text[::-1])


_ROT13 = bytes.maketrans(ascii_letters.encode(), recode(ascii_letters, "rot13").encode())


def _extend(path: str, how: str) -> str:
    return f"{path}+{how}" if path else how


# The cues.  One table turns a text into its shape (letters and digits, separators, controls, the rest), in which the
# suspicious is a fixed string: bytes.translate and `in` together cost a tenth of one regular expression.


def _table(default: str, classes: dict[str, str]) -> bytes:
    table = bytearray(default.encode() * 256)
    for kind, members in classes.items():
        for member in members:
            table[ord(member)] = ord(kind)
    return bytes(table)


_CONTROLS = "".join(map(chr, (*range(0x09), *range(0x0E, 0x20), 0x7F)))
_SHAPE = _table(";", {"x": ascii_letters + digits + "+/", " ": " .-_*|~", "c": _CONTROLS})
_LEET_SHAPE = _table(";", {"a": ascii_letters, "0": "013457$"})
_LONG_RUN = b"x" * SHORTEST_RUN


def _shape(text: str) -> bytes:
    return text.encode("utf-8", "replace").translate(_SHAPE)


def _cued(text: str, shape: bytes) -> list[tuple[str, Callable[[str], str]]]:
    """Choose the decoders that could change this text, in the order in which a receiver would undo them."""
    decoders: list[tuple[str, Callable[[str], str]]] = []
    if not text.isascii() or b"c" in shape:
        decoders.append(("normalised", normalise))
    if "\\" in text:
        decoders.append(("escapes", _decode_escapes))
    if "&" in text:
        decoders.append(("entities", decode_entities))
    if "%" in text:
        decoders.append(("url", _decode_url))
    if _LONG_RUN in shape:
        decoders.append(("base", _decode_runs))
    return decoders


def _is_spaced(shape: bytes) -> bool:
    # Of "i g n o r e", every second character is a separator: cheaper to ask than the exact pattern.
    return (b"     " in shape[::2] or b"     " in shape[1::2]) and b"x x x x x" in shape


def _count_leet(text: str) -> int:
    if not ("0" in text or "1" in text or "3" in text or "4" in text or "5" in text or "7" in text or "$" in text):
        return 0
    return text.encode("utf-8", "replace").translate(_LEET_SHAPE).count(b"a0a")


# Escapes of JSON, JavaScript, Python and C.
_ESCAPE = re.compile(
    r"(\\(?:\\(?:\\\\)*|u[0-9a-fA-F]{4}|u\{[0-9a-fA-F]{1,6}\}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|[0-7]{3}|[nrtbfv0\"'/]))"
)
_PLAIN_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "", "f": " ", "v": " ", "0": ""}
_SURROGATE_PAIR = re.compile("([\ud800-\udbff][\udc00-\udfff])")
_SURROGATE = re.compile("[\ud800-\udfff]")


def _decode_escapes(text: str) -> str:
    decoded = substitute(_ESCAPE, _unescape, text)
    try:
        decoded.encode()
    except UnicodeEncodeError:
        # A pair of escapes is one character (RFC 8259 7); what stays alone is not text.
        decoded = "\ufffd".join(_SURROGATE.split(substitute(_SURROGATE_PAIR, _pair_up, decoded)))
    return decoded


def _unescape(escape: str) -> str:
    kind = escape[1]
    if kind in "uUx":
        code = int(escape[2:].strip("{}"), 16)
        return chr(code) if code <= 0x10FFFF else escape
    if kind == "\\":
        return escape[::2]
    return chr(int(escape[1:], 8)) if len(escape) > 2 else _PLAIN_ESCAPES.get(kind, kind)


def _pair_up(pair: str) -> str:
    return pair.encode("utf-16", "surrogatepass").decode("utf-16")


# Names as far as HTML knows any; the library's own expression takes what it does not know as well, and is long over it.
_ENTITY = re.compile(r"(&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[A-Za-z][A-Za-z0-9]{1,31};?))")
# A number with more digits than any character has: the library would read thousands of them, and raises.
_LONGEST_NUMBER = len("&#x12345678;")
_ENTITY_ZEROS = re.compile("(&#[xX]?)0+(?=[0-9a-fA-F])")
_LONGEST_OPEN = max(len(name) for name in html5 if not name.endswith(";"))


def decode_entities(text: str) -> str:
    """Decode the entities of HTML, in one round."""
    return substitute_stretches(_ENTITY, _unescape_entity, text, "&")


def _unescape_entity(entity: str) -> str:
    if entity[1] == "#":
        number = _ENTITY_ZEROS.sub(r"\1", entity)
        return html.unescape(number) if len(number) <= _LONGEST_NUMBER else "\ufffd"
    name = entity[1:]
    if name in html5:
        return html5[name]
    # Some names need no semicolon, and end where the longest of them does.
    for end in range(min(len(name), _LONGEST_OPEN), 1, -1):
        if name[:end] in html5:
            return html5[name[:end]] + name[end:]
    return entity


# As `urllib.parse.unquote`, which takes every letter beyond ASCII for the end of a text.
_PERCENT = re.compile("(%[0-9a-fA-F]{2}(?:%[0-9a-fA-F]{2})*+)")
# The percent codes that RFC 3986 does not know and IIS decodes: %u0041.
_WIDE_PERCENT = re.compile("(%u[0-9a-fA-F]{4})")


def _decode_url(text: str) -> str:
    if "%u" in text:
        text = substitute(_WIDE_PERCENT, _unescape_wide, text)
    return substitute(_PERCENT, _unescape_percent, text)


def _unescape_percent(codes: str) -> str:
    return bytes.fromhex(codes.replace("%", "")).decode("utf-8", "replace")


def _unescape_wide(escape: str) -> str:
    code = int(escape.removeprefix("%u"), 16)
    return escape if 0xD800 <= code <= 0xDFFF else chr(code)


_RUN = re.compile(r"[A-Za-z0-9+/_-]{%d,}={0,2}" % SHORTEST_RUN)
_HEX = re.compile(r"(?:0[xX])?((?:[0-9a-fA-F]{2}){%d,})" % (SHORTEST_RUN // 2))
_RUN_MARKS = _table(" ", {"x": ascii_letters + digits + "+/_-"})


def _decode_runs(text: str) -> str:
    # Searched for as bytes, one for each character: an expression would try every run from each of its characters on.
    marks = text.encode("latin-1", "replace").translate(_RUN_MARKS)
    pieces: list[str] = []
    decoded: dict[str, str] = {}
    done = 0
    while (start := marks.find(_LONG_RUN, done)) >= 0:
        run = _RUN.match(text, start)
        assert run is not None
        if (code := run[0]) not in decoded:
            decoded[code] = _decode_run(code)
        pieces += (text[done:start], decoded[code])
        done = run.end()
    return "".join((*pieces, text[done:])) if pieces else text


def _decode_run(run: str) -> str:
    """Decode one run of hex or base64; leave it where its bytes are not printable text."""
    if hexadecimal := _HEX.fullmatch(run):
        return _printable(bytes.fromhex(hexadecimal[1])) or run
    digits64 = run.rstrip("=").replace("-", "+").replace("_", "/")
    # One digit beyond a multiple of four holds no whole byte; padding is optional everywhere but in the decoder.
    digits64 = digits64[: len(digits64) - (len(digits64) % 4 == 1)]
    return _printable(a2b_base64(digits64 + "=" * (-len(digits64) % 4))) or run


def _printable(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return ""
    return text if text.replace("\n", "").replace("\r", "").replace("\t", "").isprintable() else ""


def _join_lines(text: str) -> str:
    """Take the line breaks out, for a word cut in two by them or by a field's end; the middles of long lines go."""
    lines = text.split("\n")
    if max(map(len, lines)) <= 2 * WINDOW:
        return "".join(lines)
    return "".join(
        [line if len(line) <= 2 * WINDOW else f"{line[:WINDOW]}\n{line[-WINDOW:]}" for line in lines],
    )


# Every second character is a space, or a sign between letters; a word may begin with a few signs.  What all three ways
# have in common is asked first.
_SPACED = re.compile(
    r"((?<![A-Za-z0-9])(?=\S[ .\-_*|~])"
    r"(?:(?<!\S)(?:[^\w\s] ){0,4}\w(?: \S)+(?!\S)|(?<!\S)[$@!\"'(](?: \S)+(?!\S)"
    r"|[A-Za-z0-9](?:[ .\-_*|~][A-Za-z0-9])+(?![A-Za-z0-9])))",
)
_GAPS = re.compile(" {2,}")


def _join_letters(spaced: str) -> str:
    return spaced[::2]


_LEET_WORD = re.compile(r"([A-Za-z0-9@$!|+]+)")
# i, a, is, it, as, at, so, to.  Its first digit comes first, which is what an expression looks for fastest.
_LEET_NUMBER = re.compile(r"[1457](?<!\S.)(?:(?<=[14])[57]?|(?<=[57])0)(?!\S)")
_LEET = str.maketrans("0345789@$!|+", "oeastbgasiit")
# "1" is i or l: l beside another, and where that is by far the likelier letter between its neighbours in English
# ("ru1es", "he1p", but "1gnore", "prev1ous").  The letter before ("^" for none), and those after ("$" for none).
_L_BETWEEN = (
    "^aeiou aacehiklopsuwy$ beiouy ciuy diy eacdefilopsy$ faiouy geiy iabdeilmosty$ liouy$ ny oaefilosuv$ paeiouy"
    " rdy$ say ty uadefgilt$"
)


def _find_l(context: str) -> str:
    before, after = context[0], context[1:]
    least = f"(?=[{after}])" if after[-1] != "$" else f"(?=[{after[:-1]}]|$)"
    return ("(?<!..)" if before == "^" else f"(?<={before}1)") + least


_L_CONTEXT = "|".join(map(_find_l, _L_BETWEEN.split()))
_ONE_AS_L = re.compile(f"1(?:(?=1)|(?<=11)|{_L_CONTEXT})", re.IGNORECASE | re.MULTILINE)


def _decode_leet(text: str, count: int) -> str:
    if count >= SURELY_LEET:
        text = _LEET_NUMBER.sub(_spell_number, text, count=MOST_LEET)
    pieces = _LEET_WORD.split(text, MOST_LEET)
    words = pieces[1::2]
    spelled = _spell_words([word for word in set(words) if not word.isalpha() and word.lower() != word.upper()])
    pieces[1::2] = [spelled.get(word, word) for word in words]
    return "".join(pieces)


def _spell_number(match: re.Match[str]) -> str:
    return match[0].replace("1", "i").translate(_LEET)


def _spell_words(words: list[str]) -> dict[str, str]:
    """Return what each word is read as.  They are spelled together, a line each: that costs a fraction."""
    # Signs are letters within a word, and some at its beginning; a bar there, and any at its end, is what it is.
    inner = [word.lstrip("|+").rstrip("|!+") for word in words]
    spelled = _ONE_AS_L.sub("l", "\n".join(inner).translate(_LEET)).replace("1", "i").split("\n")
    return {word: word.replace(old, new, 1) for word, old, new in zip(words, inner, spelled, strict=False)}
