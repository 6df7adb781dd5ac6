"""nginx's configuration as text, out of which no value can break.

A directive is a line of words; a block is a directive with lines below it.  Words that were not written here stand in
double quotes.  nginx has no sign for a dollar that begins no variable, and none for a line's end: both are refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vallum.exporters.export import ExportError
from vallum.exporters.yaml_text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BARE = re.compile(r"[A-Za-z0-9_./:=@-]+")


def quote(text: str) -> str:
    """Return `text` as one word without variables.  Raises ExportError for what nginx has no words for."""
    if "$" in text:
        raise ExportError(f"nginx would read a variable in {text!r}")
    return expression(text)


def expression(text: str) -> str:
    """Return `text` as one word in which a dollar is no variable's: a regular expression."""
    if not text.isprintable():
        raise ExportError(f"nginx cannot hold {text!r}")
    if BARE.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def block(head: str, lines: Iterable[str]) -> list[str]:
    """Return a directive with a block."""
    return [f"{head} {{", *(f"    {line}".rstrip() for line in lines), "}"]


def comment(*texts: str) -> list[str]:
    """Return lines that say why."""
    return [f"# {printable(text)}".rstrip() for text in texts]


def file(*parts: Sequence[str]) -> str:
    """Return a file of some parts, an empty line between them."""
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"
