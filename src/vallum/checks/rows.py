"""Hold rows of numbers and short texts to bounds that no JSON Schema can state: elements in all, one shape, one kind.

What it stops
    Batches that are small by their length and huge by what is in them, ragged rows, columns that change their kind
    half-way down, texts where numbers stand, base64 that is none.
Config
    None of its own: the presets `predict.json`, `tf_serving.*` and `torchserve.predict` bring it, and `request.bounds`
    moves its bounds (`rows`, `columns`, `inputs`, `elements`, `rank`, `text_chars`, `base64_chars`, `ragged`, `mixed`).
Cost
    About 40 ns an element.
Misses
    Whether a value is one that the model was built for: a schema says that.  Rows that are objects may lack members,
    as a missing value does.  What is inside base64 is not looked at.
Example
    match: {path: /v1/models/scorer:predict}
    preset: tf_serving.predict
    request:
      bounds: {rows: 8}
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

from vallum.core.content import escape_pointer
from vallum.core.decision import Finding, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.core.content import Content

BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
NOTHING = type(None)  # a missing value, in a column of any kind
KINDS: dict[type, str] = {bool: "truth", int: "number", float: "number", str: "text", dict: "object", list: "list"}
Column = tuple[str, list[Any], int]  # its place, its values, and the lists that it lies in
POINTER_MAX_CHARS = 200


class Rows:
    """Looks at everything in a document as tables."""

    type: ClassVar[str] = "rows"

    def __init__(self, bounds: Mapping[str, int]) -> None:
        """Hold rows to `bounds`."""
        self._elements = bounds["elements"]
        self._rows = bounds["rows"]
        self._columns = bounds.get("columns", self._elements)
        self._members = bounds.get("inputs", self._columns)  # of an object, and of all that stand side by side
        self._rank = bounds["rank"]
        self._text_chars = bounds["text_chars"]
        self._base64_chars = bounds.get("base64_chars", 0)
        self._ragged = bool(bounds["ragged"])
        self._mixed = bool(bounds["mixed"])

    def inspect(self, content: Content) -> Finding | None:
        """Return the first table that is none, by the place of its column."""
        # A column is what stands at one place of every row.  Columns wait here, with the lists that they lie in.
        waiting: list[Column] = [("", [content.document], 0)]
        left = self._elements
        while waiting:
            where, column, depth = waiting.pop()
            values = column if None not in column else [item for item in column if item is not None]
            kinds = {KINDS[kind] for kind in set(map(type, values))}
            if kinds == {"list"}:
                inner = list(chain.from_iterable(values))
                fault = self._inspect_lists(values, inner, depth)
                columns = _turn(where, inner, depth, len(values[0]) if depth else len(inner))
                waiting.extend(columns)
            elif kinds == {"object"}:
                left -= len(column)
                columns, fault = self._inspect_objects(values, where, depth)
                waiting.extend(columns)
            else:
                left -= len(column)
                fault = self._inspect_values(values, kinds)
            if fault or left < 0:
                return Finding(fault or "elements", where, reason=Reason.INVALID_REQUEST, public=True)
        return None

    def _inspect_values(self, values: list[Any], kinds: set[str]) -> str:
        """Return the rule that a column of plain values breaks."""
        if len(kinds) > 1 and (not self._mixed or kinds & {"list", "object"}):
            return "mixed"
        if "text" in kinds and max([len(text) for text in values if type(text) is str]) > self._text_chars:
            return "maxLength"
        return ""

    def _inspect_objects(self, objects: list[Any], where: str, depth: int) -> tuple[list[Column], str]:
        """Turn objects into their columns, and return these with the rule that they break."""
        if any("b64" in item for item in objects):
            return [], self._inspect_base64(objects)
        columns: dict[str, list[Any]] = {name: [] for name in chain.from_iterable(objects)}
        if len(columns) > self._members:
            return [], "maxProperties"
        for item in objects:
            for name, value in item.items():
                columns[name].append(value)
        found = [(f"{where}/{escape_pointer(name)}"[:POINTER_MAX_CHARS], columns[name], depth) for name in columns]
        return found, ""

    def _inspect_lists(self, lists: list[Any], inner: list[Any], depth: int) -> str:
        """Return the rule that lists side by side break, which lie in `depth` others."""
        if depth >= self._rank:
            return "rank"
        lengths = set(map(len, lists))
        if len(lengths) > 1 and not self._ragged:
            return "ragged"
        if depth:
            return "columns" if max(lengths) > self._columns else ""
        plain = bool(inner) and type(inner[0]) in (int, float, bool)  # one row, without a list around it
        most, rule = (self._columns, "columns") if plain else (self._rows, "rows")
        return rule if len(inner) > most else ""

    def _inspect_base64(self, objects: list[Any]) -> str:
        """Return the rule that one of these breaks, each of which is to be base64 alone."""
        for item in objects:
            text = item.get("b64")
            if type(text) is not str or len(item) != 1 or len(text) % 4 or not BASE64.fullmatch(text):
                return "base64"
            if len(text) > self._base64_chars:
                return "maxLength"
        return ""


def _turn(where: str, inner: list[Any], depth: int, width: int) -> list[Column]:
    """Return what lay in lists: one column, or as many as a row is wide where its values are of several kinds."""
    kinds = {KINDS[kind] for kind in set(map(type, inner)) if kind is not NOTHING}
    if len(kinds) > 1 and depth <= 1 and width and not kinds & {"list", "object"} and not len(inner) % width:
        return [(where, inner[index::width], depth + 1) for index in range(width)]
    return [(where, inner, depth + 1)]
