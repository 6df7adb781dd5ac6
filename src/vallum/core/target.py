"""Request targets and the patterns that name them.

Rule: a path is matched in the one form in which it is forwarded.  A target that could be read in two ways (dot
segments, empty segments, encoded slashes, double encoding, control characters) has no canonical form and matches no
route; so there is nothing that the gateway reads in one way and the upstream in another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

# RFC 3986 3.3 pchar, less the percent sign; what `forwarded` leaves as it is.
SAFE = "/:@!$&'()*+,;=-._~"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" + SAFE)
_ENCODED = _PLAIN | {"%"}
# All but the signs at which an authority ends (RFC 3986 3.2).
AUTHORITY = "".join(chr(code) for code in range(33, 127) if chr(code) not in "/?#")
NAME = re.compile(r"\*|\{[A-Za-z_][A-Za-z0-9_]*\}")


class Target(NamedTuple):
    """A request target in two parts.  `path` is decoded and canonical, or None where no canonical form exists."""

    path: str | None
    query: str


def parse_target(raw: str) -> Target:
    """Split a request target in origin or absolute form (RFC 9112 3.2) into canonical path and raw query."""
    if raw.startswith(("http://", "https://")):  # absolute form: the authority is not ours to judge
        rest = raw.partition("://")[2]
        authority = len(rest) - len(rest.lstrip(AUTHORITY))
        if not authority:
            return Target(None, "")
        raw = rest[authority:] if rest[authority : authority + 1] == "/" else f"/{rest[authority:]}"
    path, _, query = raw.partition("?")
    return Target(canonical_path(path), query)


def canonical_path(path: str) -> str | None:
    """Decode `path` once and return it, or None where two servers could read it differently."""
    if not path.startswith("/") or not _ENCODED.issuperset(path):
        return None
    if "%" in path:
        slashes = path.count("/")
        try:
            path = unquote_to_bytes(path).decode("utf-8")
        except UnicodeDecodeError:
            return None
        if path.count("/") != slashes or not path.isprintable() or any(sign in path for sign in "%\\?#"):
            return None
    if path != "/" and any(segment in ("", ".", "..") for segment in _segments(path)):
        return None
    return path


def _segments(path: str) -> list[str]:
    # A single trailing slash is a path of its own, not an empty segment.  `;` starts a path parameter, which some
    # servers drop before they look for dots.
    parts = path[1:].removesuffix("/").split("/")
    return [part.partition(";")[0] if ";" in part else part for part in parts]


def folded(path: str) -> str:
    """Return what a lenient server might take `path` for: letter case, path parameters and a last slash dropped."""
    plain = "/".join([segment.partition(";")[0] for segment in path.lower().split("/")])
    return plain.rstrip("/") or "/"


def forwarded(path: str) -> str:
    """Encode a canonical path for the wire again."""
    return path if _PLAIN.issuperset(path) else quote(path, safe=SAFE)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A path pattern: literal segments, `*` or `{name}` for one segment, a last `**` for any number, none included."""

    text: str
    segments: tuple[str | None, ...] | None  # None: compare the text whole
    open_ended: bool = False

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Compile a pattern; raise ValueError that says what is wrong with it."""
        if not text.startswith("/"):
            raise ValueError("a path starts with '/'")
        parts = text[1:].split("/")
        open_ended = parts[-1] == "**"
        if open_ended:
            parts.pop()
        if "**" in parts:
            raise ValueError("'**' may only be the last segment")
        wild = tuple(None if NAME.fullmatch(part) else part for part in parts)
        if any(part is not None and set("*{}?#%") & set(part) for part in wild):
            raise ValueError("a wildcard is a whole segment: '*', '{name}' or a last '**'")
        literal = "/" + "/".join("x" if part is None else part for part in wild)
        if canonical_path(literal) is None:
            raise ValueError("no request has such a path: empty segments and dots are refused before routes are asked")
        if None not in wild and not open_ended:
            return cls(text, None)
        return cls(text, wild, open_ended)

    def parameters(self, path: str) -> dict[str, str]:
        """Return what stands in the place of each `{name}` of this pattern in `path`, which it matches."""
        parts = zip(self.text[1:].split("/"), path[1:].split("/"), strict=False)
        return {name[1:-1]: part for name, part in parts if name.startswith("{")}

    def matches(self, path: str) -> bool:
        """Say whether this pattern names `path`, a canonical path."""
        if self.segments is None:
            return path == self.text
        parts = path[1:].split("/")
        spare = len(parts) - len(self.segments)
        if spare < 0 or (spare > 0 and not self.open_ended):
            return False
        return all(
            part == want if want is not None else part != "" for want, part in zip(self.segments, parts, strict=False)
        )
