"""Normalisation: what a text shows to a reader, in the plainest characters that show it.

Invisible characters go, tag characters become the ASCII they hide, compatibility forms and accents on Latin letters
become plain letters.  Letters of other scripts are folded inside mixed-script words and, where most of a text is Latin,
in words that could be Latin as a whole, so that Russian, Greek and every other language survive unchanged.
"""

from __future__ import annotations

import re
import unicodedata

_TAGS = re.compile("[\U000e0020-\U000e007e]+")  # invisible copies of ASCII (Unicode 23.9)

# Everything that draws nothing: controls (not tab, line feed and their kin), soft hyphen, joiners, bidi controls,
# fillers, variation selectors, tags.
_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)

# A mark is an accent on a Latin letter, or a letter of its own in other scripts: only the first kind goes.
_ACCENTS = re.compile("(?<=[A-Za-z])[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")
_SPACES = re.compile(r"[^\S\n]{2,}|[^\S\n ]")
_WORD = re.compile(r"\w+")
ASCII_LETTER = re.compile("[A-Za-z]")

# Latin letters that NFKC leaves alone, and letters drawn in boxes: folded wherever they stand.
_LATIN = str.maketrans(
    {
        **dict(zip("đðħıłøŧŋƙɓɗɠƥƭⱥɑɡɩɪɴʀʏʙʜʟʍʋɛɔ", "ddhilotnkbdgptaagiinrybhlmveo", strict=True)),
        **dict(zip("ĐÐĦŁØŦŊƘƁƊƓƤƬȺⱭƐƆ", "DDHLOTNKBDGPTAAEO", strict=True)),
        **dict(zip("ᴀᴄᴅᴇᴊᴋᴍᴏᴘꜱᴛᴜᴠᴡᴢɢꞮꓲ", "acdejkmopstuvwzgil", strict=True)),
        "ß": "ss",
        "æ": "ae",
        "Æ": "AE",
        "œ": "oe",
        "Œ": "OE",
        "þ": "th",
        "Þ": "Th",
        "∕": "/",
        "⁄": "/",
        "‘": "'",
        "’": "'",
        "‛": "'",
        "′": "'",
        "´": "'",
        "ʼ": "'",
        "“": '"',
        "”": '"',
        "″": '"',
        "‐": "-",
        "‑": "-",
        "‒": "-",
        "–": "-",
        "—": "-",
        "−": "-",
        "·": ".",
        "․": ".",
        "∗": "*",
        "ǃ": "!",
        **{
            chr(first + offset): chr(ord("A") + offset) for first in (0x1F150, 0x1F170, 0x1F1E6) for offset in range(26)
        },
    }
)

# Letters of other scripts that are drawn like Latin ones: Cyrillic, Greek, Armenian, Cherokee.
_FOREIGN = str.maketrans(
    {
        **dict(zip("аЬвсԁеһіїјкӏмпорԛгѕтуԝхѵзб", "abbcdehiijklmnopqrstywxv36", strict=True)),
        **dict(zip("АВСЕНІЇЈКМОРЅТУХѴԜԚԌЗғєѡ", "ABCEHIIJKMOPSTYXVWQG3few", strict=True)),
        **dict(zip("αβγδεζηικμνορστυχωϲϳϱϵ", "abydeznikuvopotuxwcjpe", strict=True)),
        **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹϜ", "ABEZHIKMNOPTYXCF", strict=True)),
        **dict(zip("աեհոսցօզղյՍՕՏ", "wehnugoqnjUOS", strict=True)),
        **dict(zip("ᎪᏴᏟᎠᎬᏀᎻᎥᏆᎫᏦᏞᎷᎾᏢᏒᏚᎢᏙᎳᏃ", "ABCDEGHiIJKLMOPRSTVWZ", strict=True)),
    }
)


# Ranges for the astral ones: `re` walks a set that lists them one by one.
_LATIN_LETTER = re.compile(f"[{''.join(chr(code) for code in _LATIN if code < 0x10000)}\U0001f150-\U0001f1ff]")
_FOREIGN_LETTER = re.compile(f"[{''.join(map(chr, _FOREIGN))}]")
_MIXED = re.compile(f"[A-Za-z]{_FOREIGN_LETTER.pattern}|{_FOREIGN_LETTER.pattern}[A-Za-z]")
# Of those, the letters that nobody tells from Latin ones: a word of nothing else is Latin in Latin text.
_TWINS = re.compile("[асԁеһіјӏорԛѕуԝхѵАВСЕНІЈКМОРЅТУХԜԚοΑΒΕΖΗΙΚΜΝΟΡΤΥΧ]+")
_NO_LETTER = bytes(code for code in range(128) if not chr(code).isalpha())

MOST_MARKS = 30
"""Marks on one letter that are kept: more than any language stacks, and Unicode's own bound (UAX 15 13).

Normalising sorts the marks of a letter, and takes the square of their number for it.
"""

# All that is a mark, or begins with one once it is taken apart.
_MARKS = {chr(code) for code in range(0x300, 0x1F000) if unicodedata.combining(chr(code))}
_MARKS |= set("\u0f73\u0f75\u0f81\uff9e\uff9f")
_STACK = re.compile(f"([{''.join(sorted(_MARKS))}]{{{MOST_MARKS}}})[{''.join(sorted(_MARKS))}]+")


def bound_marks(text: str) -> str:
    """Return the text without the marks that stand on one letter beyond MOST_MARKS: safe to normalise."""
    # So many in a row cannot hide between every so-manieth character.
    return text if _MARKS.isdisjoint(text[::MOST_MARKS]) else _STACK.sub(r"\1", text)


def normalise(text: str) -> str:
    """Return the text as a reader sees it; the same object where nothing had to be undone."""
    try:
        latin = text.encode("latin-1")
    except UnicodeEncodeError:
        return _normalise_any(text)
    if latin.translate(None, _ONE_TO_ONE):
        return _normalise_any(text)
    plain = latin.translate(_LATIN_1)  # a twentieth of the cost, for the text of half the world
    return text if plain == latin else _SPACES.sub(" ", plain.decode("latin-1"))


def _normalise_any(text: str) -> str:
    # Substitution before NFKC, which would take the acute accent apart; str.translate would cost ten times as much.
    plain = unicodedata.normalize("NFKC", _LATIN_LETTER.sub(_fold_latin, bound_marks(text)))
    # Tags by runs: a call for each character would be a flood's friend.
    plain = bound_marks(_HIDDEN.sub("", _TAGS.sub(_reveal, plain)))
    if not plain.isascii():
        if _FOREIGN_LETTER.search(plain):
            if _is_latin(plain):
                plain = _WORD.sub(_fold_twins, plain)
            elif _MIXED.search(plain):
                plain = _WORD.sub(_fold_mixed, plain)
        if not unicodedata.is_normalized("NFD", plain) or _ACCENTS.search(plain):
            plain = unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", plain)))
    return text if plain == text else _SPACES.sub(" ", plain)


def _reveal(match: re.Match[str]) -> str:
    return match[0].encode("utf-32-le")[::4].decode("ascii")  # U+E0041 is A: the lowest of four bytes


def _fold_latin(match: re.Match[str]) -> str:
    return str(_LATIN.get(ord(match[0]), match[0]))


def _fold_mixed(match: re.Match[str]) -> str:
    word = match[0]
    if word.isascii() or not ASCII_LETTER.search(word):
        return word
    return word.translate(_FOREIGN)


def _fold_twins(match: re.Match[str]) -> str:
    return match[0].translate(_FOREIGN) if _TWINS.fullmatch(match[0]) else _fold_mixed(match)


def _is_latin(text: str) -> bool:
    """Say whether more than half of all letters are ASCII."""
    plain = text.encode("ascii", "ignore")
    return len(plain.translate(None, _NO_LETTER)) > len(text) - len(plain)


# Latin-1 by one table: what each character becomes, and which of them become one character of Latin-1 again.
_BECOMES = [_normalise_any(chr(code)) for code in range(256)]
_ONE_TO_ONE = bytes(code for code, text in enumerate(_BECOMES) if len(text) == 1 and ord(text) < 256)
_LATIN_1 = bytes(ord(text) if len(text) == 1 and ord(text) < 256 else code for code, text in enumerate(_BECOMES))
