"""YAML as decK reads it: values, and variables of the environment that it puts in."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from vallum.exporters.yaml_text import strip, write_scalar

VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


class Reference(NamedTuple):
    """A text that ends in an environment variable, which decK puts in."""

    before: str
    variable: str


def plain(document: Any) -> Any:
    """Return a document without its comments, and with references as they read once decK has put them in."""
    return strip(document, _filled)


def scalar(value: Any) -> str:
    """Write a scalar; a reference in single quotes, as decK reads the file as text first and knows no YAML escapes."""
    if not isinstance(value, Reference):
        return write_scalar(value)
    if not VARIABLE.fullmatch(value.variable) or not all(" " <= sign <= "~" for sign in value.before):
        raise ValueError("a reference is plain text and the name of a variable")
    before = value.before.replace("'", "''").replace("${{", "$ {{")
    return f"'{before}${{{{ env \"{value.variable}\" }}}}'"


def _filled(value: Any) -> Any:
    return f"{value.before}${value.variable}" if isinstance(value, Reference) else value
