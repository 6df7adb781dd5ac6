"""Bytes of HTTP/1.1 on both legs: status lines, header blocks, chunks."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}


def status_line(status: int) -> str:
    """Return the status line, without a phrase where none is registered."""
    return STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n"


def head(start: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """Write a start line, which ends in CRLF, and header fields.

    Raises ValueError on a field that would end early: nothing that reached us may write a header of its own.
    """
    lines = [f"{name}: {value}\r\n" for name, value in fields]
    block = f"{start}{''.join(lines)}\r\n"
    if block.count("\n") != len(lines) + 2:
        raise ValueError("a header field holds a line break")
    return block.encode("latin-1", "replace")


def chunk(data: bytes) -> bytes:
    """Write one chunk (RFC 9112 7.1); empty data would end the body and is written as nothing."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
