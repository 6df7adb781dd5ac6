"""Content codings of requests (RFC 9110 8.4.1), undone within bounds.

Two bounds hold while bytes come out, never after: the route's size for what comes out, and how much may come out of
what went in.  What is left over behind the end is an error: another parser might read it.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.core.protocols import Coding

RATIO_MAX = 100  # bytes out for each byte in; English text comes to 5, JSON that repeats its keys to 30
FREE_BYTES = 65_536  # what may come out whatever went in: short and uniform bodies are no bombs
GZIP, ZLIB = 31, 15  # what zlib calls the two wrappers


class Deflated:
    """One wrapper around deflate (RFC 1951): gzip (RFC 1952) or zlib (RFC 1950)."""

    def __init__(self, name: str, wrapper: int) -> None:
        """Undo the coding `name`."""
        self._name = name
        self._wrapper = wrapper

    def undo(self, body: bytes, max_bytes: int) -> bytes | None:
        """Inflate `body`; None past a bound; raise ValueError for what is cut, broken, or followed by anything.

        A second member of gzip is such a thing: legal, written by no HTTP client, and read by half of the servers.
        """
        bound = min(max_bytes, max(FREE_BYTES, len(body) * RATIO_MAX))
        stream = zlib.decompressobj(self._wrapper)
        try:
            plain = stream.decompress(body, bound + 1)
        except zlib.error as error:
            raise ValueError(f"a body that is not {self._name}") from error
        if len(plain) > bound:
            return None
        if not stream.eof:
            raise ValueError(f"{self._name} that ends early")
        if stream.unused_data:
            raise ValueError(f"{self._name} with more behind its end")
        return plain


CODINGS: Mapping[str, Coding] = {"gzip": Deflated("gzip", GZIP), "deflate": Deflated("deflate", ZLIB)}
