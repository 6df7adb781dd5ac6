"""Honest pictures of every kind that Pillow writes, and dishonest ones made by hand."""

from __future__ import annotations

import zlib
from base64 import b64encode
from io import BytesIO
from struct import pack
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = (64, 48)


def noise(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    grey = Image.effect_noise(size, 60)
    picture = Image.merge("RGB", [grey, grey.rotate(180), grey.point(lambda value: 255 - value)])
    if mode == "RGBA":
        return Image.merge("RGBA", [*picture.split(), Image.linear_gradient("L").resize(size)])
    return picture.convert(mode)


def saved(kind: str, picture: Image.Image | None = None, **options: Any) -> bytes:
    file = BytesIO()
    (picture or noise()).save(file, kind, **options)
    return file.getvalue()


def exif(turned: int = 6) -> Image.Exif:
    held = Image.Exif()
    held[0x0112] = turned
    held[0x010E] = "a description"
    held[0x9286] = "a comment"
    return held


MODES = {
    "PNG": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK", "YCbCr"),
    "GIF": ("1", "L", "P", "RGB", "RGBA"),
    "WEBP": ("L", "RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "TIFF": ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "F"),
}
PROFILE = b"profile" * 10_000
OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "PNG": (
        {},
        {"optimize": True},
        {"compress_level": 0},
        {"compress_level": 9},
        {"exif": exif()},
        {"dpi": (72, 72)},
        {"icc_profile": PROFILE},
        {"transparency": 1},
    ),
    "JPEG": (
        {},
        {"quality": 1},
        {"quality": 100},
        {"progressive": True},
        {"progressive": True, "quality": 3, "optimize": True},
        {"optimize": True},
        {"subsampling": 0},
        {"subsampling": 1},
        {"subsampling": 2},
        {"exif": exif()},
        {"comment": b"hello"},
        {"restart_marker_blocks": 1},
        {"dpi": (300, 300)},
        {"keep_rgb": True},
        {"icc_profile": PROFILE},
    ),
    "GIF": ({}, {"interlace": 0}, {"comment": b"hello" * 100}, {"transparency": 1}, {"optimize": True}),
    "WEBP": (
        {},
        {"lossless": True},
        {"exif": exif()},
        {"xmp": b"<x/>"},
        {"icc_profile": PROFILE[:31]},
        {"quality": 1},
        {"quality": 100, "method": 6},
        {"lossless": True, "exact": True, "exif": exif()},
    ),
    "BMP": ({}, {"dpi": (72, 72)}),
    "TIFF": ({}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}, {"compression": "packbits"}),
}
SIZES = ((1, 1), (1, 1999), (1999, 1), (3001, 2000))
PLAIN = ("white", "black", "#abcdef")


def honest() -> Iterator[tuple[str, bytes]]:
    """Yield each combination of format, mode and option that Pillow can write, and uniform pictures of odd sizes."""
    for kind, modes in MODES.items():
        for mode in modes:
            for options in OPTIONS[kind]:
                try:
                    yield f"{kind} {mode} {sorted(options)}", saved(kind, noise(mode), **options)
                except (OSError, ValueError, KeyError, TypeError):
                    continue  # Pillow does not write this combination
        for size in SIZES:
            for colour in PLAIN:
                yield f"{kind} {colour} {size}", saved(kind, Image.new("RGB", size, colour))


def animated(kind: str, frames: int = 4) -> bytes:
    pictures = [noise() for _ in range(frames)]
    return saved(kind, pictures[0], save_all=True, append_images=pictures[1:], loop=0, duration=50)


# --- by hand


def chunk(name: bytes, data: bytes = b"") -> bytes:
    return pack(">I", len(data)) + name + data + pack(">I", zlib.crc32(name + data))


MAGIC = b"\x89PNG\r\n\x1a\n"
END = chunk(b"IEND")


def header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    return chunk(b"IHDR", pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def png(*chunks: bytes, width: int = 2, height: int = 2) -> bytes:
    """Write a PNG of these chunks, with a head, some pixels and an end."""
    pixels = chunk(b"IDAT", zlib.compress((b"\0" + b"\0\0\0" * width) * height))
    return MAGIC + header(width, height) + b"".join(chunks) + pixels + END


def png_bomb(width: int = 30_000, height: int = 30_000, bits: int = 1) -> bytes:
    """Write a picture of a few KB that takes a gigabyte once it is decoded."""
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (width * bits + 7) // 8)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return MAGIC + header(width, height, bits, 0) + chunk(b"IDAT", pixels) + END


def gif_of(frames: int) -> bytes:
    """Write a GIF of so many frames of one pixel."""
    frame = b"\x2c" + pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return b"GIF89a" + pack("<HHBBB", 1, 1, 0x80, 0, 0) + b"\0" * 6 + frame * frames + b"\x3b"


def tiff_of(width: int, height: int, following: int = 0) -> bytes:
    entries = pack("<HHII", 256, 4, 1, width) + pack("<HHII", 257, 4, 1, height)
    return b"II*\0" + pack("<I", 8) + pack("<H", 2) + entries + pack("<I", following)


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(name + pack("<I", len(data)) + data + b"\0" * (len(data) & 1) for name, data in chunks)
    return b"RIFF" + pack("<I", 4 + len(body)) + b"WEBP" + body


def canvas(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    return b"VP8X", bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def segment(marker: int, data: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + pack(">H", len(data) + 2) + data


def with_segment(jpeg: bytes, marker: int, data: bytes) -> bytes:
    return jpeg[:2] + segment(marker, data) + jpeg[2:]


def data_url(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{b64encode(data).decode()}"
