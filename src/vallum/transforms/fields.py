"""Keep only the named fields of an answer.

What it stops
    Logits, probabilities of all classes, model versions, timings, hidden reasoning: whatever a model server adds to
    an answer and a thief lives on (Tramer et al. 2016; Carlini et al. 2024).  A field that a later version of the
    model server adds is dropped too, because it was never named.
Config
    `response.fields`: names or dotted paths (`predictions.*.label`) of the members to keep, with all that is in them,
    in the answer or in each item where the answer is a list.  `name=value` in a path chooses items of a list:
    `outputs.name=label.data`.  A preset names the members of its format by itself; `response.fields` takes the place
    of that list, and `response.allow_fields` adds to it.
Cost
    One dictionary for each object, and the JSON read and written again: about 5 us for 1 KB.
Misses
    What is inside a field that is kept.  Answers that are not JSON are refused rather than passed.
Example
    response:
      fields: [prediction, confidence]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from vallum.core.fieldpath import is_chosen, parse_path
from vallum.core.protocols import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterable

NOTED_MAX = 256  # names of removed members that one exchange remembers: the upstream makes them up


class Node:
    """What may stay at one place of a document."""

    __slots__ = ("choices", "deep", "members", "value", "whole")

    def __init__(self) -> None:
        """Let nothing stay."""
        self.members: dict[str, Node] = {}
        self.choices: dict[str, Node] = {}  # of items, by a segment `name=value`
        self.deep = False  # there is something in it that may stay
        self.value = False  # what stands here may stay if it is neither object nor list
        self.whole = False  # all of it may stay

    def grow(self, path: Iterable[str]) -> Node:
        """Return the node at the end of `path`, made if need be."""
        node = self
        for name in path:
            node.deep = True
            if "=" in name:
                node = node.choices.setdefault(name, Node())
                node.grow([name.partition("=")[0]]).value = True  # what it was chosen by stays as well
            else:
                node = node.members.setdefault(name, Node())
        return node


class Fields:
    """The allow-list of an answer's members."""

    type: ClassVar[str] = "fields"

    def __init__(self, names: Iterable[str], values: Iterable[str] = (), *, whole_format: bool = False) -> None:
        """Keep the members at `names` with all that is in them, and at `values` if they are plain values.

        `whole_format`: these are all that a format has, and an answer with none of them is none of it: nothing leaves.
        """
        self._root = Node()
        self._empty: Any = NOTHING if whole_format else {}
        for name in names:
            self._root.grow(parse_path(name)).whole = True
        for name in values:
            self._root.grow(parse_path(name)).value = True

    def apply(self, document: Any, removed: set[str]) -> Any:
        """Return `document` with the named members only; what is neither object nor list becomes null."""
        kept = _keep(document, self._root, removed)
        return kept if kept or type(kept) is not dict else self._empty


def _keep(item: Any, node: Node, removed: set[str]) -> Any:
    """Take out of `item`, in place, what may not stay; return it, or null in the place of what it may not be."""
    if type(item) is dict:
        _keep_members(item, node, removed)
        return item
    if type(item) is list:
        if node.choices:
            return _choose(item, node, removed)
        node = node.members.get("*", node)
        return item if node.whole else [_keep(inner, node, removed) for inner in item]
    if node.value:
        return item
    removed.add("answer")
    return None


def _keep_members(item: dict[str, Any], node: Node, removed: set[str]) -> None:
    gone: list[str] = []
    members = node.members
    every = members.get("*")
    for key, value in item.items():
        below = members.get(key, every)
        if below is None:
            gone.append(key)
        elif below.whole or value is None:
            continue
        elif type(value) is dict or type(value) is list:
            if below.deep:
                item[key] = _keep(value, below, removed)
            else:
                gone.append(key)
        elif not below.value:
            gone.append(key)
    for key in gone:
        del item[key]
        if len(removed) < NOTED_MAX:
            removed.add(key)


def _choose(items: list[Any], node: Node, removed: set[str]) -> list[Any]:
    """Keep the items that are asked for by the value of a member, and that member with them."""
    kept = []
    for item in items:
        for segment, below in node.choices.items():
            if is_chosen(item, segment):
                kept.append(item if below.whole else _keep(item, below, removed))
                break
        else:
            removed.add("items")
    return kept
