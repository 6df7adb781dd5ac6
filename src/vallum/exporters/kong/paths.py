"""Paths as Kong matches them: regular expressions that begin with `~` and hold for the whole path."""

from __future__ import annotations

import re

META = re.compile(r"([.+*?()\[\]{}^$|\\])")


def write_path(pattern: str) -> str:
    """Return the expression of a route's path: `/a/*`, `/a/{name}`, `/a/**`."""
    *segments, last = pattern[1:].split("/")
    if last != "**":
        segments.append(last)
    text = "".join(f"/{_segment(segment)}" for segment in segments)
    if last == "**":
        return f"~{text}(?:/.*)?$" if text else "~/.*$"
    return f"~{text}$"


def write_excluded(pattern: str) -> str:
    """Return the expression of an excluded path: any letter case, path parameters, a last slash."""
    *segments, last = pattern[1:].split("/")
    if last != "**":
        segments.append(last)
    text = "".join(f"/{_segment(segment)}(?:;[^/]*)?" for segment in segments)
    return f"~(?i){text}{'(?:/.*)?' if last == '**' else '/?'}$"


def _segment(segment: str) -> str:
    if segment == "*":
        return "[^/]+"
    if segment.startswith("{"):
        return f"(?<{segment[1:-1]}>[^/]+)"
    return META.sub(r"\\\1", segment)
