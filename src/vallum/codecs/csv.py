"""Tables of comma-separated values (RFC 4180), read strictly: what two parsers could read in two ways is not read.

One comma between cells, one line a row, as many cells in each as in the first.  Quotes surround a whole cell or do not
stand in it at all, and no line ends inside them.  UTF-8 without a byte-order mark, without control characters other
than the ends of lines, and without the separators that some languages take for one.  The media type says whether the
first row is a header (`header=present`); nobody guesses.

A cell that is written as JSON writes a number is a number in the document, an empty one is null (a missing value), and
every other is a text; quotes make any cell a text.  The document is `{"rows": [...]}`, with `header` where there is
one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.exchange import Headers

CELLS_MAX = 100_000  # each costs a step, before anybody has counted columns
NUMERIC = b"0123456789+-.eE,\n"  # in a body of no other signs every cell is a number, or none is worth a text
CELL = re.compile(r'"(?:[^"]|"")*"|[^",]*')
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
NUMBER_MAX_CHARS = 300
LARGE = 10**200  # beyond this a number may be too long
NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)  # to the readers of most languages
# Control characters, and what Unicode or a language's library takes for the end of a line.
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029\ufeff]")


class Csv:
    """Reads and writes tables."""

    def decode(self, body: bytes, headers: Headers | None = None) -> dict[str, Any]:
        """Parse `body`; raise ValueError, which quotes nothing, for what is no table."""
        header = _has_header(headers)
        body = body.replace(b"\r\n", b"\n").removesuffix(b"\n")  # a lone CR stays, and is refused
        if body.count(b",") + body.count(b"\n") >= CELLS_MAX:
            raise ValueError(f"over {CELLS_MAX} cells")
        rows = None if header else _read_numbers(body)
        if rows is None:
            rows = _read_cells(body, header)
        columns = len(rows[0])
        if {columns} != set(map(len, rows)):
            raise ValueError("rows of different lengths")
        if not header:
            return {"rows": rows}
        if len(set(rows[0])) != columns:
            raise ValueError("two columns of one name")
        return {"header": rows[0], "rows": rows[1:]}

    def encode(self, document: Any) -> bytes:
        """Serialise, with every text in quotes that needs them."""
        rows = [document["header"], *document["rows"]] if "header" in document else document["rows"]
        return "".join([",".join(map(_write_cell, row)) + "\n" for row in rows]).encode()


def _has_header(headers: Headers | None) -> bool:
    """Say whether the media type promises a header (RFC 4180 3)."""
    _, *parameters = ((headers and headers.get("content-type")) or "").lower().split(";")
    said = [
        value.strip().strip('"')
        for name, _, value in (text.partition("=") for text in parameters)
        if name.strip() == "header"
    ]
    if len(said) > 1 or not {"present", "absent"}.issuperset(said):
        raise ValueError("a header is present or absent")
    return said == ["present"]


def _read_numbers(body: bytes) -> list[list[Any]] | None:
    """Read a table of numbers alone, in one step; None where it is another."""
    if not body or body.translate(None, NUMERIC):
        return None
    try:
        rows: list[list[Any]] = jiter.from_json(b"[[" + body.replace(b"\n", b"],[") + b"]]", allow_inf_nan=False)
    except ValueError:  # an empty cell, a leading zero: texts
        return None
    if not all(rows) or max(map(max, rows)) > LARGE or min(map(min, rows)) < -LARGE:
        return None
    return rows


def _read_cells(body: bytes, header: bool = False) -> list[list[Any]]:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8") from error
    if FORBIDDEN.search(text):
        raise ValueError("a control character, or a line's end that is none everywhere")
    if not text:
        raise ValueError("no rows")
    lines = text.split("\n")
    if "" in lines:  # which some skip, and some take for a missing value
        raise ValueError("an empty line")
    rows = [_read_line(line, _read_cell) for line in lines[header:]]
    return [_read_line(lines[0], str), *rows] if header else rows  # names are texts as they are written


def _read_line(line: str, read: Callable[[str], Any]) -> list[Any]:
    if '"' not in line:
        return [read(cell) for cell in line.split(",")]
    cells: list[Any] = []
    at = 0
    while True:
        match = CELL.match(line, at)
        assert match is not None  # an empty cell is one
        cell = match[0]
        cells.append(cell[1:-1].replace('""', '"') if cell[:1] == '"' else read(cell))
        at = match.end()
        if at == len(line):
            return cells
        if line[at] != ",":
            raise ValueError("a quote inside a cell, or one that does not end on its line")
        at += 1


def _read_cell(cell: str) -> Any:
    if not cell:
        return None
    if cell[0] not in "+-0123456789iInN":  # most texts end here
        return cell
    if not NUMBER.fullmatch(cell):
        if NOT_FINITE.fullmatch(cell):
            raise ValueError("a number is not finite")
        return cell
    if len(cell) > NUMBER_MAX_CHARS:
        raise ValueError("a number is too long")
    return float(cell) if "." in cell or "e" in cell or "E" in cell else int(cell)


def _write_cell(cell: Any) -> str:
    if not isinstance(cell, str):
        return "" if cell is None else repr(cell)
    if not cell or '"' in cell or "," in cell or NUMBER.fullmatch(cell) or NOT_FINITE.fullmatch(cell):
        return '"' + cell.replace('"', '""') + '"'
    return cell
