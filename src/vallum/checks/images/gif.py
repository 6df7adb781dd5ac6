"""GIF (89a): block by block, without the pixels."""

from __future__ import annotations

from struct import unpack_from

from vallum.checks.images.picture import FRAMES, STRUCTURE, TRAILING, TRUNCATED, Extra, ImageError, Picture

MAGICS = (b"GIF87a", b"GIF89a")
IMAGE, EXTENSION, TRAILER = 0x2C, 0x21, 0x3B
CONTROL, APPLICATION = 0xF9, 0xFF
LOOPS = (b"\x0bNETSCAPE2.0", b"\x0bANIMEXTS1.0")
PROFILE = b"\x0bICCRGBG1012"
LONGEST = 255  # of a data sub-block, which writers fill


def read_gif(data: bytes, frames_max: int) -> Picture:
    """Walk the blocks; raise ImageError."""
    if len(data) < 14:
        raise ImageError(TRUNCATED)
    width, height, packed = unpack_from("<HHB", data, 6)
    at = 13 + _table_bytes(packed)
    walk = _Walk(data)
    frames = 0
    extras: list[Extra] = []
    while (kind := walk.byte(at)) != TRAILER:
        if kind == IMAGE:
            walk.byte(at + 10)
            left, top, wide, high, packed = unpack_from("<HHHHB", data, at + 1)
            width, height = max(width, left + wide), max(height, top + high)
            frames += 1
            if frames > frames_max:
                raise ImageError(FRAMES)
            at = walk.skip(at + 11 + _table_bytes(packed))
        elif kind == EXTENSION:
            label = walk.byte(at + 1)
            end = walk.skip(at + 2)
            if label != CONTROL and not (label == APPLICATION and data.startswith(LOOPS, at + 2)):
                extras.append(Extra(at, end, data.startswith(PROFILE, at + 2)))
            at = end
        else:
            raise ImageError(STRUCTURE)
    if at + 1 != len(data):
        raise ImageError(TRAILING)
    if not frames:
        raise ImageError(TRUNCATED)
    return Picture("gif", width, height, frames, tuple(extras))


def _table_bytes(packed: int) -> int:
    return 3 << ((packed & 7) + 1) if packed & 0x80 else 0


class _Walk:
    """Reads a file within its length, and within a number of sub-blocks that its length explains."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = 1024 + 4 * len(data) // LONGEST

    def byte(self, at: int) -> int:
        if at >= len(self._data):
            raise ImageError(TRUNCATED)
        return self._data[at]

    def skip(self, at: int) -> int:
        """Return where a chain of sub-blocks that begins at `at` has ended."""
        data, size = self._data, len(self._data)
        while at < size:
            length = data[at]
            at += 1 + length
            if not length:
                return at
            self._left -= 1
            if self._left < 0:
                raise ImageError(STRUCTURE)
        raise ImageError(TRUNCATED)
