"""Bodies that are one file: an image as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.core.content import Upload

if TYPE_CHECKING:
    from vallum.core.exchange import Headers

IMAGES = ("image/bmp", "image/gif", "image/jpeg", "image/png", "image/tiff", "image/webp")


class Binary:
    """Takes a body as an upload without a name."""

    def decode(self, body: bytes, headers: Headers | None = None) -> Upload:
        """Pair `body` with its declared type."""
        declared = (headers.get("content-type") if headers is not None else None) or ""
        return Upload("", declared.partition(";")[0].strip().lower(), body)

    def encode(self, document: Upload) -> bytes:
        """Return its data."""
        return document.data
