"""Reads a policy file into plain values that remember where each stood.

YAML 1.2's plain core as PyYAML reads it safely, and stricter: a key twice is an error, aliases are not followed (they
can blow a small file up), and `${NAME}`, `${NAME:-default}` and `file:` references are filled in after parsing, so no
value can add keys of its own.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

Place = tuple[str | int, ...]
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
UNREADABLE = object()  # stands where a value could not be read, which was noted
FILE_MAX_BYTES = 1_048_576
DEPTH_MAX = 64
SCALARS = {f"tag:yaml.org,2002:{name}" for name in ("bool", "float", "int", "null")}
COLLECTIONS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}
OCTAL = re.compile(r"[-+]?0[0-9_]")  # 8 to some readers of YAML and 10 to others


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with a policy file: where, what, and what to do."""

    message: str
    line: int = 1
    column: int = 1
    place: str = ""
    hint: str = ""

    def __str__(self) -> str:
        """Return one line, in the shape that editors can jump from."""
        where = f"{self.place}: " if self.place else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.line}:{self.column}: {where}{self.message}{hint}"


class PolicyFileError(Exception):
    """A policy file that cannot be used; `faults` are all that was found."""

    def __init__(self, path: Path | str, faults: list[Fault]) -> None:
        """Carry every fault, in the order of the file."""
        self.path = path
        self.faults = sorted(faults, key=lambda fault: (fault.line, fault.column))
        super().__init__("\n".join(f"{path}:{fault}" for fault in self.faults))


@dataclass(slots=True)
class Source:
    """A policy file's values, and the line and column of each by its place."""

    path: Path
    text: bytes
    values: Any = None
    marks: dict[Place, tuple[int, int]] = field(default_factory=dict)
    key_marks: dict[Place, tuple[int, int]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)  # what else was read: a reload watches these too
    faults: list[Fault] = field(default_factory=list)

    def fault(self, place: Place, message: str, hint: str = "", *, key: bool = False) -> Fault:
        """Make a fault at a place, or at the nearest enclosing one that stands in the file."""
        marks = self.key_marks if key and place in self.key_marks else self.marks
        at = place
        while at and at not in marks:
            at, marks = at[:-1], self.marks
        line, column = marks.get(at, (1, 1))
        return Fault(message, line, column, show_place(place), hint)

    def resolve(self, name: str) -> Path:
        """Return the path of a file named in the policy: beside the policy, unless absolute."""
        path = self.path.parent / name
        self.files.append(path)
        return path


def show_place(place: Place) -> str:
    """Write a place as people say it: `routes[0].quotas[2]`."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def read_source(path: Path, environ: Mapping[str, str] = os.environ) -> Source:
    """Read a policy file.  Raise PolicyFileError if it is not there or is not YAML."""
    try:
        text = path.read_bytes()
    except OSError as error:
        hint = "name one, or protect an endpoint without a file: vallum serve --upstream URL"
        raise PolicyFileError(path, [Fault(f"cannot be read: {error.strerror}", hint=hint)]) from error
    return parse_source(path, text, environ)


def parse_source(path: Path, text: bytes, environ: Mapping[str, str] = os.environ) -> Source:
    """Parse the text of a policy file.  Raise PolicyFileError if it is not YAML; collect smaller faults."""
    source = Source(path, text)
    if len(text) > FILE_MAX_BYTES:
        raise PolicyFileError(path, [Fault(f"over {FILE_MAX_BYTES} bytes")])
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise PolicyFileError(path, [Fault(f"not YAML: {error.problem}", line, column)]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PolicyFileError(path, [Fault(f"not YAML: {error}".partition("\n")[0])]) from error
    if node is None:
        raise PolicyFileError(path, [Fault("the file is empty", hint="start with: version: 1")])
    source.values = _Builder(source, environ).build(node, ())
    return source


class _Loader(yaml.SafeLoader):
    """The safe loader, without the `<<` merge, without aliases, and of bounded depth."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # the stubs leave it out
            raise yaml.composer.ComposerError(None, None, "aliases are not supported; write it out", mark)
        self.depth += 1
        if self.depth > DEPTH_MAX:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # the same
            raise yaml.composer.ComposerError(None, None, f"nested over {DEPTH_MAX} levels", mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Builder:
    """Turns YAML nodes into values."""

    def __init__(self, source: Source, environ: Mapping[str, str]) -> None:
        self._source = source
        self._environ = environ
        self._scalars = yaml.constructor.SafeConstructor()

    def build(self, node: yaml.Node, place: Place) -> Any:
        self._source.marks[place] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if not isinstance(node, yaml.ScalarNode) and node.tag not in COLLECTIONS:
            return self._unreadable(place, f"a tag that is not supported: {node.tag}")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*place, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, place)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            at = (*place, key)
            mark = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if key in values:
                self._source.faults.append(Fault("this key stands twice", *mark, show_place(at), "keep one"))
                continue
            self._source.key_marks[at] = mark
            values[key] = self.build(value_node, at)
        return values

    def _scalar(self, node: yaml.Node, place: Place) -> Any:
        text = str(node.value)
        if "${" in VARIABLE.sub("", text):
            hint = "write ${NAME} or ${NAME:-default}"
            return self._unreadable(place, "a variable that cannot be read", hint)
        if "${" in text:
            return self._substitute(text, place)
        if text.startswith("file:"):
            return self._file(text.removeprefix("file:"), place)
        if node.tag in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:binary", "tag:yaml.org,2002:str"):
            return text
        if node.tag.endswith(":int") and OCTAL.match(text):
            return self._unreadable(place, f"{text} begins with a zero", "leave the zero out")
        if node.tag not in SCALARS:
            return self._unreadable(place, f"a tag that is not supported: {node.tag}")
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, KeyError):
            return self._unreadable(place, f"{text!r} is no {node.tag.rpartition(':')[2]}")

    def _unreadable(self, place: Place, message: str, hint: str = "") -> Any:
        """Note what is wrong with a value, and stand something in for it that brings no second fault."""
        self._source.faults.append(self._source.fault(place, message, hint))
        return UNREADABLE

    def _substitute(self, text: str, place: Place) -> Any:
        for name, default in VARIABLE.findall(text):
            if not self._environ.get(name) and not default and f"${{{name}:-}}" not in text:
                hint = f"export {name}=..., or write ${{{name}:-default}}"
                return self._unreadable(place, f"the environment has no {name}", hint)
        return VARIABLE.sub(lambda match: self._environ.get(match[1]) or match[2] or "", text)

    def _file(self, name: str, place: Place) -> Any:
        try:
            return self._source.resolve(name).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            return self._unreadable(place, f"cannot be read: {error}")
