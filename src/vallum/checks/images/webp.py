"""WebP (RFC 9649): chunk by chunk, without the pixels."""

from __future__ import annotations

from struct import pack_into, unpack_from
from typing import TYPE_CHECKING

from vallum.checks.images.picture import (
    FRAMES,
    PIECES_MAX,
    STRUCTURE,
    TRAILING,
    TRUNCATED,
    Extra,
    ImageError,
    Picture,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZED = frozenset((b"VP8X", b"VP8 ", b"VP8L"))
LOOKS = frozenset((b"ALPH", b"ANIM"))
FLAGS_AT = 20  # of the extended header, where it is the first chunk
EXIF, XMP, PROFILE = 0x08, 0x04, 0x20
START_CODE = b"\x9d\x01\x2a"


def is_webp(data: bytes) -> bool:
    """Say whether a file begins as WebP does."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def read_webp(data: bytes, frames_max: int) -> Picture:
    """Walk the chunks; raise ImageError."""
    width, height, frames, pictures = 0, 0, 0, 0
    extras: list[Extra] = []
    for start, end, name in _chunks(data):
        if name in SIZED:
            wide, high = _size(data, start, end, name)
            width, height = max(width, wide), max(height, high)
            pictures += name != b"VP8X"
        elif start == 12:
            raise ImageError(STRUCTURE)  # the first chunk says how large it is
        elif name == b"ANMF":
            frames += 1
            if frames > frames_max:
                raise ImageError(FRAMES)
        elif name not in LOOKS:
            extras.append(Extra(start, end, name == b"ICCP"))
    if pictures > 1 or not (pictures or frames):
        raise ImageError(STRUCTURE if pictures else TRUNCATED)
    return Picture("webp", width, height, max(1, frames), tuple(extras))


def _chunks(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield start, end and name of each chunk; the file's head says where the last one ends."""
    at, size = 12, len(data)
    if size < 20:
        raise ImageError(TRUNCATED)
    promised = 8 + unpack_from("<I", data, 4)[0]
    if promised != size:
        raise ImageError(TRUNCATED if promised > size else TRAILING)
    for _ in range(PIECES_MAX):
        if at == size:
            return
        if at + 8 > size:
            raise ImageError(TRUNCATED)
        name, length = unpack_from("<4sI", data, at)
        end = at + 8 + length + (length & 1)
        if end > size:
            raise ImageError(TRUNCATED)
        yield at, end, name
        at = end
    raise ImageError(STRUCTURE)


def _size(data: bytes, at: int, end: int, name: bytes) -> tuple[int, int]:
    start = at + 8
    if end < start + 10 and (name != b"VP8L" or end < start + 5):
        raise ImageError(TRUNCATED)
    if name == b"VP8X":
        if at != 12:
            raise ImageError(STRUCTURE)
        # Two numbers of 24 bits, each less by one, behind the flags.
        wide, high = unpack_from("<I", data, start + 4)[0] & 0xFFFFFF, unpack_from("<I", data, start + 6)[0] >> 8
        return wide + 1, high + 1
    if name == b"VP8 ":
        if data[start + 3 : start + 6] != START_CODE:
            raise ImageError(STRUCTURE)
        wide, high = unpack_from("<HH", data, start + 6)
        return wide & 0x3FFF, high & 0x3FFF
    if data[start] != 0x2F:
        raise ImageError(STRUCTURE)
    bits = unpack_from("<I", data, start + 1)[0]
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def mend_webp(data: bytearray, *, profile: bool) -> None:
    """Make the head true again after chunks were taken out; `profile`: that of colours too."""
    pack_into("<I", data, 4, len(data) - 8)
    if data[12:16] == b"VP8X":
        data[FLAGS_AT] &= 0xFF ^ (EXIF | XMP | (PROFILE if profile else 0))
