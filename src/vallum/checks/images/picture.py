"""What is known of an image without decoding a pixel of it."""

from __future__ import annotations

from typing import NamedTuple


class ImageError(ValueError):
    """An image that breaks a rule, which the message names."""


class Extra(NamedTuple):
    """A span of a file that the picture can be shown without."""

    start: int
    end: int
    profile: bool = False  # it says how colours are meant
    packed: int = 0  # where in it a zlib stream begins; 0: it is not packed


class Picture(NamedTuple):
    """The facts of an image's header and structure."""

    kind: str
    width: int
    height: int
    frames: int = 1
    extras: tuple[Extra, ...] = ()


TYPE = "image_type"  # not one that the route takes, or not the one that was declared
TRUNCATED = "image_truncated"  # it ends before its end, or holds less than its size asks for
TRAILING = "trailing_data"  # something follows its end: another file, for another reader
STRUCTURE = "image_structure"  # two readers could see two pictures
FRAMES = "max_frames"
PIECES_MAX = 16_384  # chunks, segments and blocks of one file
