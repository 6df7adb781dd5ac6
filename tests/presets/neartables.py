"""Near-misses of tables (text/csv): what one reader of tables takes in one way and another in another, cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.presets.nearmiss import INVALID, MALFORMED, UNSUPPORTED, NearMiss

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vallum.core.exchange import Fields

CELLS_VISITED = 12  # of each table
CELL_MAX_CHARS = 1000  # the preset's bound
NUMBERS = ("NaN", "nan", "inf", "-Infinity", "+INF", "1e400", "-1E999", "9" * 400)  # names in a header, else no cell
CELLS: dict[str, str] = {
    "a quote inside": 'a"b',
    "a quote that does not end": '"a',
    "something behind a quote": '"a"b',
    "a blank behind a quote": '"a" ',
    "a quote twice": '""a',
    "a line's end in quotes": '"a\nb"',
    "an empty line": "a\n\nb",
    **{
        f"the sign {ord(sign):#x}": f"a{sign}b"
        for sign in "\0\x01\x08\x0b\x0c\r\x1b\x1c\x1e\x1f\x7f\x85\u2028\u2029\ufeff"
    },
}


def near_tables(text: str, fields: Fields) -> Iterator[NearMiss]:
    """Yield every near-miss of the table `text`, whose cells hold no quotes."""
    lines = text.rstrip("\r\n").replace("\r\n", "\n").split("\n")
    rows = [line.split(",") for line in lines]
    places = [(row, column) for row, cells in enumerate(rows) for column in range(len(cells))]
    step = max(1, len(places) // CELLS_VISITED)
    for row, column in places[::step]:
        for words, cell in CELLS.items():
            yield NearMiss(f"{words} at {row}, {column}", _with(rows, row, column, cell), MALFORMED, fields)
        for number in NUMBERS if row or "present" not in fields[0][1] else ():
            body = _with(rows, row, column, number)
            yield NearMiss(f"{number[:9]} at {row}, {column}", body, MALFORMED, fields)
        yield NearMiss(
            f"too long at {row}, {column}", _with(rows, row, column, "x" * (CELL_MAX_CHARS + 1)), INVALID, fields
        )
        if len(rows) > 1:
            yield NearMiss(f"a cell more at {row}, {column}", _with(rows, row, column, "a,b"), MALFORMED, fields)
    body = text.encode()
    for words, data in {
        "a byte-order mark": b"\xef\xbb\xbf" + body,
        "UTF-16": text.encode("utf-16"),
        "UTF-16 without a mark": text.encode("utf-16-le"),
        "UTF-32": text.encode("utf-32"),
        "not UTF-8": b"\xe9" + body,
        "an empty line first": b"\n" + body,
        "an empty line last": body.rstrip() + b"\n\n",
        "lines that end in CR": text.rstrip().replace("\n", "\r").encode() + b"\r",
    }.items():
        yield NearMiss(words, data, MALFORMED, fields)
    (_, said), *_ = fields
    for words, held in {
        "no type": (),
        "two types": fields * 2,
        "a list of types": (("content-type", "text/csv, text/plain"),),
        "another type": (("content-type", "text/plain"),),
        "the type of JSON": (("content-type", "application/json"),),
        "another charset": (("content-type", said.partition(";")[0] + "; charset=utf-16"),),
        "an encoding": (*fields, ("content-encoding", "gzip")),
    }.items():
        yield NearMiss(words, body, UNSUPPORTED, held)


def _with(rows: list[list[str]], row: int, column: int, cell: str) -> bytes:
    changed = [list(cells) for cells in rows]
    changed[row][column] = cell
    return "".join(",".join(cells) + "\n" for cells in changed).encode()
