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
    from collections.abc import Iterable, Iterator, Sequence

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
        if type(document) is dict or type(document) is list:
            waiting.append((None, document, self._include, self._exclude))
        elif type(document) in LEAVES and self._values and self._include is None and not _is_spared(self._exclude):
            yield Part(None, encode(document))
        while waiting:
            trail, item, wanted, spared = waiting.pop()
            if type(item) is dict:
                if self._keys and wanted is None:
                    for key in item:
                        yield Part((trail, key, " (a key)"), encode(key))
                steps: Iterable[tuple[Any, Any]] = item.items()
            else:
                steps = enumerate(item)
            for key, each in steps:
                kind = type(each)
                if kind not in LOOKED_AT:
                    continue
                within, without = wanted, spared
                if wanted is not None or spared:
                    name = str(key)
                    within = None if wanted is None else _step_in(wanted, name)
                    without = _step(spared, name)
                    if without and any(node.deep for node in without):
                        continue
                if kind is dict or kind is list:
                    waiting.append(((trail, key), each, within, without))
                elif self._values and within is None and not _is_spared(without):
                    yield Part((trail, key), encode(each))


LEAVES = frozenset({str, Upload})
LOOKED_AT = LEAVES | {dict, list}


def encode(leaf: str | Upload) -> bytes:
    """Return a string, or an upload's name, as bytes; the strict reader lets no lone surrogate in."""
    return (leaf if isinstance(leaf, str) else leaf.filename).encode("utf-8", "surrogatepass")


def _is_spared(nodes: Nodes) -> bool:
    return any(node.ends or node.deep for node in nodes)


def _step(nodes: Nodes, key: str) -> Nodes:
    """Return where pointers stand after one more step."""
    names = (key, ANY) if key != ANY else (ANY,)
    return tuple([node.below[name] for node in nodes for name in names if name in node.below])


def _step_in(nodes: Nodes, key: str) -> Nodes | None:
    """Do the same for what is included: None once a pointer has ended, as all below is taken."""
    found = _step(nodes, key)
    return None if any(node.ends or node.deep for node in found) else found
