"""Normalisation: what a text shows to a reader, in the plainest characters that show it.

Invisible characters go, tag characters become the ASCII they hide, compatibility forms and accents on Latin letters
become plain letters.  Letters of other scripts are folded inside mixed-script words and, where most of a text is Latin,
in words that could be Latin as a whole, so that Russian, Greek and every other language survive unchanged.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from vallum.core.substitution import substitute

if TYPE_CHECKING:
    from collections.abc import Iterable

TAG_SPACE = "\U000e0020"
MOST_TAGS = 4000
_TAGS = re.compile("[\U000e0020-\U000e007e][\U000e0020-\U000e007e]*")  # invisible copies of ASCII (Unicode 23.9)

# Everything that draws nothing: controls (not tab, line feed and their kin), soft hyphen, joiners, bidi controls,
# fillers, variation selectors, tags.
_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)


def _any_of(letters: Iterable[str]) -> str:
    """Return the set of an expression, by ranges: `re` walks one by one what a set lists beyond U+FFFF."""
    ranges: list[list[int]] = []
    for code in sorted(map(ord, letters)):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "[" + "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in ranges) + "]"


MOST_MARKS = 30
"""Marks on one letter that are kept: more than any language stacks, and Unicode's own bound (UAX 15 13).

Normalising sorts the marks of a letter, and takes the square of their number for it.
"""

# All that is a mark, or begins with one once it is taken apart.
_MARKS = {chr(code) for code in range(0x300, 0x1F000) if unicodedata.combining(chr(code))}
_MARKS |= set("\u0f73\u0f75\u0f81\uff9e\uff9f")
_MARK = _any_of(_MARKS)
# A set comes first, which is what an expression looks for fastest; a stack is tried from its first mark on alone.
_STACK = re.compile(f"({_MARK}(?<!{_MARK}{_MARK}){_MARK}{{{MOST_MARKS - 1}}}){_MARK}+")
_APART = MOST_MARKS // 5


def bound_marks(text: str) -> str:
    """Return the text without the marks that stand on one letter beyond MOST_MARKS: safe to normalise."""
    # So many in a row cannot hide between every so-manieth character; of a grid five times as fine, five are marks.
    if _MARKS.isdisjoint(text[::MOST_MARKS]) or b"\1" * 5 not in bytes(map(_MARKS.__contains__, text[::_APART])):
        return text
    return _STACK.sub(r"\1", text)


MOST_GROWN = 500
"""Characters of a text that stand for three times their own bytes or more, and are read so: a salutation, a unit."""

# Its code says of each how long it becomes; no letter of a word is among them.
_GROWING = re.compile(
    _any_of(
        letter
        for letter in map(chr, (*range(0x80, 0xD800), *range(0xE000, 0x20000)))
        if len(unicodedata.normalize("NFKC", letter).encode()) >= 3 * len(letter.encode())
    )
)


_HIDDEN_OR_GROWING = re.compile(f"[{_HIDDEN.pattern[1:-1]}{_GROWING.pattern[1:-1]}]")


def _bound_growth(text: str) -> str:
    """Return the text with a space for each character that grows, after the first MOST_GROWN of them."""
    for match in islice(_GROWING.finditer(text), MOST_GROWN, None):
        return text[: match.start()] + _GROWING.sub(" ", text[match.start() :])
    return text


MOST_COATS = 3
"""Times that a letter is looked at for an accent and for another script, one below the other."""

# A mark is an accent on a Latin letter, or a letter of its own in other scripts: only the first kind goes.
_ACCENT = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_ACCENTS = re.compile(f"{_ACCENT}(?<=[A-Za-z].){_ACCENT}*")
# Letters that have accents, the accents of a plain one, and all marks that follow, which accents may stand among.  All
# beyond U+FFFF may be marks here: ranges there are walked one by one, and what is none stays as it is.
_PLAIN = {
    ord(letter): unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", letter)))
    for letter in map(chr, range(0xC0, 0x3000))
    if letter.isalpha() and _ACCENTS.search(unicodedata.normalize("NFD", letter))
}
_ACCENTED = _any_of(map(chr, _PLAIN))
_ACCENTED_LETTER = re.compile(_ACCENTED)
FEW_LETTERS = 20
"""Different letters that are sooner replaced one by one than all together."""
_BMP_MARK = _any_of(mark for mark in _MARKS if ord(mark) <= 0xFFFF)
_BMP_OTHER_MARK = _any_of(mark for mark in _MARKS if ord(mark) <= 0xFFFF and not re.match(_ACCENT, mark))
_OTHER_MARK = re.compile(f"[{_BMP_OTHER_MARK[1:-1]}\U00010000-\U0010ffff]")
_DRESS = f"[{_ACCENTED[1:-1]}{_BMP_MARK[1:-1]}{_ACCENT[1:-1]}\U00010000-\U0010ffff]"
_DRESSED = re.compile(f"({_DRESS}(?:(?<=[A-Za-z].)|(?<={_ACCENTED})){_DRESS}*+)")
_SPACES = re.compile("   *")  # two or more, so that two letters are looked for: ten times as fast as ` {2,}`
_BLANKS = "\t\v\f\r\x85\u1680\u2028\u2029"  # what is a space as well, after NFKC; a line feed stays
# Words of which a letter may be folded: those with letters of ASCII and others, and those with none but others.  A set
# comes first, which is what an expression looks for fastest.
_MIXED_REST = r"(?:(?<=[A-Za-z])[A-Za-z0-9_]*+[^\W\x00-\x7f]|(?<![A-Za-z])[^\WA-Za-z]*+[A-Za-z])\w*"
_MIXED_WORD = re.compile(rf"(\w(?<!\w.){_MIXED_REST})")

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
_MIXED = re.compile(f"{_FOREIGN_LETTER.pattern}(?:(?<=[A-Za-z].)|(?=[A-Za-z]))")
# Of those, the letters that nobody tells from Latin ones: a word of nothing else is Latin in Latin text.
_TWIN = "[асԁеһіјӏорԛѕуԝхѵАВСЕНІЈКМОРЅТУХԜԚοΑΒΕΖΗΙΚΜΝΟΡΤΥΧ]"
_LATIN_WORD = re.compile(rf"(\w(?<!\w.)(?:(?<={_TWIN}){_TWIN}*+(?!\w)|{_MIXED_REST}))")
_IS_LETTER = bytes(chr(code).isalpha() for code in range(128)) + bytes(128)
_CONTROLS = bytes(code for code in range(128) if _HIDDEN.match(chr(code)))


def normalise(text: str) -> str:
    """Return the text as a reader sees it; the same object where nothing had to be undone."""
    page, plainer = _LATIN_1, text
    while True:
        try:
            raw = plainer.encode(page.name)
            break
        except UnicodeEncodeError as error:
            letter = plainer[error.start]
        if letter in _QUOTES:
            plainer = plainer.replace(letter, _QUOTES[letter])
        elif letter in _BULLETS:
            page = _WINDOWS_1252
        else:
            return _normalise_any(text)
    others = raw.translate(None, page.one_to_one)
    if others.translate(None, page.known):
        return _normalise_any(text)
    plain = raw
    for one, many in page.one_to_many:
        if one in others:
            plain = plain.replace(one, many)
    plain = plain.translate(page.table, page.hidden)
    return text if plain == raw and plainer is text else _space(plain.decode(page.name))


_BETWEEN = "\ue000"
"""A character of nobody's, which no step of normalising changes or looks beyond, no more than beyond a space."""


def _normalise_any(text: str) -> str:
    others = len(text) - len(text.encode("ascii", "ignore"))
    plain = _normalise_all(text, 0) if 8 * others > len(text) or _BETWEEN in text else _normalise_some(text)
    return text if plain == text else _space(plain)


def _normalise_some(text: str) -> str:
    """Normalise the stretches between spaces that are not plain, all at a time."""
    stretches = text.split(" ")
    ascii_text = text.encode("ascii", "ignore")
    hides = ascii_text.translate(None, _CONTROLS) != ascii_text
    places = [
        at for at, stretch in enumerate(stretches) if not (stretch.isascii() and (not hides or stretch.isprintable()))
    ]
    if not places:
        return text
    odd = _BETWEEN.join([stretches[place] for place in places])
    # What stands between them is not of ASCII, and no letter: it must not weigh against the letters around it.
    others = _count_ascii_letters(text) - _count_ascii_letters(odd) + odd.count(_BETWEEN)
    for place, normal in zip(places, _normalise_all(odd, others).split(_BETWEEN), strict=True):
        stretches[place] = normal
    return " ".join(stretches)


def _normalise_all(text: str, others: int) -> str:
    """Return the text as a reader sees it but for its blanks; `others`: ASCII letters that stand around it."""
    # What is hidden goes first: normalised, letters and marks stand as they will stay.
    plain = _fold_latin(bound_marks(_show(text)))
    composed = unicodedata.normalize("NFKC", plain)
    if composed != plain:
        plain = _fold_latin(bound_marks(_show(composed)))
    # A letter may be Latin only when its accent is gone, and lose its accent only when it is Latin.
    for _ in range(MOST_COATS):
        if plain.isascii():
            break
        is_latin = _is_latin(plain, others)
        folded = _fold_foreign(plain, is_latin)
        undressed = _undress(folded)
        is_done = undressed == folded and (folded == plain or _is_latin(folded, others) == is_latin)
        plain = undressed
        if is_done:
            break
    return plain


def _show(text: str) -> str:
    """Return the text without what is hidden, but for tags, which are shown; and no longer than it may grow."""
    if not _HIDDEN_OR_GROWING.search(text):
        return text
    # Tags by runs: a call for each character would be a flood's friend.
    return _bound_growth(_HIDDEN.sub("", _TAGS.sub(_reveal, text)))


def _fold_latin(text: str) -> str:
    # Before NFKC, which would take the acute accent apart; str.translate would cost ten times as much.
    for letter in set(_LATIN_LETTER.findall(text)):
        text = text.replace(letter, _LATIN.get(ord(letter), letter))
    return text


def _fold_foreign(text: str, is_latin: bool) -> str:
    if _FOREIGN_LETTER.search(text):
        if is_latin:
            return _translate(_LATIN_WORD, text)
        if _MIXED.search(text):
            return _translate(_MIXED_WORD, text)
    return text


def _translate(expression: re.Pattern[str], text: str) -> str:
    """Fold all letters of what matches, none of which is a space: each different stretch between spaces once."""
    between = _BETWEEN if _BETWEEN in text else " "
    stretches = text.split(between)
    each = [stretch for stretch in set(stretches) if not stretch.isascii()]
    pieces = expression.split(between.join(each))
    if len(pieces) == 1:
        return text
    words, others = _replace_few(_FOREIGN_LETTER, _FOREIGN, "\n".join(pieces[1::2]))
    pieces[1::2] = (words.translate(_FOREIGN) if others else words).split("\n")
    folded = dict(zip(each, "".join(pieces).split(between), strict=True))
    return between.join([folded.get(stretch, stretch) for stretch in stretches])


def _undress(text: str) -> str:
    if unicodedata.is_normalized("NFD", text) and not _ACCENTS.search(text):
        return text
    if _OTHER_MARK.search(text):  # one that stays keeps what stands on it
        return substitute(_DRESSED, _undress_letters, text)
    text, others = _replace_few(_ACCENTED_LETTER, _PLAIN, text)
    return substitute(_DRESSED, _undress_letters, text) if others or _ACCENTS.search(text) else text


def _replace_few(letters: re.Pattern[str], plain: dict[int, str], text: str) -> tuple[str, bool]:
    """Replace one letter after the other, at most FEW_LETTERS; say whether there are others."""
    at = 0
    for _ in range(FEW_LETTERS):
        found = letters.search(text, at)
        if not found:
            return text, False
        at = found.start()
        text = text.replace(found[0], plain[ord(found[0])])
    return text, bool(letters.search(text, at))


def _undress_letters(letters: str) -> str:
    # Marks come without the plain letter that they stand on: one is lent.
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", f"a{letters}"))[1:])


def _space(text: str) -> str:
    """Return the text with one space for whatever blanks stand beside one another in a line."""
    for blank in _BLANKS:
        if blank in text:
            text = text.replace(blank, " ")
    return _SPACES.sub(" ", text) if "  " in text else text


def read_tags(text: str) -> str:
    """Return, of hidden words, the first MOST_TAGS characters, without what is visible between them."""
    return _spell("".join(_TAGS.findall(text))[:MOST_TAGS]) if TAG_SPACE in text else ""


def _reveal(match: re.Match[str]) -> str:
    return _spell(match[0])


def _spell(tags: str) -> str:
    return tags.encode("utf-32-le")[::4].decode("ascii")  # U+E0041 is A: the lowest of four bytes


def _is_latin(text: str, others: int) -> bool:
    """Say whether of all letters, the ASCII ones of other text with them, more than half are ASCII."""
    return others + _count_ascii_letters(text) > len(text) - len(text.encode("ascii", "ignore"))


def _count_ascii_letters(text: str) -> int:
    # As one number, of whose bits those are set that count: random text costs no more than other.
    return int.from_bytes(text.encode("ascii", "ignore").translate(_IS_LETTER), "big").bit_count()


class _Page(NamedTuple):
    """A set of 256 characters that are normalised by one table, at a twentieth of the cost: text of half the world."""

    name: str
    table: bytes  # what a character becomes that becomes one of the same set
    one_to_one: bytes
    one_to_many: tuple[tuple[bytes, bytes], ...]
    hidden: bytes
    known: bytes  # of those that are not one to one


def _tabulate(name: str) -> _Page:
    table, known = bytearray(range(256)), {}
    one_to_one = []
    for code in range(256):
        raw = bytes([code])
        letter = raw.decode(name, "ignore")
        becomes = _normalise_any(letter).encode(name, "replace")
        if letter and becomes.decode(name) == _normalise_any(letter):
            if len(becomes) == 1:
                one_to_one.append(code)
                table[code] = becomes[0]
            else:
                known[raw] = becomes
    hidden = b"".join(one for one, many in known.items() if not many)
    several = tuple((one, many) for one, many in known.items() if many)
    return _Page(name, bytes(table), bytes(one_to_one), several, hidden, b"".join(known))


_LATIN_1, _WINDOWS_1252 = _tabulate("latin-1"), _tabulate("cp1252")
# What else Western text has: signs that become Latin-1, and those that stay, for which there is a slower page.
_BEYOND = bytes(range(0x80, 0xA0)).decode("cp1252", "ignore")
_QUOTES = {letter: plain for letter in _BEYOND if (plain := _normalise_any(letter)).isascii()}
_BULLETS = frozenset(letter for letter in _BEYOND if _normalise_any(letter) == letter)
