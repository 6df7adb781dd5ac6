"""What was seen of an API: its routes, and of each the body, the query and the sizes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from vallum.core.target import Pattern, canonical_path
from vallum.drafts.draft import RouteDraft, name_of
from vallum.drafts.propose import next_power, propose
from vallum.drafts.seen import CALLERS_KEPT, Range, Seen

if TYPE_CHECKING:
    from collections.abc import Iterable

ROUTES_MAX = 200
DIGITS_MAX = 32
SEGMENTS_MAX = 16
MADE_UP = re.compile(r"[0-9]+|[0-9a-fA-F]{16,}|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
METHODS = frozenset("GET HEAD POST PUT PATCH DELETE OPTIONS".split())
INTEGER, NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})"), re.compile(r"-?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,18}")
NO_BODY = object()


class Sample(NamedTuple):
    """One request, as much of it as is learnt from."""

    method: str
    path: str
    query: Iterable[tuple[str, str]] = ()
    body: Any = NO_BODY
    size_bytes: int = 0
    caller: str = ""


@dataclass(slots=True)
class _Route:
    method: str
    path: str
    count: int = 0
    sizes: Range = field(default_factory=Range)
    callers: set[str] = field(default_factory=set)
    body: Seen = field(default_factory=Seen)
    bodies: int = 0
    query: Seen = field(default_factory=Seen)

    def add(self, sample: Sample) -> None:
        self.count += 1
        if sample.caller and len(self.callers) < CALLERS_KEPT:
            self.callers.add(sample.caller)
        if sample.body is not NO_BODY:
            self.bodies += 1
            self.sizes.add(sample.size_bytes)
            self.body.add(sample.body, sample.caller)
        given: dict[str, Any] = {}
        for name, text in sample.query:
            value = _read(text)
            given[name] = (
                [*given[name], value]
                if isinstance(given.get(name), list)
                else ([given[name], value] if name in given else value)
            )
        self.query.add(given, sample.caller)

    def merge(self, other: _Route) -> None:
        self.count += other.count
        self.bodies += other.bodies
        self.sizes.merge(other.sizes)
        self.callers = set(sorted(self.callers | other.callers)[:CALLERS_KEPT])
        self.body.merge(other.body)
        self.query.merge(other.query)


class Traffic:
    """Everything that was seen of an API, in bounded memory."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._routes: dict[tuple[str, str], _Route] = {}
        self.count = 0
        self.left_out = 0  # past ROUTES_MAX, or with no canonical path

    def add(self, sample: Sample) -> None:
        """Take note of one request that the upstream took."""
        path = template_of(sample.path)
        key = (sample.method, path or "")
        if (
            path is None
            or sample.method not in METHODS
            or (key not in self._routes and len(self._routes) >= ROUTES_MAX)
        ):
            self.left_out += 1
            return
        self.count += 1
        self._routes.setdefault(key, _Route(*key)).add(sample)

    def merge(self, other: Traffic) -> None:
        """Take note of all that another has seen."""
        self.count += other.count
        self.left_out += other.left_out
        for key, route in other._routes.items():
            self._routes.setdefault(key, _Route(*key)).merge(route)

    def propose(self) -> list[RouteDraft]:
        """Return a route for each that was seen, with the evidence for its bounds."""
        taken: set[str] = set()
        return [
            _propose(route, name_of(f"{route.method.lower()}{route.path}", taken)) for route in self._routes.values()
        ]


def template_of(path: str) -> str | None:
    """Return the pattern of a path: what looks made up stands for any; None where no route can name it."""
    plain = canonical_path(path)
    if plain is None or plain.count("/") > SEGMENTS_MAX:
        return None
    count = 0
    parts = []
    for part in plain[1:].split("/"):
        if MADE_UP.fullmatch(part):
            count += 1
            parts.append("{id}" if count == 1 else f"{{id{count}}}")
        else:
            parts.append(part)
    template = "/" + "/".join(parts)
    try:
        Pattern.parse(template)
    except ValueError:
        return None
    return template


def _propose(route: _Route, name: str) -> RouteDraft:
    known = bool(route.callers)
    callers = f" from {'several callers' if len(route.callers) > 1 else 'one caller'}" if known else ""
    draft = RouteDraft(name=name, method=route.method, path=route.path, notes=[f"Seen {route.count:,} times{callers}."])
    if route.bodies:
        most = max(next_power(route.sizes.most or 0), 1024)
        draft.max_bytes = most
        draft.notes.append(f"Bodies {route.sizes.least:,.0f}..{route.sizes.most:,.0f} bytes, proposed 0..{most:,}.")
        body = propose(route.body, callers_known=known)
        draft.body = body if route.bodies == route.count else {"anyOf": [body, {"type": "null"}]}
    if route.query.members is None or route.query.members:
        query = propose(route.query, callers_known=known)
        draft.parameters = {"type": "object", "properties": {"query": _as_parameters(query)}}
    if route.count < 1000:
        draft.notes.append("Seen too seldom to be sure of: let it run in shadow first.")
    return draft


def _as_parameters(query: dict[str, Any]) -> dict[str, Any]:
    """Mend what a query cannot tell: a list of one, and a text that happens to be a number."""
    for name, schema in query.get("properties", {}).items():
        kinds = {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])
        if "array" in kinds and len(kinds) > 1:
            query["properties"][name] = {"type": "array", "items": schema["items"], "maxItems": schema["maxItems"]}
        elif "string" in kinds and len(kinds) > 1:
            longest = max(schema.get("maxLength", 0), DIGITS_MAX)
            query["properties"][name] = {"type": "string", "maxLength": longest}
    return query


def _read(text: str) -> Any:
    """Return what a text of a query most likely says."""
    if INTEGER.fullmatch(text):
        return int(text)
    if NUMBER.fullmatch(text):
        return float(text)
    return text == "true" if text in ("true", "false") else text
