"""What a stream holds back is neither lost nor read again and again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from vallum.core.stream import Events, Lines

if TYPE_CHECKING:
    from tests.conftest import Kit


class Overrun:
    """A bill whose reservation is over with every document."""

    meter = None
    streams = cuts = False
    missing_tokens = 1

    def read(self, document: object) -> bool:
        return True


@pytest.mark.parametrize(
    ("make", "written"),
    [(Events, b'data: {"a":%d}\n\n'), (Lines, b'{"a":%d}\n')],
)
def test_what_came_with_the_document_that_ran_over_leaves_before_anything_else_comes(
    kit: Kit, make: type[Events | Lines], written: bytes
) -> None:
    relay = make(kit.outlet(), set(), True, Overrun())  # type: ignore[arg-type]
    three = [written % number for number in range(3)]
    assert relay.chunk(b"".join(three) + three[0][:5]) == b""
    assert relay.chunk(b"") == three[0]
    assert relay.chunk(b"") == three[1]
    assert relay.chunk(b"") == three[2]


def test_a_line_that_comes_in_many_pieces_is_read_once(kit: Kit) -> None:
    relay = Lines(kit.outlet(), set(), True)
    line = b'{"a":"' + b"x" * 1_000_000
    began = time.process_time()
    for at in range(0, len(line), 2):
        relay.chunk(line[at : at + 2])
    assert relay.chunk(b'"}\n') == line + b'"}\n'
    assert time.process_time() - began < 10, "minutes where each look begins anew"
