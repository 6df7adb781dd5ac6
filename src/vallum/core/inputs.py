"""Finds what a model is given in a request's document: one item for each input, however they are bundled.

A place may hold one input or a batch, so both count as what they are:

    text     a string, or a list of tokens' numbers; a list holds one each; of a conversation, its last turn,
             or all of it where no user says anything
    image    an upload, its base64, or its pixels as lists nested three deep at most; a list holds one each
    vector   a list of numbers; a list of lists holds one each, at any depth; a tensor that lies flat beside its
             `shape`, or came as bytes, one for each step of its first axis
    table    a row of cells, a list or an object; a list of those holds one each

Rule: nothing is assumed of a document's shape, which nobody has checked yet, and nothing is copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from vallum.core.content import Upload, Voice
from vallum.core.fieldpath import places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vallum.core.content import Passage
    from vallum.core.fieldpath import Path

IMAGE_AXES = 3  # of a picture: height, width, colour
ROWS_MAX = 65_536  # of one tensor that are told apart: more than any budget


class Turn(NamedTuple):
    """What a user says last in a conversation."""

    text: str
    system: str = ""  # what the operator said, wherever in the conversation


def at_places(kind: str, paths: tuple[Path, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Make what finds the inputs of one kind at these paths; () is the whole document."""
    part = PARTS[kind]

    def find(document: Any) -> tuple[Any, ...]:
        found: list[Any] = []
        for path in paths:
            if not path:
                part(document, found)
                continue
            for container, key in places(document, path):
                rows = _cut(container, container[key]) if kind == "vector" else None
                if rows is None:
                    part(container[key], found)
                else:
                    found += rows
        return tuple(found)

    return find


def _cut(container: Any, value: Any) -> list[Any] | None:
    """Return the rows of a tensor that lies flat, or came as bytes; None for what is no such thing.

    Its first axis is the batch; without a shape it is one input.
    """
    is_array = hasattr(value, "dtype")  # of a library that the core does not know
    shape = container.get("shape") if isinstance(container, dict) else None
    rows = shape[0] if isinstance(shape, list) and len(shape) > 1 else 1
    if not is_array and (not isinstance(value, list) or not value or isinstance(value[0], list)):
        return None
    if type(rows) is not int or not 1 < rows <= len(value) or len(value) % rows:
        return [value] if is_array and len(value) else None
    width = max(len(value) // rows, -(-len(value) // ROWS_MAX))
    return [value[at : at + width] for at in range(0, len(value), width)]


def of_conversation(passages: Callable[[Any], Iterable[Passage]]) -> Callable[[Any], tuple[Any, ...]]:
    """Make what finds the user's last turn: what was said before was asked before."""

    def find(document: Any) -> tuple[Any, ...]:
        turn: list[str] = []
        system: list[str] = []
        said: list[str] = []
        spoke = False  # the model has, since
        for passage in passages(document):
            said.append(passage.text)
            if passage.voice is Voice.MODEL:
                spoke = True
            elif passage.voice is Voice.OPERATOR:
                system.append(passage.text)
            elif passage.voice is Voice.USER:
                if spoke:
                    turn.clear()
                spoke = False
                turn.append(passage.text)
        text = _join(turn)
        if text:
            return (Turn(text, "\n".join(system)),)
        # Models answer whoever speaks: a question may stand in a system prompt, or be put into the model's own mouth.
        text = _join(said)
        return (Turn(text),) if text else ()

    return find


def _join(texts: list[str]) -> str:
    """Return texts as one; of blanks, nothing."""
    text = "\n".join(texts)
    return "" if text.isspace() else text


def _texts(value: Any, found: list[Any]) -> None:
    if isinstance(value, str):
        found.append(value)
    elif isinstance(value, list):
        found += [item for item in value if isinstance(item, (str, list))]
        if any(isinstance(item, (int, float)) for item in value):
            found.append(value)


def _images(value: Any, found: list[Any]) -> None:
    if isinstance(value, Upload):
        found.append(value.data)
    elif isinstance(value, list) and _is_batch(value):
        for item in value:
            _images(item, found)
    elif isinstance(value, (str, list)) and value:
        found.append(value)


def _is_batch(value: list[Any]) -> bool:
    """Say whether a list holds images, and is none: its items are files, or its pixels lie deeper than colours do."""
    if any(isinstance(item, (str, Upload)) for item in value):
        return True
    depth = 0
    part: Any = value  # compiled, a name keeps the type that it begins with
    while isinstance(part, list) and part and depth <= IMAGE_AXES:
        depth, part = depth + 1, part[0]
    return depth > IMAGE_AXES


def _vectors(value: Any, found: list[Any]) -> None:
    if not isinstance(value, list):
        return
    rest = [value]
    while rest:
        item = rest.pop()
        if list not in set(map(type, item)):  # the usual case, and cheap for thousands of numbers
            if item:
                found.append(item)
            continue
        inner = [one for one in item if isinstance(one, list)]
        rest += reversed(inner)
        if len(inner) < len(item):
            found.append([one for one in item if not isinstance(one, list)])


def _rows(value: Any, found: list[Any]) -> None:
    if isinstance(value, dict):
        found.append(value)
    elif isinstance(value, list):
        rows = [item for item in value if isinstance(item, (dict, list))]
        found += rows
        if len(rows) < len(value):
            found.append([item for item in value if not isinstance(item, (dict, list))] if rows else value)


PARTS: dict[str, Callable[[Any, list[Any]], None]] = {
    "text": _texts,
    "image": _images,
    "vector": _vectors,
    "table": _rows,
}
