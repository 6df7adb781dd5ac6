"""Forms with files (multipart/form-data, RFC 7578), read strictly and always written anew.

Every parser of this format forgives something else, and what one skips another believes.  So nothing is forgiven here:
no text before the first boundary or behind the last, no line that ends in LF alone, no folded field, no field beside
`Content-Disposition` and `Content-Type`, no parameter twice, no name that is said in two ways.  And what is passed on
is not what came but what was read: written in the one plain way that all parsers agree on, under a boundary of ours.
"""

from __future__ import annotations

import re
from secrets import token_hex
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from vallum.core.content import Upload

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.exchange import Fields, Headers

MEDIA_TYPE = "multipart/form-data"
PARTS_MAX = 128
HEAD_MAX_BYTES = 1024
NAME_MAX_CHARS = 128
FILENAME_MAX_CHARS = 255
LIST = "[]"  # how names of fields that may be repeated end

TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105  RFC 9110 5.6.2
# RFC 2046 5.1.1: 1 to 70 characters, the last no space.  Those that are no token's must be quoted.
BOUNDARY = r"(?:[0-9A-Za-z'+_.-]{1,70}|\"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]\")"
CONTENT_TYPE = re.compile(rf"multipart/form-data[ \t]*;[ \t]*boundary=({BOUNDARY})", re.IGNORECASE | re.ASCII)
PLAIN = r"[^\"\\\x00-\x1f\x7f]*"  # no escapes: parsers disagree on them.  Browsers write %22 for a quote
VALUE = rf'(?:"({PLAIN})"|({TOKEN}))'
EXTENDED = r"utf-8''([A-Za-z0-9!#$&+.^_`|~%-]+)"  # RFC 8187 3.2.1
DISPOSITION = re.compile(
    rf"form-data; ?name={VALUE}(?:; ?filename={VALUE})?(?:; ?filename\*={EXTENDED})?", re.IGNORECASE | re.ASCII
)
TYPE = re.compile(rf'({TOKEN}/{TOKEN})((?:[ \t]*;[ \t]*{TOKEN}=(?:{TOKEN}|"{PLAIN}"))*)')
CHARSET = re.compile(rf";[ \t]*charset=\"?({TOKEN})", re.IGNORECASE | re.ASCII)
TEXT_TYPES = ("", "text/plain", "application/json")  # of a field that is no file
# Path tricks: separators of any system, a drive, a name that is a place.
PLACE = re.compile(r"[/\\:\x00]|^\.{1,2}$")


class Multipart:
    """Reads a form into a mapping: texts, uploads, and lists of either where a name ends in `[]`."""

    def __init__(self, new_boundary: Callable[[], str] = lambda: f"vallum-{token_hex(16)}") -> None:
        """Write under boundaries of `new_boundary`, which nobody may foresee: data that held one could end its part."""
        self._new_boundary = new_boundary

    def decode(self, body: bytes, headers: Headers | None = None) -> dict[str, Any]:
        """Parse `body` by the boundary in `headers`; raise ValueError that quotes nothing."""
        delimiter = b"--" + read_boundary((headers.get("content-type") if headers is not None else None) or "")
        if not body.startswith(delimiter):
            raise ValueError("a form that does not begin with its boundary")
        parts = body.split(b"\r\n" + delimiter, PARTS_MAX)
        parts[0] = parts[0].removeprefix(delimiter)
        if parts.pop() not in (b"--", b"--\r\n"):
            raise ValueError(f"a form that does not end with its last boundary, or has over {PARTS_MAX} parts")
        form: dict[str, Any] = {}
        for part in parts:
            name, value = _read_part(part)
            if name.endswith(LIST):
                form.setdefault(name, []).append(value)
            elif name in form:
                raise ValueError("a field stands twice in a form")
            else:
                form[name] = value
        return form

    def encode(self, document: dict[str, Any]) -> bytes:
        """Write `document` in the plainest way, under a new boundary."""
        delimiter = f"--{self._new_boundary()}".encode()
        pieces: list[bytes] = []
        for name, held in document.items():
            for value in held if isinstance(held, list) else (held,):
                pieces.extend([delimiter, b"\r\n", *_write_part(name, value), b"\r\n"])
        return b"".join([*pieces, delimiter, b"--\r\n"])

    def fields(self, body: bytes) -> Fields:
        """Return the content type of a body that `encode` wrote: its boundary is its first line."""
        boundary = body[2 : body.index(b"\r\n")].removesuffix(b"--").decode("ascii")
        return (("content-type", f"{MEDIA_TYPE}; boundary={boundary}"),)


def read_boundary(content_type: str) -> bytes:
    """Return the boundary; raise ValueError unless it is there once, well-formed, and the only parameter."""
    found = CONTENT_TYPE.fullmatch(content_type.strip(" \t"))
    if found is None:
        raise ValueError("a content type of a form without one plain boundary")
    return found[1].strip('"').encode("ascii")


def _read_part(part: bytes) -> tuple[str, str | Upload]:
    if not part.startswith(b"\r\n"):
        raise ValueError("a boundary that goes on")
    end = part.find(b"\r\n\r\n", 2, HEAD_MAX_BYTES)
    if end < 0:
        raise ValueError(f"a part whose head has no end, or is over {HEAD_MAX_BYTES} bytes")
    name, filename, media_type, charset = _read_head(part[2:end])
    data = part[end + 4 :]
    if filename is not None:
        return name, Upload(filename, media_type or "application/octet-stream", data)
    if media_type not in TEXT_TYPES or charset not in ("", "utf-8"):
        raise ValueError("a field that is neither a file nor UTF-8 text")
    try:
        return name, data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError("a field that is not UTF-8") from error


def _read_head(head: bytes) -> tuple[str, str | None, str, str]:
    """Return name, filename, media type and charset; raise ValueError for any other field, and for any twice."""
    try:
        lines = head.decode("utf-8").split("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError("a part whose head is not UTF-8") from error
    fields: dict[str, str] = {}
    for line in lines:
        field, colon, value = line.partition(":")
        field = field.lower()
        if not colon or field in fields or field not in ("content-disposition", "content-type"):
            raise ValueError("a part with a field that is folded, repeated, or not one of the two that parts have")
        fields[field] = value.strip(" \t")
    name, filename = _read_disposition(fields.get("content-disposition", ""))
    media_type, charset = _read_type(fields.get("content-type"))
    return name, filename, media_type, charset


def _read_disposition(text: str) -> tuple[str, str | None]:
    found = DISPOSITION.fullmatch(text)
    if found is None:
        raise ValueError("a part without a plain form-data disposition")
    name = found[1] or found[2]
    filename = _read_filename(found)
    if not name or len(name) > NAME_MAX_CHARS or name == "_charset_":
        raise ValueError("a field whose name is empty, too long or `_charset_`")
    if filename is not None and (len(filename) > FILENAME_MAX_CHARS or PLACE.search(filename)):
        raise ValueError("a filename that is too long, or a path")
    return name, filename


def _read_filename(found: re.Match[str]) -> str | None:
    """Return the filename that is given, in one form or in both, which must agree (RFC 6266 4.3)."""
    plain = found[3] if found[3] is not None else found[4]
    if found[5] is None:
        return plain
    try:
        extended = unquote(found[5], errors="strict")
    except UnicodeDecodeError as error:
        raise ValueError("a filename that is not UTF-8") from error
    if re.fullmatch(PLAIN, extended) is None or plain not in (None, extended):
        raise ValueError("a filename with controls or quotes, or two that disagree")
    return extended


def _read_type(text: str | None) -> tuple[str, str]:
    if text is None:
        return "", ""
    found = TYPE.fullmatch(text)
    media_type = "" if found is None else found[1].lower()
    if found is None or media_type.startswith(("multipart/", "message/")):
        raise ValueError("a part whose content type is malformed, or nests others")
    charsets = CHARSET.findall(found[2])
    if len(charsets) > 1:
        raise ValueError("a part with two charsets")
    return media_type, charsets[0].lower() if charsets else ""


def _write_part(name: str, value: str | Upload) -> tuple[bytes, ...]:
    disposition = f'Content-Disposition: form-data; name="{name}"'
    if isinstance(value, str):
        return f"{disposition}\r\n\r\n".encode(), value.encode()
    filename = f'; filename="{value.filename}"\r\nContent-Type: {value.media_type}\r\n\r\n'
    return (disposition + filename).encode(), value.data
