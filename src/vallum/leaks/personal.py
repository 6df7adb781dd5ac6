"""Find personal data in an answer: addresses of e-mail, account and card numbers, telephone numbers.

What it stops
    A model that says what it has memorised or retrieved of people (Carlini et al. 2021; Nasr et al. 2023).
Config
    `kinds`: emails, ibans (ISO 13616: country, length and check digits), cards (ISO 7812: issuer and Luhn), phones
    (E.164, with a plus).  `action`, `mode`.
Cost
    About 3 us for an answer of 1 kB; in a stream about 1.5 us, and the last word or number is held until it ends.
Misses
    Names, postal addresses, dates; what is written in words or with unusual separators ("at", "dot"); telephone
    numbers without a plus; an IBAN of a country whose length is not in the table.
Example
    response:
      leaks:
        - {type: personal, kinds: [cards, ibans]}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from vallum.core.leaks import Leak, Scan
from vallum.core.policy import LeakAction, Mode
from vallum.leaks.spans import SpanSet

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.content import Content

Kind = Literal["emails", "ibans", "cards", "phones"]
WORD = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.+@%"
NUMBER = "0123456789 -()+."
HELD_MAX = 80
# Length of an IBAN by country (ISO 13616, the registry of SWIFT).
IBAN_LENGTHS = {
    pair[:2]: int(pair[3:])
    for pair in (
        "AD=24 AE=23 AL=28 AT=20 AZ=28 BA=20 BE=16 BG=22 BH=22 BR=29 CH=21 CR=22 CY=28 CZ=24 DE=22 DK=18 DO=28 EE=20 "
        "EG=29 ES=24 FI=18 FO=18 FR=27 GB=22 GE=22 GI=23 GL=18 GR=27 GT=28 HR=21 HU=28 IE=22 IL=23 IQ=23 IS=26 IT=27 "
        "JO=30 KW=30 KZ=20 LB=28 LI=21 LT=20 LU=20 LV=21 MC=27 MD=24 ME=22 MK=19 MT=31 NL=18 NO=15 PK=24 PL=28 PT=25 "
        "QA=29 RO=24 RS=22 SA=24 SE=24 SI=19 SK=24 SM=27 TN=24 TR=26 UA=29"
    ).split()
}
EXPRESSIONS: dict[str, str] = {
    "emails": r"[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}",
    "ibans": r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?",
    "cards": r"[3-6][0-9]{3}(?:[ -]?[0-9]){9,15}",
    "phones": r"\+[1-9][0-9]{0,2}[ .-]?(?:\([0-9]{1,4}\)[ .-]?)?[0-9]{2,4}(?:[ .-]?[0-9]{2,4}){1,4}",
}


class PersonalConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="personal", kw_only=True
):
    """Personal data."""

    kinds: Annotated[list[Kind], Meta(min_length=1, description="what is looked for")]
    action: Annotated[LeakAction, Meta(description="redact: replace it; refuse: withhold the answer")] = (
        LeakAction.REDACT
    )
    mode: Annotated[Mode, Meta(description="shadow: record what would be replaced or refused")] = Mode.ENFORCE


def prove_iban(text: str) -> int:
    """Return how much of a text is an IBAN by country, length and check digits (ISO 7064, MOD 97-10); 0: nothing."""
    length = IBAN_LENGTHS.get(text[:2], 0)
    plain, end = "", 0
    while len(plain) < length and end < len(text):
        plain += text[end].strip()
        end += 1
    if not length or len(plain) != length:
        return 0
    return end if int("".join([str(int(sign, 36)) for sign in plain[4:] + plain[:4]])) % 97 == 1 else 0


def prove_card(text: str) -> int:
    """Return how much of a text is a card's number by issuer, length and last digit (ISO 7812); 0: nothing."""
    digits = [(int(sign), place) for place, sign in enumerate(text) if sign.isdigit()]
    start = digits[0][0] * 10 + digits[1][0]
    for length in (15,) if start in (34, 37) else (14, 16) if start in (30, 36, 38) else (19, 16, 13):
        number = [digit for digit, _ in digits[:length]]
        if len(number) == length and len(set(number)) > 1 and _luhn(number):
            return digits[length - 1][1] + 1
    return 0


def _luhn(number: list[int]) -> bool:
    doubled = [digit if at % 2 == 0 else sum(divmod(2 * digit, 10)) for at, digit in enumerate(reversed(number))]
    return sum(doubled) % 10 == 0


def prove_phone(text: str) -> int:
    """Return all of a text that has as many digits as a telephone number (E.164); 0: it has not."""
    return len(text) if 8 <= sum(sign.isdigit() for sign in text) <= 15 else 0


PROOFS: dict[str, Callable[[str], int]] = {
    "emails": len,
    "ibans": prove_iban,
    "cards": prove_card,
    "phones": prove_phone,
}


class Personal:
    """Looks for personal data."""

    type: ClassVar[str] = "personal"

    def __init__(self, config: PersonalConfig) -> None:
        """Compile the patterns of the kinds that are looked for."""
        self._kinds = tuple(config.kinds)
        self._spans = SpanSet([EXPRESSIONS[kind] for kind in self._kinds])

    def watch(self, _content: Content | None) -> Callable[[str, bool], Scan]:
        """Return what looks at an answer."""
        return self.scan

    def scan(self, text: str, ended: bool) -> Scan:
        """Find what is proven; hold the last word, and a number that may go on."""
        size = len(text)
        safe = size
        if not ended:
            safe = max(min(len(text.rstrip(WORD)), _begin_of_number(text)), size - HELD_MAX)
        leaks = []
        for start, end, number in self._spans.find(text):
            kind = self._kinds[number]
            end = start + PROOFS[kind](text[start:end])  # noqa: PLW2901  as much as is proven
            if end > start and _stands_alone(text, start, end):
                leaks.append(Leak(start, end, kind))
        return Scan(leaks, safe)


def _begin_of_number(text: str) -> int:
    """Return where the last run of groups begins that could be an account, card or telephone number."""
    at = len(text)
    for word in reversed(text.split(" ")):
        if word and not (any(sign.isdigit() for sign in word) or (word.isupper() and len(word) <= 4)):
            break
        at -= len(word) + 1
    return max(at + 1, 0)


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Say whether no letter or digit touches a candidate: a longer number is another one."""
    before = start == 0 or not text[start - 1].isalnum()
    return before and (end == len(text) or not text[end].isalnum())
