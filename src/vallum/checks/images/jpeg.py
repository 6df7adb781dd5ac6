"""JPEG (ITU-T T.81): segment by segment up to the first scan, then every marker among the coded data."""

from __future__ import annotations

from struct import unpack_from
from typing import TYPE_CHECKING

import numpy as np

from vallum.checks.images.picture import (
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

MAGIC = b"\xff\xd8\xff"
END = b"\xff\xd9"
# Start of frame, by its coding: those of Huffman codes and of arithmetic codes (C4, C8 and CC are something else).
HUFFMAN = frozenset((0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7))
ARITHMETIC = frozenset((0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF))
TABLES = frozenset((0xC4, 0xCC, 0xDB, 0xDD))
SCAN = 0xDA
BLOCKS_PER_BYTE = 8  # of 64 pixels each: no block is coded in less than a bit
# What may follow FF behind the first scan: stuffing, restarts, fill, tables, more scans.  No text, no second end.
AMONG_SCANS = np.zeros(256, np.bool_)
AMONG_SCANS[[0x00, *range(0xD0, 0xD8), 0xFF, *TABLES, SCAN]] = True


def read_jpeg(data: bytes, _frames_max: int) -> Picture:
    """Walk the segments; raise ImageError."""
    width = height = coding = end = 0
    extras: list[Extra] = []
    for start, end, marker in _segments(data):
        if marker in HUFFMAN or marker in ARITHMETIC:
            if coding or end < start + 9:  # a second size: whose is believed?
                raise ImageError(STRUCTURE)
            coding = marker
            height, width = unpack_from(">HH", data, start + 5)
        elif 0xE0 <= marker <= 0xEF or marker == 0xFE:
            if not _is_needed(data, start, end, marker):
                extras.append(Extra(start, end, data[start + 4 : start + 16] == b"ICC_PROFILE\0"))
        elif marker not in TABLES and marker != SCAN:
            raise ImageError(STRUCTURE)
    if not width or not height:  # none, or one that comes after the picture (T.81 B.2.5)
        raise ImageError(STRUCTURE)
    _check_scans(data, end)
    if coding in HUFFMAN and width * height > (len(data) - end) * BLOCKS_PER_BYTE * 64:
        raise ImageError(TRUNCATED)
    return Picture("jpeg", width, height, 1, tuple(extras))


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield start, end and marker of each segment up to the head of the first scan, and that."""
    at, size = 2, len(data)
    for _ in range(PIECES_MAX):
        if at + 4 > size:
            raise ImageError(TRUNCATED)
        if data[at] != 0xFF:
            raise ImageError(STRUCTURE)
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        end = at + 2 + unpack_from(">H", data, at + 2)[0]
        if end > size:
            raise ImageError(TRUNCATED)
        yield at, end, marker
        if marker == SCAN:
            return
        at = end
    raise ImageError(STRUCTURE)


def _is_needed(data: bytes, start: int, end: int, marker: int) -> bool:
    """Say whether a picture is shown otherwise without this segment: JFIF's units and Adobe's colours."""
    if marker == 0xE0:
        return end - start == 18 and data[start + 4 : start + 9] == b"JFIF\0"  # without a thumbnail
    return marker == 0xEE and end - start == 16 and data[start + 4 : start + 9] == b"Adobe"


def _check_scans(data: bytes, start: int) -> None:
    """Hold that coded data goes on to the one end, which is the file's."""
    coded = np.frombuffer(data, np.uint8, offset=start)
    marks = coded[:-1] == 0xFF
    followers = coded[1:][marks]
    allowed = AMONG_SCANS[followers]
    if data.endswith(END, start):
        allowed = allowed[:-1]
        if allowed.all():
            return
        raise ImageError(TRAILING if 0xD9 in followers[:-1] else STRUCTURE)
    raise ImageError(TRAILING if 0xD9 in followers else TRUNCATED)
