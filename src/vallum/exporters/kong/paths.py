"""Paths as Kong matches them: regular expressions for the whole path, which begin with `~/`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.exporters.paths import excluded_expression, path_expression

if TYPE_CHECKING:
    from vallum.core.target import Pattern

ANY = "~/.*$"
FOLDED = "(?i:"


def write_path(pattern: Pattern) -> str:
    """Return the expression of a route's path."""
    return ANY if pattern.segments == () else f"~{path_expression(pattern)}$"


def write_excluded(pattern: Pattern) -> str:
    """Return the expression of an excluded path, in every spelling.  Its slash comes first: Kong looks for it."""
    if pattern.segments == ():
        return ANY
    return f"~/{FOLDED}{excluded_expression(pattern).removeprefix(f'{FOLDED}/')}$"
