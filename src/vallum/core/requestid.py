"""Request ids: UUIDs of version 7 (RFC 9562 5.7), so that they sort by time."""

from __future__ import annotations


def compose_id(now: float, entropy: bytes) -> str:
    """Write an id from Unix seconds and 10 random bytes."""
    bits = int.from_bytes(entropy)
    rand_a, rand_b = (bits >> 62) & 0xFFF, bits & 0x3FFFFFFFFFFFFFFF
    text = f"{(int(now * 1000) << 80) | (7 << 76) | (rand_a << 64) | (2 << 62) | rand_b:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
