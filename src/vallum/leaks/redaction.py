"""Masks what an operator's record is better without: kinds that the policy names, and patterns of its own.

Masks say what stood there (`[key]`, `[ip]`), so that a failure can still be understood.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal

from vallum.leaks.keys import Keys
from vallum.leaks.personal import EXPRESSIONS, PROOFS
from vallum.leaks.spans import SpanSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Kind = Literal["keys", "emails", "ips", "paths", "cards", "ibans"]
# A secret that an error message names: `password=...`, `api_key: '...'`, user:password in an address.
NAMED = r"(?i)(?:api[_-]?key|secret|token|passw(?:or)?d|pwd|authorization)[\"']?\s{0,3}[=:]\s{0,3}[\"']?[^\s\"',;&]{4,}"
USERINFO = r"[a-z][a-z0-9+.-]{1,20}://[^\s/@\"':]*:[^\s/@\"']+@"
BEARER = r"(?i)(?:bearer|basic)\s{1,3}[A-Za-z0-9._~+/=-]{8,}"
MASKED: dict[str, tuple[str, ...]] = {
    "keys": (NAMED, USERINFO, BEARER),
    "emails": (EXPRESSIONS["emails"],),
    "ips": (
        r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?::[0-9]{1,5})?",
        r"(?:[0-9a-fA-F]{1,4}:){2,7}(?::?[0-9a-fA-F]{1,4})+",
        r"[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{1,4}){0,5}::(?:[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{1,4}){0,5})?",
    ),
    "paths": (r"(?:/[A-Za-z0-9._@+-]+){2,}/?", r"[A-Za-z]:(?:\\{1,2}[A-Za-z0-9._@+ -]+)+"),
    "cards": (EXPRESSIONS["cards"],),
    "ibans": (EXPRESSIONS["ibans"],),
}
MASKS = {"keys": "[key]", "emails": "[email]", "ips": "[ip]", "paths": "[path]", "cards": "[card]", "ibans": "[iban]"}
OWN = "[redacted]"


def prove_ip(text: str) -> int:
    """Return all of a text that is an address, with or without a port; 0: it is none."""
    address = text.partition(":")[0] if "." in text else text
    try:
        ip_address(address)
    except ValueError:
        return 0
    return len(text)


PROVEN: dict[str, Callable[[str], int]] = {**PROOFS, "ips": prove_ip}


class Redactor:
    """Masks texts for the record."""

    def __init__(self, kinds: Iterable[Kind], patterns: Iterable[str] = ()) -> None:
        """Mask `kinds` and what `patterns` match; raise ValueError on one that Hyperscan does not take."""
        wanted = list(dict.fromkeys(kinds))
        self._keys = Keys() if "keys" in wanted else None
        rules: list[tuple[str, str]] = [(expression, kind) for kind in wanted for expression in MASKED[kind]]
        rules += [(pattern, "") for pattern in patterns]
        self._kinds = [kind for _, kind in rules]
        self._spans = SpanSet([expression for expression, _ in rules])

    def __call__(self, text: str) -> str:
        """Return `text`, masked."""
        found = [(leak.start, leak.end, MASKS["keys"]) for leak in self._keys.find(text)] if self._keys else []
        for start, end, number in self._spans.find(text):
            kind = self._kinds[number]
            size = PROVEN.get(kind, len)(text[start:end])
            if size:
                found.append((start, start + size, MASKS.get(kind, OWN)))
        out, at = "", 0
        for start, end, mask in sorted(found):
            if start >= at:
                out += text[at:start] + mask
            at = max(at, end)
        return out + text[at:]
