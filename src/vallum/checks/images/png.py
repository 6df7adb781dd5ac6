"""PNG (ISO 15948), and APNG: chunk by chunk, without the pixels."""

from __future__ import annotations

from struct import unpack_from
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

MAGIC = b"\x89PNG\r\n\x1a\n"
DEFLATE_RATIO = 1032  # what deflate packs best: 258 bytes in 2 bits
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
# Chunks that say how the picture looks.  Other ancillary ones say something about it.
LOOKS = frozenset(b"PLTE IDAT tRNS gAMA cHRM sRGB sBIT bKGD hIST pHYs sPLT cICP mDCV cLLI acTL fcTL fdAT".split())
PACKED = frozenset((b"zTXt", b"iTXt", b"iCCP"))


def read_png(data: bytes, frames_max: int) -> Picture:
    """Walk the chunks; raise ImageError."""
    if len(data) < 33 or data[8:16] != b"\0\0\0\x0dIHDR":
        raise ImageError(TRUNCATED if len(data) < 33 else STRUCTURE)
    width, height, depth, colour = unpack_from(">IIBB", data, 16)
    held_bytes, frames, shown = 0, 1, 0
    extras: list[Extra] = []
    for start, end, name in _chunks(data):
        if name == b"IDAT":
            held_bytes += end - start - 12
        elif name == b"acTL" and end - start == 20:
            frames = max(1, unpack_from(">I", data, start + 8)[0])
        elif name == b"fcTL":
            shown += 1
        elif name not in LOOKS:
            extras.append(_extra(data, start, end, name))
        if max(frames, shown) > frames_max:
            raise ImageError(FRAMES)
    if width * height * depth * CHANNELS.get(colour, 4) // 8 > held_bytes * DEFLATE_RATIO:
        raise ImageError(TRUNCATED)
    return Picture("png", width, height, max(frames, shown), tuple(extras))


def _chunks(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield start, end and name of each chunk behind the first, up to the last, which must be the file's end."""
    at, size = 33, len(data)
    for _ in range(PIECES_MAX):
        if at + 12 > size:
            raise ImageError(TRUNCATED)
        length, name = unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > size:
            raise ImageError(TRUNCATED)
        if name == b"IHDR":  # a second size: whose is believed?
            raise ImageError(STRUCTURE)
        if name == b"IEND":
            if end != size:
                raise ImageError(TRAILING)
            return
        yield at, end, name
        at = end
    raise ImageError(STRUCTURE)


def _extra(data: bytes, start: int, end: int, name: bytes) -> Extra:
    if name[:1].isupper():  # critical, and none of the four: no common reader knows it
        raise ImageError(STRUCTURE)
    packed = 0
    if name in PACKED:
        after = data.find(b"\0", start + 8, end - 4)  # behind the keyword
        if after < 0:
            raise ImageError(STRUCTURE)
        packed = after + 2
        if name == b"iTXt":  # a flag, a method, a language, a translated keyword
            is_packed = data[after + 1] == 1
            language = data.find(b"\0", after + 3, end - 4)
            keyword = data.find(b"\0", language + 1, end - 4)
            if language < 0 or keyword < 0:
                raise ImageError(STRUCTURE)
            packed = keyword + 1 if is_packed else 0
    return Extra(start, end, name == b"iCCP", packed)
