"""A seal on what is kept outside of a process: who does not know the secret cannot make it, or change what is in it.

What is under a seal can still be old: whoever opens it looks at what it says of itself.
"""

from __future__ import annotations

from hashlib import blake2b
from hmac import compare_digest

MARK = b"VLw1"  # the last byte is the version
DIGEST_BYTES = 16


class Seal:
    """Seals and opens, for one purpose: what was sealed for another does not open."""

    def __init__(self, secret: bytes, purpose: str) -> None:
        """Seal with a secret that all replicas know."""
        self._key = blake2b(purpose.encode(), key=secret[:64], digest_size=32).digest()

    def close(self, content: bytes) -> bytes:
        """Return the content under a seal."""
        return MARK + self._digest(content) + content

    def open(self, sealed: bytes) -> bytes:
        """Return what is under the seal; raise ValueError unless it holds."""
        head, content = sealed[: len(MARK) + DIGEST_BYTES], sealed[len(MARK) + DIGEST_BYTES :]
        if not head.startswith(MARK[:3]):
            raise ValueError("it is nothing that a watch keeps")
        if not head.startswith(MARK):
            raise ValueError("it was kept by another version")
        if not compare_digest(head[len(MARK) :], self._digest(content)):
            raise ValueError("its seal does not hold: it was cut, changed, or made with another secret")
        return content

    def _digest(self, content: bytes) -> bytes:
        return blake2b(content, key=self._key, digest_size=DIGEST_BYTES).digest()
