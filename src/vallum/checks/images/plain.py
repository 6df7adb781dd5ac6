"""BMP and TIFF, for routes that ask for them."""

from __future__ import annotations

from struct import error, unpack_from

from vallum.checks.images.picture import FRAMES, STRUCTURE, TRAILING, TRUNCATED, ImageError, Picture

TIFF_MAGICS = (b"II*\0", b"MM\0*")
WIDTH, HEIGHT = 256, 257
SHORT, LONG = 3, 4
ENTRIES_MAX = 512
UNPACKED = (0, 3, 6)  # BI_RGB and bit fields: each pixel is there


def read_bmp(data: bytes, _frames_max: int) -> Picture:
    """Read the two headers; raise ImageError."""
    size = len(data)
    if size < 54:
        raise ImageError(TRUNCATED)
    promised, _, offset, header = unpack_from("<IIII", data, 2)
    if promised != size:
        raise ImageError(TRUNCATED if promised > size else TRAILING)
    width, height, _, bits, packing = unpack_from("<iiHHI", data, 18)
    if header < 40 or width <= 0 or not height or offset > size:
        raise ImageError(STRUCTURE)
    if packing in UNPACKED and (width * bits + 31) // 32 * 4 * abs(height) > size - offset:
        raise ImageError(TRUNCATED)
    return Picture("bmp", width, abs(height))


def read_tiff(data: bytes, frames_max: int) -> Picture:
    """Follow the chain of directories; raise ImageError.  The largest picture of the chain counts for all."""
    order = "<" if data[:2] == b"II" else ">"
    width = height = frames = 0
    seen: set[int] = set()
    try:
        at = unpack_from(f"{order}I", data, 4)[0]
        while at:
            frames += 1
            if at in seen:
                raise ImageError(STRUCTURE)
            if frames > frames_max:
                raise ImageError(FRAMES)
            seen.add(at)
            entries = unpack_from(f"{order}H", data, at)[0]
            if entries > ENTRIES_MAX:
                raise ImageError(STRUCTURE)
            for entry in range(at + 2, at + 2 + 12 * entries, 12):
                tag, kind, count = unpack_from(f"{order}HHI", data, entry)
                if tag in (WIDTH, HEIGHT):
                    if kind not in (SHORT, LONG) or count != 1:
                        raise ImageError(STRUCTURE)
                    value = unpack_from(f"{order}{'H' if kind == SHORT else 'I'}", data, entry + 8)[0]
                    width, height = (max(width, value), height) if tag == WIDTH else (width, max(height, value))
            at = unpack_from(f"{order}I", data, at + 2 + 12 * entries)[0]
    except error as short:
        raise ImageError(TRUNCATED) from short
    if not width or not height:
        raise ImageError(STRUCTURE)
    return Picture("tiff", width, height, frames)
