"""Takes out of a file what the picture can be shown without; no pixel is decoded or coded anew."""

from __future__ import annotations

from struct import error, unpack_from
from typing import TYPE_CHECKING

from vallum.checks.images.webp import mend_webp

if TYPE_CHECKING:
    from vallum.checks.images.picture import Picture

EXIF = b"Exif\0\0"
ORIENTATION = 0x0112
UPRIGHT = 1


def strip(data: bytes, picture: Picture, *, profile: bool) -> bytes:
    """Return `data` without its extras; `profile`: without that of colours too.  The same object if it has none."""
    gone = [extra for extra in picture.extras if profile or not extra.profile]
    if not gone:
        return data
    out, at = bytearray(), 0
    turned = UPRIGHT
    for extra in gone:
        out += data[at : extra.start]
        at = extra.end
        if picture.kind == "jpeg" and data.startswith(EXIF, extra.start + 4):
            turned = read_orientation(data[extra.start + 10 : extra.end])
    out += data[at:]
    if picture.kind == "webp":
        mend_webp(out, profile=profile)
    if turned != UPRIGHT:  # a camera held on its side says so in EXIF alone, and a model must see what a person sees
        out[2:2] = _exif(turned)
    return bytes(out)


def read_orientation(tiff: bytes) -> int:
    """Return how EXIF data says that a picture is turned, 1 to 8; 1 if it does not say."""
    order = "<" if tiff[:2] == b"II" else ">"
    try:
        start = unpack_from(f"{order}I", tiff, 4)[0]
        for entry in range(start + 2, start + 2 + 12 * unpack_from(f"{order}H", tiff, start)[0], 12):
            tag, value = unpack_from(f"{order}H6xH", tiff, entry)
            if tag == ORIENTATION:
                return value if UPRIGHT <= value <= 8 else UPRIGHT
    except error:  # broken, as EXIF often is
        pass
    return UPRIGHT


def _exif(turned: int) -> bytes:
    """Write a segment that says nothing but how a picture is turned: one directory of one entry."""
    entry = ORIENTATION.to_bytes(2) + b"\0\3" + b"\0\0\0\1" + turned.to_bytes(2) + b"\0\0"
    tiff = b"MM\0*" + b"\0\0\0\x08" + b"\0\1" + entry + b"\0\0\0\0"
    body = EXIF + tiff
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2) + body
