"""The shape of an API key: `vlm_live_` + 43 base62 characters (256 random bits) + 6 (CRC-32 of the 43).

The checksum turns noise away without a look-up, and lets a secret scanner be sure offline.  At rest there is only the
SHA-256 of the whole key: 256 random bits cannot be guessed, so a slow password hash would protect nothing and hand a
flood a lever.
"""

from __future__ import annotations

from hashlib import sha256
from zlib import crc32

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DEFAULT_PREFIX = "vlm_live_"
SECRET_CHARS = 43
CHECKSUM_CHARS = 6
_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]  # two digits at a time
PAIRS = len(_PAIRS)


def compose_key(entropy: bytes, prefix: str = DEFAULT_PREFIX) -> str:
    """Write a key from 32 random bytes."""
    if len(entropy) != 32:
        raise ValueError("a key is made of 32 random bytes")
    secret = _base62(int.from_bytes(entropy), SECRET_CHARS)
    return f"{prefix}{secret}{checksum(secret)}"


def is_well_formed(key: str, prefix: str = DEFAULT_PREFIX) -> bool:
    """Say whether `key` has the prefix, the length, the alphabet and the checksum of a key."""
    if len(key) != len(prefix) + SECRET_CHARS + CHECKSUM_CHARS or not key.startswith(prefix):
        return False
    secret = key[len(prefix) : -CHECKSUM_CHARS]
    return secret.isascii() and secret.isalnum() and key.endswith(checksum(secret))


def checksum(secret: str) -> str:
    """Return the CRC-32 of `secret` in six base62 characters."""
    rest, low = divmod(crc32(secret.encode()), PAIRS)
    high, middle = divmod(rest, PAIRS)
    return _PAIRS[high] + _PAIRS[middle] + _PAIRS[low]


def digest_key(key: str) -> bytes:
    """Return what is stored of a key."""
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


def _base62(number: int, width: int) -> str:
    signs = ""
    for _ in range(width):
        number, rest = divmod(number, len(ALPHABET))
        signs = ALPHABET[rest] + signs
    return signs
