"""Tables: what is read is what every other strict reader reads, and what is odd is not read."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.codecs.csv import CELLS_MAX, Csv, _read_cells, _read_numbers
from vallum.core.exchange import Headers

HEADER = Headers([("content-type", "text/csv; header=present")])
SIGNS = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\ufeff")
TEXTS = st.text(SIGNS, max_size=8)
CELLS = st.one_of(TEXTS, st.integers(), st.floats(allow_nan=False, allow_infinity=False))
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=5)
)


def has_end(text: str) -> bool:
    """Say whether a text is no number, or a finite one."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return True


WORDS = TEXTS.filter(bool).filter(has_end)


@given(TABLES)
def test_a_table_is_read_as_it_was_written(rows: list[list[Any]]) -> None:
    written = Csv().encode({"rows": rows})
    assert Csv().decode(written) == {"rows": rows}
    assert Csv().encode(Csv().decode(written)) == written


@given(TABLES)
def test_other_readers_find_the_same_cells(rows: list[list[Any]]) -> None:
    texts = list(csv.reader(io.StringIO(Csv().encode({"rows": rows}).decode(), newline=""), strict=True))
    assert texts == [[cell if isinstance(cell, str) else repr(cell) for cell in row] for row in rows]


@given(st.lists(st.lists(WORDS, min_size=2, max_size=2), min_size=1, max_size=5), st.booleans())
def test_what_another_writer_wrote_is_read(rows: list[list[str]], every: bool) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL if every else csv.QUOTE_MINIMAL).writerows(rows)
    found = Csv().decode(out.getvalue().encode())["rows"]
    for row, got in zip(rows, found, strict=True):
        for cell, read in zip(row, got, strict=True):
            assert read == (cell if isinstance(read, str) else json.loads(cell))
            assert isinstance(read, str) or not every


@given(st.binary(max_size=60))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    try:
        rows = Csv().decode(body)["rows"]
    except ValueError:
        return
    assert len({len(row) for row in rows}) == 1
    assert Csv().decode(Csv().encode({"rows": rows})) == {"rows": rows}


@given(st.lists(st.lists(st.text("0123456789.-+eE ", max_size=6), min_size=1, max_size=3), min_size=1, max_size=3))
def test_the_quick_way_reads_what_the_slow_one_reads(rows: list[list[str]]) -> None:
    body = "\n".join(",".join(row) for row in rows).encode()
    quick = _read_numbers(body)
    if quick is not None:
        slow = _read_cells(body)
        assert slow == quick
        assert [[type(cell) for cell in row] for row in slow] == [[type(cell) for cell in row] for row in quick]


def test_a_header_is_one_where_it_is_said() -> None:
    assert Csv().decode(b"a,1\n2,x\n", HEADER) == {"header": ["a", "1"], "rows": [[2, "x"]]}
    assert Csv().decode(b"a,1\n") == {"rows": [["a", 1]]}
    named = {"header": ["1e3", "007", "1e400", "a,b"], "rows": [[1, 2, 3, 4]]}  # names are not numbers
    assert Csv().decode(b'1e3,007,1e400,"a,b"\n1,2,3,4', HEADER) == named
    assert Csv().decode(Csv().encode(named), HEADER) == named
    assert Csv().encode({"header": ["a", ""], "rows": [[1, None]]}) == b'a,""\n1,\n'


def test_a_missing_value_is_null_and_a_quoted_one_a_text() -> None:
    assert Csv().decode(b',"",1\n') == {"rows": [[None, "", 1]]}


@pytest.mark.parametrize("commas", [CELLS_MAX, 10**6])
def test_too_many_cells(commas: int) -> None:
    with pytest.raises(ValueError, match="cells"):
        Csv().decode(b"," * commas)


def test_messages_quote_nothing() -> None:
    for body in (
        b'sec"ret',
        b"secret\x00",
        b"secret,1\nsecret",
        b"\xffsecret",
        b"secret\n\nsecret",
        b"",
        b"nan,secret",
    ):
        with pytest.raises(ValueError, match=r"^[a-zA-Z0-9 ,':-]+$") as caught:
            Csv().decode(body)
        assert "secret" not in str(caught.value)
