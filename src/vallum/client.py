"""What a client needs that is asked for a proof of work: the standard library alone, whatever speaks HTTP.

    from vallum.client import answer_challenge

    response = httpx.post(url, content=body)
    extra = answer_challenge(response.status_code, response.headers, body)
    if extra:
        response = httpx.post(url, content=body, headers=extra)

A challenge is met for the very body that is sent (before it is compressed, if it is), by the same account, within about
two minutes, and once.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

STATUS = 428
FIELD = "vallum-work"
MEMBER = re.compile(r'(challenge|bits|algorithm)="?([A-Za-z0-9._-]{1,256})"?')
BITS_MAX = 27  # a minute of a core: a gateway that asks for more is not obeyed


class WorkError(ValueError):
    """A challenge that cannot be met, or should not be."""


def answer_challenge(
    status: int, headers: Mapping[str, str], body: bytes, most_bits: int = BITS_MAX
) -> dict[str, str] | None:
    """Return the header field to send `body` with again; None where no work is asked for.  Raise WorkError.

    It computes for as long as the gateway asks: 18 bits are a tenth of a second, and each bit more is twice that.
    """
    field = next((value for name, value in headers.items() if name.lower() == FIELD), None)
    if status != STATUS or field is None:
        return None
    return {FIELD: solve(field, body, most_bits)}


def solve(field: str, body: bytes, most_bits: int = BITS_MAX) -> str:
    """Meet the challenge in an answer's `Vallum-Work` field for `body`; return the request's.  Raise WorkError."""
    asked = dict(MEMBER.findall(field))
    challenge, bits = asked.get("challenge"), asked.get("bits", "")
    if challenge is None or not bits.isdigit() or asked.get("algorithm") != "sha-256":
        raise WorkError("a challenge of another kind")
    if int(bits) > most_bits:
        raise WorkError(f"{bits} bits are asked for, over the {most_bits} that this client would give")
    begun = sha256(f"{challenge}:{sha256(body).hexdigest()}:".encode())
    bound = 1 << (256 - int(bits))
    nonce = 0
    while True:
        tried = begun.copy()
        tried.update(b"%d" % nonce)
        if int.from_bytes(tried.digest(), "big") < bound:
            return f"{challenge}:{nonce}"
        nonce += 1
