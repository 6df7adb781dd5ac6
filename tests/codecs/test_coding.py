"""Content codings: undone within bounds; what is cut, followed by more, or a bomb is not."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from vallum.codecs.coding import CODINGS, FREE_BYTES, RATIO_MAX

BODY = b'{"text": "hello"}' * 100
GZIP, DEFLATE = CODINGS["gzip"], CODINGS["deflate"]


def test_what_clients_send() -> None:
    assert GZIP.undo(gzip.compress(BODY), 1 << 20) == BODY
    assert DEFLATE.undo(zlib.compress(BODY), 1 << 20) == BODY
    assert GZIP.undo(gzip.compress(b""), 1) == b""


def test_a_body_of_exactly_the_bound() -> None:
    packed = gzip.compress(BODY)

    assert GZIP.undo(packed, len(BODY)) == BODY
    assert GZIP.undo(packed, len(BODY) - 1) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x1f\x8b",
        b"plain",
        BODY,
        gzip.compress(BODY, mtime=0)[:-1],
        gzip.compress(BODY, mtime=0)[:-8],
        gzip.compress(BODY, mtime=0) + b"x",
        gzip.compress(BODY, mtime=0) + b"\0" * 8,
        gzip.compress(BODY, mtime=0) + gzip.compress(b"more", mtime=0),
        gzip.compress(BODY, mtime=0)[:-8] + b"\0" * 8,
        zlib.compress(BODY),
    ],
)
def test_what_is_no_whole_gzip(body: bytes) -> None:
    with pytest.raises(ValueError, match="gzip"):
        GZIP.undo(body, 1 << 20)


@pytest.mark.parametrize("body", [zlib.compress(BODY)[2:-4], gzip.compress(BODY, mtime=0), zlib.compress(BODY)[:-1]])
def test_what_is_no_whole_deflate(body: bytes) -> None:
    with pytest.raises(ValueError, match="deflate"):
        DEFLATE.undo(body, 1 << 20)


def test_gzip_in_gzip_is_undone_once() -> None:
    once = gzip.compress(BODY)

    assert GZIP.undo(gzip.compress(once), 1 << 20) == once


def test_a_bomb_is_stopped_while_it_goes_off() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    tracemalloc.start()
    try:
        assert GZIP.undo(bomb, 1 << 30) is None
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert len(bomb) * RATIO_MAX < 50_000_000
    assert peak < 2 * len(bomb) * RATIO_MAX + 1_000_000


def test_a_short_uniform_body_is_no_bomb() -> None:
    assert GZIP.undo(gzip.compress(b" " * FREE_BYTES), 1 << 20) == b" " * FREE_BYTES
    assert GZIP.undo(gzip.compress(b" " * (FREE_BYTES + 1)), 1 << 20) is None
