"""The strings of a document, by where they stand: JSON pointers (RFC 6901) with `*` and a last `**`.

Rule 1: names are compared letter for letter.  `/messages/*/content` leaves out neither `/Messages/0/content` nor
        `/metadata/messages/0/content`, and a name that stands twice is refused before this is asked.
Rule 2: `include` takes a place and all below it.  `exclude` leaves out the string at that very place and nothing below
        it, unless it ends in `/**`: what was not meant is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.content import Upload
from vallum.statements.part import Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vallum.statements.part import Trail

ANY, ALL = "*", "**"


class Node:
    """One step of some pointers."""

    __slots__ = ("below", "deep", "ends")

    def __init__(self) -> None:
        """Begin with none."""
        self.below: dict[str, Node] = {}
        self.ends = False  # a pointer ends here
        self.deep = False  # and takes all below


def parse_pointers(texts: Sequence[str]) -> Node:
    """Compile pointers.  Raise ValueError that shows how to write one."""
    root = Node()
    for text in texts:
        if not text.startswith("/"):
            raise ValueError(f"{text!r} is no pointer; write it as /user or /messages/*/content")
        node = root
        steps = text[1:].split("/")
        for index, step in enumerate(steps):
            if step == ALL:
                if index + 1 < len(steps):
                    raise ValueError(f"{text!r}: '**' may only be the last step")
                node.deep = True
                break
            name = step.replace("~1", "/").replace("~0", "~")
            node = node.below.setdefault(name, Node())
        else:
            node.ends = True
    return root


Nodes = tuple[Node, ...]
NONE: Nodes = ()


class JsonStrings:
    """Finds what is looked at in a document."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str], scope: str, invalid: str) -> None:
        """Compile.  Raise ValueError for what is no pointer."""
        wanted = parse_pointers(include)
        self._include = None if not include or wanted.deep else (wanted,)
        self._exclude = (parse_pointers(exclude),) if exclude else NONE
        self._keys = scope != "value"
        self._values = scope != "key"
        self.invalid = invalid

    def find(self, document: Any) -> Iterator[Part]:
        """Yield strings: those of one object or array first, then what stands below it.  No recursion."""
        waiting: list[tuple[Trail, Any, Nodes | None, Nodes]] = []
        if type(document) in CONTAINERS:
            waiting.append((None, document, self._include, self._exclude))
        elif type(document) in LEAVES and self._takes(self._include, self._exclude):
            yield Part(None, encode(document))
        while waiting:
            trail, item, wanted, spared = waiting.pop()
            if self._keys and wanted is None and type(item) is dict:
                yield from [Part((trail, key, " (a key)"), encode(key)) for key in item]
            for key, each in item.items() if type(item) is dict else enumerate(item):
                kind = type(each)
                if kind not in LOOKED_AT:
                    continue
                within, without = (wanted, spared) if wanted is None and not spared else _advance(wanted, spared, key)
                if kind in LEAVES and self._takes(within, without):
                    yield Part((trail, key), encode(each))
                elif kind in CONTAINERS and not any(node.deep for node in without):
                    waiting.append(((trail, key), each, within, without))

    def _takes(self, wanted: Nodes | None, spared: Nodes) -> bool:
        return self._values and wanted is None and not any(node.ends or node.deep for node in spared)


LEAVES = frozenset({str, Upload})
CONTAINERS = frozenset({dict, list})
LOOKED_AT = LEAVES | CONTAINERS


def encode(leaf: str | Upload) -> bytes:
    """Return a string, or an upload's name, as bytes; the strict reader lets no lone surrogate in."""
    return (leaf if isinstance(leaf, str) else leaf.filename).encode("utf-8", "surrogatepass")


def _advance(wanted: Nodes | None, spared: Nodes, key: str | int) -> tuple[Nodes | None, Nodes]:
    """Return where both kinds of pointers stand after one more step."""
    name = str(key)
    return None if wanted is None else _step_in(wanted, name), _step(spared, name) if spared else NONE


def _step(nodes: Nodes, key: str) -> Nodes:
    """Return where pointers stand after one more step."""
    names = (key, ANY) if key != ANY else (ANY,)
    return tuple([node.below[name] for node in nodes for name in names if name in node.below])


def _step_in(nodes: Nodes, key: str) -> Nodes | None:
    """Do the same for what is included: None once a pointer has ended, as all below is taken."""
    found = _step(nodes, key)
    return None if any(node.ends or node.deep for node in found) else found
