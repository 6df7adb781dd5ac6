"""Base64 and data URLs (RFC 4648, RFC 2397), in the one spelling that every reader takes alike."""

from __future__ import annotations

import re
from binascii import Error

import pybase64

from vallum.checks.images.picture import ImageError

BASE64 = "base64"
DATA_URL = "data_url"
HEAD_MAX_CHARS = 128
HEAD = re.compile(r"data:([a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*);base64")  # no parameter, no capital, no blank


def is_data_url(text: str) -> bool:
    """Say whether some reader would take `text` for a data URL."""
    return text[:16].lstrip().lower().startswith("data:")


def read_data_url(text: str) -> tuple[str, bytes]:
    """Return the media type and the data; raise ImageError."""
    comma = text.find(",", 0, HEAD_MAX_CHARS)
    head = HEAD.fullmatch(text, 0, comma) if comma > 0 else None
    if head is None:
        raise ImageError(DATA_URL)
    return head[1], read_base64(text[comma + 1 :])


def read_base64(text: str) -> bytes:
    """Decode `text`; raise ImageError for a letter outside the alphabet, for lost padding, and for bits left over."""
    try:
        data = pybase64.b64decode(text, validate=True)
    except (ValueError, Error) as error:
        raise ImageError(BASE64) from error
    if not data:
        raise ImageError(BASE64)
    # The bits that padding leaves must be zero (RFC 4648 3.5): else one picture has many spellings.
    if text[-1] == "=" and not text.endswith(write_base64(data[(len(data) - 1) // 3 * 3 :])):
        raise ImageError(BASE64)
    return data


def write_base64(data: bytes) -> str:
    """Encode `data`."""
    return pybase64.b64encode_as_string(data)
