"""Builds config structs from plain values, strictly, and finds every mistake in one go.

Walks the values and the struct types together.  An unknown key is met with the nearest valid one, a wrong value with
what was wanted; both with line and column.
"""

from __future__ import annotations

import re
import types
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from vallum.config.source import UNREADABLE

if TYPE_CHECKING:
    from vallum.config.source import Place, Source

S = TypeVar("S", bound=msgspec.Struct)
MISSING = object()
PEM = "-----BEGIN "
CHOICES_TOLD = 12  # more than these are looked up, not read
QUOTED = re.compile(r"`([a-z |]+)`")  # how msgspec names types
TYPES = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false", "null": "nothing"}


def decode(source: Source, kind: type[S]) -> S | None:
    """Build `kind` from a source; None if anything is wrong, with all of it in `source.faults`."""
    value = _Decoder(source).value(source.values, kind, ())
    return value if isinstance(value, kind) and not source.faults else None


class _Decoder:
    def __init__(self, source: Source) -> None:
        self._source = source

    def value(self, value: Any, kind: Any, place: Place) -> Any:
        """Return `value` as `kind`, or MISSING after noting why not."""
        if value is UNREADABLE:
            return MISSING
        origin = get_origin(kind)
        if origin is Annotated and (not _is_plain(kind) or get_origin(get_args(kind)[0]) in (list, dict)):
            return self._bounded(value, get_args(kind), place)
        if origin in (Union, types.UnionType):
            return self._union(value, get_args(kind), place)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self._struct(value, kind, place)
        if origin is list:
            return self._list(value, get_args(kind)[0], place)
        if origin is dict:
            return self._dict(value, get_args(kind)[1], place)
        return self._plain(value, kind, place)

    def _bounded(self, value: Any, annotated: tuple[Any, ...], place: Place) -> Any:
        built = self.value(value, annotated[0], place)
        least = max(getattr(meta, "min_length", None) or 0 for meta in annotated[1:])
        if built is not MISSING and least and len(built) < least:
            self._note(place, f"expected at least {least}, got {len(built)}")
            return MISSING
        most = min([meta.max_length for meta in annotated[1:] if getattr(meta, "max_length", None)], default=None)
        if built is not MISSING and most is not None and len(built) > most:
            self._note(place, f"expected at most {most}, got {len(built)}")
            return MISSING
        return built

    def _plain(self, value: Any, kind: Any, place: Place) -> Any:
        # A key in PEM is the one value that has lines.
        if isinstance(value, str) and "\n" in value and get_origin(kind) is Annotated and PEM not in value:
            self._note(place, "a line break in a value", "write it on one line")
            return MISSING
        try:
            return msgspec.convert(value, kind, strict=not isinstance(value, str))
        except msgspec.ValidationError as error:
            message, hint = QUOTED.sub(_in_words, str(error).partition(" - at ")[0]), ""
            choices = _choices(kind)
            if choices and isinstance(value, str):
                message, hint = _unknown(value, choices)
            elif choices and type(value) is int:
                message = f"{value} is not one of: {', '.join(choices)}"
            self._note(place, message[:1].lower() + message[1:], hint)
            return MISSING

    def _list(self, value: Any, kind: Any, place: Place) -> Any:
        if not isinstance(value, list):
            self._note(place, f"expected a list, got {_name(value)}")
            return MISSING
        items = [self.value(item, kind, (*place, index)) for index, item in enumerate(value)]
        return MISSING if MISSING in items else items

    def _dict(self, value: Any, kind: Any, place: Place) -> Any:
        if not isinstance(value, dict):
            self._note(place, f"expected a mapping, got {_name(value)}")
            return MISSING
        items = {name: self.value(item, kind, (*place, name)) for name, item in value.items()}
        return MISSING if MISSING in items.values() else items

    def _union(self, value: Any, kinds: tuple[Any, ...], place: Place) -> Any:
        if value is None and type(None) in kinds:
            return None
        structs = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]
        tagged = {str(kind.__struct_config__.tag): kind for kind in structs if kind.__struct_config__.tag}
        if tagged:
            return self._tagged(value, tagged, place)
        others = [kind for kind in kinds if kind not in structs and kind is not type(None)]
        if isinstance(value, dict) and structs:
            return self._struct(value, structs[0], place)
        fitting = [kind for kind in others if (_shape(kind) is list) is isinstance(value, list)]
        if len(others) == 1 or (len(fitting) == 1 and fitting != others):
            return self.value(value, (fitting or others)[0], place)
        if not others:
            return self._struct(value, structs[0], place)
        return self._plain(value, Union[tuple(others)], place)  # noqa: UP007  made at run time

    def _tagged(self, value: Any, kinds: dict[str, Any], place: Place) -> Any:
        if not isinstance(value, dict) or "type" not in value:
            self._note(place, "expected a mapping with a type", f"types: {', '.join(sorted(kinds))}")
            return MISSING
        name = value["type"]
        if not isinstance(name, str) or name not in kinds:
            hint = _nearest(name, kinds, "types: ") if isinstance(name, str) else f"types: {', '.join(sorted(kinds))}"
            self._note((*place, "type"), f"no type {name!r}", hint)
            return MISSING
        rest = {key: item for key, item in value.items() if key != "type"}
        return self._struct(rest, kinds[name], place)

    def _struct(self, value: Any, kind: type[msgspec.Struct], place: Place) -> Any:
        if not isinstance(value, dict):
            self._note(place, f"expected a mapping, got {_name(value)}")
            return MISSING
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        hints = get_type_hints(kind, include_extras=True)
        good = True
        for name in value:
            if name not in fields:
                good = False
                at = (*place, name)
                self._source.faults.append(
                    self._source.fault(at, "unknown key", _nearest(name, fields, "keys: "), key=True)
                )
        members: dict[str, Any] = {}
        for name, field in fields.items():
            if name in value:
                members[field.name] = self.value(value[name], hints[field.name], (*place, name))
            elif field.required:
                self._note(place, f"the key {name!r} is missing")
                good = False
        if not good or MISSING in members.values():
            return MISSING
        try:
            return kind(**members)
        except ValueError as error:  # a struct's own rule over its members
            self._note(place, str(error))
            return MISSING

    def _note(self, place: Place, message: str, hint: str = "") -> None:
        self._source.faults.append(self._source.fault(place, message, hint))


def _is_plain(kind: Any) -> bool:
    """Say whether msgspec can convert `kind` in one go, with nothing of ours to say on the way."""
    if get_origin(kind) is Annotated:
        return _is_plain(get_args(kind)[0])
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return False
    return all(_is_plain(part) for part in get_args(kind)) if get_origin(kind) is not Literal else True


def _shape(kind: Any) -> Any:
    """Return what a kind is, without its bounds."""
    origin = get_origin(kind)
    return _shape(get_args(kind)[0]) if origin is Annotated else origin or kind


def _choices(kind: Any) -> list[str]:
    if get_origin(kind) is Annotated:
        return _choices(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return [str(choice) for choice in get_args(kind)]
    return [member.value for member in kind] if hasattr(kind, "__members__") else []


def _unknown(value: str, choices: list[str]) -> tuple[str, str]:
    """Say that `value` is none of the choices: all of them if they are few, else those that it may have meant."""
    family = [choice for choice in choices if choice.startswith(f"{value.partition('.')[0]}.")]
    if len(choices) <= CHOICES_TOLD or not (family or get_close_matches(value, choices, 1, 0.5)):
        return f"{value!r} is not one of: {', '.join(choices)}", _nearest(value, choices)
    if "." in value or not family:
        return f"{value!r} is not known", _nearest(value, choices)
    return f"{value!r} is not known", f"there is {', '.join(family)}"


def _in_words(quoted: re.Match[str]) -> str:
    """Name types as a policy's writer would."""
    names = [TYPES.get(name, name) for name in quoted[1].split(" | ")]
    return " or ".join(names)


def _nearest(name: str, valid: Any, otherwise: str = "") -> str:
    close = get_close_matches(name, list(valid), n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return otherwise + ", ".join(sorted(valid)) if otherwise else ""


def _name(value: Any) -> str:
    names = {
        dict: "a mapping",
        list: "a list",
        str: "a text",
        int: "a number",
        float: "a number",
        bool: "true or false",
    }
    return names.get(type(value), "nothing")
