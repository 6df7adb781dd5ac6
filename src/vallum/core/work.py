"""Proof of work: a challenge that costs its solver and not the gateway, bound to who asks what.

A challenge names nobody in clear; its MAC binds it to the account, the model, the time and the request in answer to
which it was given.  A solution is a nonce for which

    SHA-256( challenge ":" hex(SHA-256(body)) ":" nonce )

begins with as many zero bits as are asked for.  So it holds for one body, from one account, for two minutes, once.

Rule 1: nothing is kept of a challenge until it is solved, and of a solution only that it was used.
Rule 2: a body of many inputs costs as much as they would one by one.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256
from hmac import compare_digest, digest
from typing import NamedTuple

FIELD = "vallum-work"  # of answers: the challenge; of requests: `challenge:nonce`
VERSION = "1"
FIELD_MAX_CHARS = 300
NONCE_MAX_CHARS = 40
SKEW_S = 30.0  # between the clocks of two nodes
KEPT_S = 600.0  # beyond a challenge's life a solution is remembered: a clock set back so far admits it no second time
BITS_MAX = 40


class Asked(NamedTuple):
    """For what work is asked: who wants what."""

    model: str
    account: str
    body: bytes = b""
    inputs: int = 1


def challenge(seed: bytes, asked: Asked, bits: int, request_id: str, now: float) -> str:
    """Write a challenge of so many bits for each input."""
    head = f"{VERSION}.{int(now)}.{bits}.{request_id}"
    return f"{head}.{_mac(seed, asked, head)}"


def _mac(seed: bytes, asked: Asked, head: str) -> str:
    text = f"vallum work\x1f{head}\x1f{asked.model}\x1f{asked.account}".encode("utf-8", "surrogatepass")
    return urlsafe_b64encode(digest(seed, text, "sha256")[:16]).decode().rstrip("=")


def for_inputs(bits: int, inputs: int) -> int:
    """Return the bits that a body of so many inputs costs: one more for twice as many."""
    return min(BITS_MAX, bits + max(0, inputs - 1).bit_length())


def check(seed: bytes, asked: Asked, field: str, now: float, life_s: float) -> tuple[str, str]:
    """Check a solution: return the key under which it is used up, and why it does not hold ("": it does).

    What costs little and fails most comes first: the body is hashed only for a challenge of ours.
    """
    token, colon, nonce = field.rpartition(":")
    parts = token.split(".")
    if not colon or len(field) > FIELD_MAX_CHARS or not 0 < len(nonce) <= NONCE_MAX_CHARS or len(parts) != 5:
        return "", "no solution"
    version, issued, bits, _, mac = parts
    if version != VERSION or not field.isascii():
        return "", "no solution"
    if not compare_digest(mac, _mac(seed, asked, token.rpartition(".")[0])):
        return "", "not a challenge of this gateway for this account and model"
    age_s = now - int(issued)  # ours: it is a number
    if not -SKEW_S <= age_s <= life_s:
        return "", "expired" if age_s > 0 else "of a time to come"
    spent = sha256(f"{token}:{sha256(asked.body).hexdigest()}:{nonce}".encode()).digest()
    wanted = for_inputs(int(bits), asked.inputs)
    if int.from_bytes(spent, "big") >> (256 - wanted):
        return "", f"not {wanted} bits for this body"
    return f"work:{mac}", ""


def remember_ms(life_s: float) -> int:
    """Return for how long a solution is remembered, in milliseconds."""
    return int((life_s + SKEW_S + KEPT_S) * 1000)
