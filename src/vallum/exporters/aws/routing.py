"""Routes as the tree of resources of a REST API, and which route answers at each of them.

Vallum asks routes in the order of the file; API Gateway takes the resource whose path is the most literal.  So each
resource gets, for each method, what the first route does that takes all of it: both then say the same.

Rule: a path that API Gateway cannot have is left out: there is no such resource, and what asks for it is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from vallum.core.target import Pattern
from vallum.exporters.export import Kind
from vallum.exporters.features import Feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vallum.config.model import RouteConfig
    from vallum.core.policy import Route
    from vallum.exporters.aws.template import Template

PART = re.compile(r"[A-Za-z0-9._:-]+")
VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
GREEDY = "{proxy+}"
DEEPER = "/\1" * 40  # further than any pattern of single segments reaches
REMEDY = "Put Vallum behind the API: it matches paths as the policy says."


@dataclass(slots=True)
class Node:
    """A resource: one more part of a path."""

    path: str  # as API Gateway writes it: `/v1/{name}`, `/v1/{proxy+}`; "" is the root
    sample: str  # a request for it, whose variable parts no literal equals
    children: dict[str, Node] = field(default_factory=dict)

    @property
    def part(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    def child(self, part: str) -> Node | None:
        """Return the resource below; None where API Gateway cannot have it."""
        if part not in self.children:
            if part.startswith("{"):
                taken = [name for name in self.children if name.startswith("{")]
                if taken:  # API Gateway takes one variable below a resource
                    return None if GREEDY in (part, taken[0]) else self.children[taken[0]]
            elif not PART.fullmatch(part):
                return None
            sample = DEEPER if part == GREEDY else "/\1" if part.startswith("{") else f"/{part}"
            self.children[part] = Node(f"{self.path}/{part}", self.sample + sample)
        return self.children[part]

    def below(self) -> Iterator[Node]:
        """Yield this resource and all below it, in the order of their names."""
        yield self
        for _, node in sorted(self.children.items()):
            yield from node.below()


class Entry(NamedTuple):
    """A route in both forms: as the file has it, and compiled."""

    config: RouteConfig
    route: Route


class Operation(NamedTuple):
    """What answers one method of one resource; no entry: nothing does, though a wider resource would."""

    node: Node
    method: str
    entry: Entry | None


def entries(template: Template) -> list[Entry]:
    """Return the routes of the file; those that the gateway itself answers stand before them in the policy."""
    compiled = {route.name: route for route in template.policy.routes if route.responder is None}
    return [Entry(config, compiled[config.name]) for config in template.config.routes]


def plant(template: Template, listed: list[Entry]) -> Node:
    """Return the root of the resources that routes, and the paths that they leave out, need."""
    root = Node("", "")
    # Single variables first: beside one of them API Gateway takes no `{proxy+}`.
    for entry in sorted(listed, key=lambda entry: entry.route.pattern.open_ended):
        where = f"routes.{entry.config.name}.match.path"
        if _grow(root, entry.config.match.path):
            continue
        feature = Feature.PATH_REST if entry.route.pattern.open_ended else Feature.PATH
        template.lose(feature, where, "not all of this path can be a resource of API Gateway", REMEDY, Kind.LOST)
    for entry in listed:
        for text in entry.config.match.exclude:
            _grow(root, text)
    return root


def operations(root: Node, listed: list[Entry]) -> list[Operation]:
    """Return what answers where, in the order of the resources."""
    found: list[Operation] = []
    for node in root.below():
        methods = sorted({method for entry in listed for method in entry.route.methods})
        for method in methods:
            entry, excluded = _first(listed, method, node.sample or "/")
            if entry is not None or excluded:
                found.append(Operation(node, method, entry))
    return found


def find_overlaps(template: Template, listed: list[Entry]) -> None:
    """Say where two routes could take one request and neither takes all that the other does."""
    for index, later in enumerate(listed):
        for earlier in listed[:index]:
            one, other = earlier.route.pattern, later.route.pattern
            if not earlier.route.methods & later.route.methods or not overlap(one, other):
                continue
            if not holds(one, other) and not holds(other, one):
                template.lose(
                    Feature.PATH if other.segments is None else Feature.PATH_NAME,
                    f"routes.{later.config.name}.match.path",
                    f"some of these paths are also {earlier.config.name}'s: API Gateway takes the more literal one",
                    REMEDY,
                )


def _grow(root: Node, text: str) -> bool:
    """Add the resources of a path; say whether there could be all of them."""
    parts = [part for part in text[1:].split("/") if part] if text != "/" else []
    if text.endswith("/") and parts:
        return False  # API Gateway drops a last slash
    greedy = parts[-1:] == ["**"]
    node = root
    for index, part in enumerate(parts[:-1] if greedy else parts):
        variable = VARIABLE.fullmatch(part)
        name = f"{{{variable[1]}}}" if variable else f"{{any{index + 1}}}" if part == "*" else part
        below = node.child(name)
        if below is None:
            return False
        node = below
    return not greedy or node.child(GREEDY) is not None


def _first(listed: list[Entry], method: str, sample: str) -> tuple[Entry | None, bool]:
    """Return the first route that takes a request, and whether one that would leaves it out."""
    excluded = False
    for entry in listed:
        if method in entry.route.methods and entry.route.pattern.matches(sample):
            if any(Pattern.parse(text).matches(sample) for text in entry.config.match.exclude):
                excluded = True
                continue
            return entry, False
    return None, excluded


def _parts(pattern: Pattern) -> list[str | None]:
    return list(pattern.segments) if pattern.segments is not None else list(pattern.text[1:].split("/"))


def overlap(one: Pattern, other: Pattern) -> bool:
    """Say whether some path is both patterns'."""
    first, second = _parts(one), _parts(other)
    if len(first) > len(second):
        first, second, one = second, first, other
    if len(first) < len(second) and not one.open_ended:
        return False
    return all(a is None or b is None or a == b for a, b in zip(first, second, strict=False))


def holds(wide: Pattern, narrow: Pattern) -> bool:
    """Say whether all paths of `narrow` are also `wide`'s."""
    sample = "/" + "/".join("\1" if part is None else part for part in _parts(narrow))
    return wide.matches(sample + (DEEPER if narrow.open_ended else "")) and wide.matches(sample)
