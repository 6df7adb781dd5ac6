"""What a stream holds back is neither lost nor read again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vallum.core.cost import Bill, Tariff
from vallum.core.stream import Events, Lines

if TYPE_CHECKING:
    from tests.conftest import Kit


@pytest.mark.parametrize(
    ("make", "written"),
    [(Events, b'data: {"a":%d}\n\n'), (Lines, b'{"a":%d}\n')],
)
def test_what_came_with_the_document_that_ran_over_leaves_before_anything_else_comes(
    kit: Kit, make: type[Events | Lines], written: bytes
) -> None:
    bill = Bill(Tariff(), 0, None, None)
    relay = make(kit.outlet(), set(), True, bill)
    bill.cuts, bill.output_tokens = True, 1  # over what was reserved, with every document
    three = [written % number for number in range(3)]
    assert relay.chunk(b"".join(three) + three[0][:5]) == b""
    assert relay.chunk(b"") == three[0]
    assert relay.chunk(b"") == three[1]
    assert relay.chunk(b"") == three[2]


@pytest.mark.parametrize(("make", "begin", "end"), [(Events, b"data: ", b"\n\n"), (Lines, b"", b"\n")])
def test_a_document_that_comes_in_many_pieces_is_read_once(
    kit: Kit, make: type[Events | Lines], begin: bytes, end: bytes
) -> None:
    relay = make(kit.outlet(), set(), True)
    written = begin + b'{"a":"' + b"x" * 1_000_000
    for at in range(0, len(written), 2):
        relay.chunk(written[at : at + 2])
    assert relay.chunk(b'"}' + end) == written + b'"}' + end
