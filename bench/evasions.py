"""The sixteen ways to dress an attack that the injection figures try, each a function of the text and a chance."""

from __future__ import annotations

import base64
from codecs import encode
from collections.abc import Callable
from random import Random
from urllib.parse import quote

Dress = Callable[[str, Random], str]

_CYRILLIC = str.maketrans("aeopcxyiAEOPCXBHKMT", "аеорсхуіАЕОРСХВНКМТ")
_LEET = str.maketrans("aeiost", "431057")
FILLER = "The committee met on Tuesday to go through the budget for the coming season and the repairs of the roof. "


def _scatter(text: str, marks: str, share: float, chance: Random) -> str:
    return "".join(letter + (chance.choice(marks) if chance.random() < share else "") for letter in text)


def _shuffle(text: str, chance: Random) -> str:
    words = []
    for word in text.split(" "):
        if len(word) > 3 and word.isalpha():
            inner = list(word[1:-1])
            chance.shuffle(inner)
            words.append(word[0] + "".join(inner) + word[-1])
        else:
            words.append(word)
    return " ".join(words)


def _split(text: str, chance: Random) -> str:
    words = text.split(" ")
    third = max(len(words) // 3, 1)
    return "\n".join(" ".join(part) for part in (words[:third], words[third : 2 * third], words[2 * third :]))


def _bury(text: str, chance: Random) -> str:
    return f"{FILLER * 20}{text} {FILLER * 20}"


EVASIONS: dict[str, Dress] = {
    "zero-width characters": lambda text, chance: _scatter(text, "\u200b\u200c\u200d\u2060", 0.5, chance),
    "homoglyphs": lambda text, chance: "".join(
        letter.translate(_CYRILLIC) if chance.random() < 0.5 else letter for letter in text
    ),
    "full-width": lambda text, chance: "".join(
        chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in text
    ),
    "leetspeak": lambda text, chance: text.translate(_LEET),
    "base64": lambda text, chance: base64.b64encode(text.encode()).decode(),
    "hex": lambda text, chance: text.encode().hex(),
    "rot13": lambda text, chance: encode(text, "rot13"),
    "URL-encoded": lambda text, chance: (
        "".join(f"%{byte:02X}" for byte in text.encode()) if chance.random() < 0.5 else quote(text)
    ),
    "HTML entities": lambda text, chance: "".join(f"&#{ord(letter)};" for letter in text),
    "JSON escapes": lambda text, chance: "".join(f"\\u{ord(letter):04x}" for letter in text),
    "tag characters": lambda text, chance: (
        "Hello!" + "".join(chr(0xE0000 + ord(letter)) for letter in text if " " <= letter <= "~")
    ),
    "bidirectional controls": lambda text, chance: (
        f"\u202e{_scatter(text, chr(0x202D) + chr(0x2066), 0.2, chance)}\u202c"
    ),
    "spaced letters": lambda text, chance: "  ".join(" ".join(word) for word in text.split()),
    "shuffled letters": _shuffle,
    "buried in 4 kB": _bury,
    "split over three messages": _split,
}
