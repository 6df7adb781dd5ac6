"""Pictures, and other files, as bytes -> one line of numbers, without decoding them.

A decoder of pictures is the largest piece of hostile-input code there is, and takes longer than all else; none runs in
the request path.  What can be said of a compressed file: its format and size, width and height, how many bytes a pixel
takes (noise many, a blank few, a disturbed picture more than the one it was made of), how often which bytes occur, and
how its head is written, which tells one program that writes pictures from another.

Misses: what the picture shows.  Two photographs of the same size and program are one to it; where pictures come as
numbers, they are looked at themselves (`vector`).
"""

from __future__ import annotations

from math import log2
from struct import unpack_from
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEAD_BYTES = 512
BODY_BYTES = 16_384  # of the rest, taken evenly from all of it
BINS = 16  # of bytes' frequencies, in head and body each
SEGMENTS_MAX = 64  # of a JPEG that are walked for its size
FORMATS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM")


def read_file(data: Any) -> NDArray[np.float64] | None:
    """Return a line of 5 + 3 + 2 * BINS numbers; None for what is not bytes, or empty.  Never raises."""
    if not isinstance(data, bytes) or not data:
        return None
    width, height = _size(data)
    pixels = max(1, width * height)
    facts = [
        *(float(data.startswith(mark)) for mark in FORMATS),
        log2(len(data)),
        log2(pixels),
        log2(len(data) / pixels),
    ]
    body = np.frombuffer(data, np.uint8)[HEAD_BYTES:]
    return np.concatenate(
        (
            np.array(facts),
            _frequencies(np.frombuffer(data[:HEAD_BYTES], np.uint8)),
            _frequencies(body[:: 1 + len(body) // BODY_BYTES]),
        )
    )


def _frequencies(part: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Say how often the bytes of each bin occur, over how often they would among random ones, as a logarithm."""
    counts = np.bincount(part >> 4, minlength=BINS)
    return np.log2((counts + 1) * BINS / (len(part) + BINS))


def _size(data: bytes) -> tuple[int, int]:
    """Return width and height by the header; nothing where it does not say."""
    if data.startswith(b"\x89PNG") and len(data) >= 24:
        return unpack_from(">II", data, 16)
    if data.startswith(b"GIF8") and len(data) >= 10:
        return unpack_from("<HH", data, 6)
    if data.startswith(b"\xff\xd8"):
        return _jpeg_size(data)
    return 0, 0


def _jpeg_size(data: bytes) -> tuple[int, int]:
    at = 2
    for _ in range(SEGMENTS_MAX):
        if at + 9 > len(data) or data[at] != 0xFF:
            break
        if 0xC0 <= data[at + 1] <= 0xCF and data[at + 1] not in {0xC4, 0xC8, 0xCC}:
            height, width = unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + unpack_from(">H", data, at + 2)[0]
    return 0, 0
