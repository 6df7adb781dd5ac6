"""Text transformations, in the vocabulary of AWS WAF: what is done to a text before a statement looks at it.

Rule 1: total.  What a transformation cannot undo it leaves as it is; none of them raises.
Rule 2: linear, and bounded: `utf8_to_unicode` makes three bytes of one, the others never more than two.
Rule 3: bytes in, bytes out, as they came off the wire.  Only ASCII letters have a case.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING

from vallum.core.reading import decode_entities

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Change = Callable[[bytes], bytes]


def apply(names: Sequence[str], value: bytes) -> bytes:
    """Apply transformations by name, first to last; raise KeyError for a name that is none."""
    for name in names:
        value = TRANSFORMATIONS[name](value)
    return value


# --- white space, case and characters that do nothing -----------------------------------------------------------------

_WHITE = b"\t\n\v\f\r "
_WHITES = re.compile(rb"(?:[\t\n\v\f\r ]|\xc2\xa0|(?<![\x80-\xff])\xa0)+")  # no-break spaces in UTF-8 and Latin-1


def _compress_white_space(value: bytes) -> bytes:
    return _WHITES.sub(b" ", value)


def _remove_whitespace(value: bytes) -> bytes:
    return _WHITES.sub(b"", value)


_COMMAND_SIGNS = bytes.maketrans(b",;", b"  ")
_COMMAND_GAP = re.compile(rb"\s+(?=[/(])")


def _cmd_line(value: bytes) -> bytes:
    """Take a command's disguise off: quotes, carets and backslashes, separators, blanks and capitals."""
    plain = b" ".join(re.split(rb"\s+", value.translate(_COMMAND_SIGNS, b"\\\"'^")))
    return _COMMAND_GAP.sub(b"", plain).lower()


_COMMENT_SIGNS = re.compile(rb"/\*|\*/|--|#")


def _remove_comments_char(value: bytes) -> bytes:
    return _COMMENT_SIGNS.sub(b"", value)


def _replace_comments(value: bytes) -> bytes:
    """Put a space for each comment of C, and for one without an end; an end alone stays."""
    pieces = []
    at = 0
    while (start := value.find(b"/*", at)) >= 0:
        pieces.append(value[at:start])
        end = value.find(b"*/", start + 2)
        if end < 0:
            return b" ".join([*pieces, b""])
        at = end + 2
    return b" ".join([*pieces, value[at:]])


# --- codes ------------------------------------------------------------------------------------------------------------

_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*")


def _base64_decode(value: bytes) -> bytes:
    """Decode up to the first sign that is not of base64; what begins with no such code stays."""
    run = _BASE64.match(value)
    return _undo_base64(run[0] if run else b"") or value


def _base64_decode_ext(value: bytes) -> bytes:
    return _undo_base64(_NOT_BASE64.sub(b"", value)) or value


def _undo_base64(digits: bytes) -> bytes:
    digits = digits[: len(digits) - (len(digits) % 4 == 1)]  # one digit more holds no whole byte
    return base64.b64decode(digits + b"=" * (-len(digits) % 4))


_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2})*")


def _hex_decode(value: bytes) -> bytes:
    run = _HEX.match(value)
    return bytes.fromhex(run[0].decode()) if run and run[0] else value


_SQL_HEX = re.compile(rb"0[xX]((?:[0-9A-Fa-f]{2})+)")


def _sql_hex_decode(value: bytes) -> bytes:
    return _SQL_HEX.sub(lambda match: bytes.fromhex(match[1].decode()), value)


def _html_entity_decode(value: bytes) -> bytes:
    return decode_entities(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


_C_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([0-7]{1,3})|([abfnrtv\\?'\"]))")
_C_SIGNS = dict(zip(b"abfnrtv\\?'\"", b"\a\b\f\n\r\t\v\\?'\"", strict=True))


def _escape_seq_decode(value: bytes) -> bytes:
    return _C_ESCAPE.sub(_undo_c_escape, value)


def _undo_c_escape(match: re.Match[bytes]) -> bytes:
    if match[3]:
        return bytes((_C_SIGNS[match[3][0]],))
    code = int(match[1], 16) if match[1] else int(match[2], 8)
    return bytes((code,)) if code < 256 else match[0]


_JS_ESCAPE = re.compile(rb"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([0-3][0-7]{2}|[0-7]{1,2})|(.))", re.DOTALL)
_JS_SIGNS = dict(zip(b"abfnrtv", b"\a\b\f\n\r\t\v", strict=True))


def _js_decode(value: bytes) -> bytes:
    return _JS_ESCAPE.sub(_undo_js_escape, value)


def _undo_js_escape(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return _low_byte(match[1])
    if match[4]:
        sign = match[4][0]
        return bytes((_JS_SIGNS.get(sign, sign),))
    return bytes((int(match[2], 16) if match[2] else int(match[3], 8),))


def _low_byte(digits: bytes) -> bytes:
    """Return the low byte of four hexadecimal digits, of a full-width letter that of the plain one."""
    code = int(digits, 16)
    low = code & 0xFF
    return bytes((low + 0x20 if 0xFF01 <= code <= 0xFF5E else low,))


_CSS_ESCAPE = re.compile(rb"\\(?:([0-9A-Fa-f]{1,6})[ \t\r\n\f]?|(\r?\n)|(.))", re.DOTALL)


def _css_decode(value: bytes) -> bytes:
    return _CSS_ESCAPE.sub(_undo_css_escape, value)


def _undo_css_escape(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return _low_byte(match[1][-4:])
    return match[3] or b""


_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_PERCENT_UNI = re.compile(rb"%(?:u([0-9A-Fa-f]{4})|([0-9A-Fa-f]{2}))", re.IGNORECASE)


def _url_decode(value: bytes) -> bytes:
    return _PERCENT.sub(lambda match: bytes((int(match[1], 16),)), value.replace(b"+", b" "))


def _url_decode_uni(value: bytes) -> bytes:
    return _PERCENT_UNI.sub(
        lambda match: _low_byte(match[1]) if match[1] else bytes((int(match[2], 16),)), value.replace(b"+", b" ")
    )


_WIDE = re.compile("[\x80-\ud7ff\ue000-\U0010ffff]")


def _utf8_to_unicode(value: bytes) -> bytes:
    if value.isascii():
        return value
    text = value.decode("utf-8", "surrogateescape")
    return _WIDE.sub(lambda match: f"%u{ord(match[0]):04x}", text).encode("utf-8", "surrogateescape")


# --- paths ------------------------------------------------------------------------------------------------------------


def _normalize_path(value: bytes) -> bytes:
    """Take out empty segments, `.` and `..`, but for a `..` that leads out of where the path begins."""
    kept: list[bytes] = []
    segments = value.split(b"/")
    for segment in segments:
        if segment in {b"", b"."}:
            continue
        if segment == b".." and kept and kept[-1] != b"..":
            kept.pop()
        elif segment != b".." or not value.startswith(b"/"):
            kept.append(segment)
    start = b"/" if value.startswith(b"/") else b""
    end = b"/" if kept and kept[-1] != b".." and segments[-1] in {b"", b".", b".."} else b""
    return start + b"/".join(kept) + end


def _normalize_path_win(value: bytes) -> bytes:
    return _normalize_path(value.replace(b"\\", b"/"))


TRANSFORMATIONS: dict[str, Change] = {
    "base64_decode": _base64_decode,
    "base64_decode_ext": _base64_decode_ext,
    "cmd_line": _cmd_line,
    "compress_white_space": _compress_white_space,
    "css_decode": _css_decode,
    "escape_seq_decode": _escape_seq_decode,
    "hex_decode": _hex_decode,
    "html_entity_decode": _html_entity_decode,
    "js_decode": _js_decode,
    "lowercase": bytes.lower,
    "md5": lambda value: hashlib.md5(value, usedforsecurity=False).digest(),
    "none": lambda value: value,
    "normalize_path": _normalize_path,
    "normalize_path_win": _normalize_path_win,
    "remove_comments_char": _remove_comments_char,
    "remove_nulls": lambda value: value.replace(b"\0", b""),
    "remove_whitespace": _remove_whitespace,
    "replace_comments": _replace_comments,
    "replace_nulls": lambda value: value.replace(b"\0", b" "),
    "sha256": lambda value: hashlib.sha256(value).digest(),
    "sql_hex_decode": _sql_hex_decode,
    "trim": lambda value: value.strip(_WHITE),
    "trim_left": lambda value: value.lstrip(_WHITE),
    "trim_right": lambda value: value.rstrip(_WHITE),
    "uppercase": bytes.upper,
    "url_decode": _url_decode,
    "url_decode_uni": _url_decode_uni,
    "utf8_to_unicode": _utf8_to_unicode,
}
"""Every transformation that a web ACL may name."""
