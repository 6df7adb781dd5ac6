"""What a statement looks at: one part of a request, or several, each transformed.

Rule 1: every value is looked at: of a header field, a cookie or a parameter that comes twice, both.
Rule 2: values are bytes as they came; nothing is decoded but by a transformation, so the order in the policy is the
        order of decoding.  Only the path is in the one form that routes are matched in (target.py), and names of
        parameters are decoded once, so that `%75ser` is `user`.
Rule 3: what several statements look at is taken out of a request once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from vallum.signatures.transformations import apply
from vallum.statements.part import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vallum.core.exchange import Exchange, Request
    from vallum.statements.json_body import JsonStrings


class Field:
    """One field to match, under one list of transformations."""

    def __init__(
        self,
        name: str,
        read: Callable[[Request], Iterable[Part]] | None = None,
        *,
        json: JsonStrings | None = None,
        transforms: tuple[str, ...] = (),
        oversize: str = "match",
        inspect_bytes: int = 0,
    ) -> None:
        """Take `read`'s parts of the head; without it the body's, or those that `json` finds in it."""
        self.name = name
        self.reads_body = read is None
        self.transforms = transforms
        self.inspect_bytes = inspect_bytes
        self._oversize = oversize
        self._json = json
        self._read = read

    def verdict(self, x: Exchange) -> str | None:
        """Say what holds of a body that is not looked at: `match`, `no_match`, or None where it is looked at."""
        if not self.reads_body:
            return None
        if len(x.body) > self.inspect_bytes and self._oversize != "continue":
            return self._oversize
        if self._json is not None and x.content is None and x.body and self._json.invalid != "evaluate_as_string":
            return self._json.invalid
        return None

    def parts(self, x: Exchange) -> list[Part]:
        """Return what is looked at, transformed."""
        known: list[Part] | None = x.parts.get(self)
        if known is None:
            parts = self._take(x)
            if self.transforms:
                parts = (Part(where, apply(self.transforms, value)) for where, value in parts)
            known = x.parts[self] = list(parts)
        return known

    def _take(self, x: Exchange) -> Iterable[Part]:
        if self._read is not None:
            return self._read(x.request)
        if self._json is None or (x.content is None and x.body):
            return (Part("the body", x.body[: self.inspect_bytes]),)
        return () if x.content is None else _bounded(self._json.find(x.content.document), self.inspect_bytes)


def _bounded(parts: Iterable[Part], most: int) -> Iterator[Part]:
    """Yield parts until so many bytes have been."""
    for part in parts:
        if most <= 0:
            return
        yield part
        most -= len(part.value)


def raw(text: str) -> bytes:
    """Return the bytes that a text of a request's head came as."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:  # an adapter that is handed text
        return text.encode("utf-8", "surrogatepass")


def method(request: Request) -> list[Part]:
    """Take the method."""
    return [Part("the method", raw(request.method))]


def uri_path(request: Request) -> list[Part]:
    """Take the path, in its canonical form."""
    return [Part("the path", (request.path or "").encode("utf-8", "surrogatepass"))]


def query_string(request: Request) -> list[Part]:
    """Take the query as it came."""
    return [Part("the query", raw(request.query))]


def all_query_arguments(request: Request) -> list[Part]:
    """Take every name and every value of the query."""
    parts: list[Part] = []
    for name, value in query_pairs(request):
        shown = f"query {_short(name)}"
        parts += [Part(shown, raw(value)), Part(f"{shown} (its name)", raw(name))]
    return parts


def headers(request: Request) -> list[Part]:
    """Take every name and every value of the head."""
    parts: list[Part] = []
    for name, value in request.headers.fields:
        shown = f"header {_short(name)}"
        parts += [Part(shown, raw(value)), Part(f"{shown} (its name)", raw(name))]
    return parts


def cookies(request: Request) -> list[Part]:
    """Take every name and every value of the cookies (RFC 6265 4.2.1), of however many fields."""
    parts: list[Part] = []
    for field in request.headers.all("cookie"):
        for pair in field.split(";"):
            name, _, value = pair.strip().partition("=")
            shown = f"cookie {_short(name)}"
            parts += [Part(shown, raw(value)), Part(f"{shown} (its name)", raw(name))]
    return parts


def one_header(name: str) -> Callable[[Request], list[Part]]:
    """Make what takes every value of one header field."""
    name = name.lower()
    return lambda request: [Part(f"header {name}", raw(value)) for value in request.headers.all(name)]


def one_query_argument(name: str) -> Callable[[Request], list[Part]]:
    """Make what takes every value of one parameter, whose name is compared without regard to case."""
    wanted = name.casefold()
    return lambda request: [
        Part(f"query {name}", raw(value)) for key, value in query_pairs(request) if is_named(key, wanted)
    ]


def query_pairs(request: Request) -> list[tuple[str, str]]:
    """Split a query at `&` into names and values, neither decoded."""
    if not request.query:
        return []
    pairs = [piece.partition("=") for piece in request.query.split("&")]
    return [(name, value) for name, _, value in pairs]


def is_named(name: str, wanted: str) -> bool:
    """Say whether a parameter's name is `wanted`, a name in folded case, once it is decoded."""
    return unquote_plus(name).casefold() == wanted


def _short(name: str) -> str:
    """Return a caller's own name for something, as a record may hold it."""
    return name if len(name) <= 40 and name.replace("-", "").replace("_", "").isalnum() else "(a strange name)"


READERS: dict[str, Callable[[Request], Iterable[Part]]] = {
    "method": method,
    "uri_path": uri_path,
    "query_string": query_string,
    "all_query_arguments": all_query_arguments,
    "headers": headers,
    "cookies": cookies,
}
