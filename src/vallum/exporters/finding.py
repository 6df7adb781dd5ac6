"""Finds what a policy says, and builds the losses of an export from an exporter's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from vallum.config.model.limits import QuotaConfig
from vallum.config.model.web_acl import Statement
from vallum.exporters.claims import KEYS, WHOLE
from vallum.exporters.export import Loss

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vallum.config.model import Config
    from vallum.exporters.claims import Claim
    from vallum.exporters.export import Answer
    from vallum.exporters.features import Feature

NAMED = ("routes[]", "web_acls.*.rules[]")  # lists whose items have names of their own


class Found(NamedTuple):
    """A feature, and the place in the policy that says it: `routes.predict.quotas[0]`."""

    feature: Feature
    where: str


def find_features(config: Config) -> dict[Found, bool]:
    """Return all that a policy says, in the policy's order, and of each whether Vallum does it by itself, by default.

    A key says something where it differs from its default, or where the default itself holds something.  A quota, a
    check or a rule is one place: what its keys say is found there.
    """
    found: dict[Found, bool] = {}
    for one, default in _of_struct(config, "", "", settled=False):
        found[one] = default and found.get(one, True)
    return found


def list_losses(
    found: Mapping[Found, bool], answers: Mapping[Feature, Answer], special: Mapping[Found, Answer] | None = None
) -> tuple[Loss, ...]:
    """Return what is lost of `found` by an exporter's answers, in the same order.

    `special` is what the exporter answers of one place, where that differs from its answer of the feature.
    """
    given = special or {}
    losses: list[Loss] = []
    for one, default in found.items():
        answer = given.get(one, answers[one.feature])
        if answer.kind is not None:
            said = sentence(answer.detail), sentence(answer.remedy)
            losses.append(Loss(one.feature.value, one.where, answer.kind, *said, default))
    return tuple(losses)


def sentence(text: str) -> str:
    """Return what an answer says as a sentence; a name at its beginning stays as it is."""
    if text.endswith("."):
        return text
    first = text.partition(" ")[0].rstrip(",:;")
    return f"{text[0].upper()}{text[1:]}." if first.isalpha() else f"{text}."


def _of_struct(struct: msgspec.Struct, place: str, where: str, *, settled: bool) -> Iterator[tuple[Found, bool]]:
    """Walk the keys of a struct.  `place` is its place in the tables, `where` in this policy."""
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        key = f"{place}.{field.encode_name}" if place else field.encode_name
        here = where if settled else f"{where}.{field.encode_name}" if where else field.encode_name
        yield from _said(KEYS.get(key), value, field, here)
        yield from _said(WHOLE.get(key), value, field, here)
        yield from _of_value(value, key, here, settled=settled)


def _said(
    claim: Claim | None, value: Any, field: msgspec.structs.FieldInfo | None, where: str
) -> Iterator[tuple[Found, bool]]:
    if claim is None:
        return
    default = field is not None and value == _default(field)
    if claim.always or not default:
        for feature in claim.read(value):
            yield Found(feature, where), default or claim.default


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _of_value(value: Any, place: str, where: str, *, settled: bool) -> Iterator[tuple[Found, bool]]:
    """Walk a value: a struct, or a list or mapping of them."""
    if isinstance(value, Statement):
        yield from _of_struct(value, "statement", where, settled=settled)
    elif isinstance(value, msgspec.Struct):
        yield from _of_struct(value, place, where, settled=settled)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _of_item(item, f"{place}.*", f"{where}.{name}", settled=settled)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _of_listed(item, f"{place}[]", where, index, settled=settled)


def _of_listed(item: Any, place: str, where: str, index: int, *, settled: bool) -> Iterator[tuple[Found, bool]]:
    if place == "routes[].quotas[]" and isinstance(item, str):
        item = QuotaConfig(limit=item)
    below = f"{where}.{item.name}" if place in NAMED else f"{where}[{index}]"
    yield from _of_item(item, place, where if settled else below, settled=settled or place != "routes[]")


def _of_item(item: Any, place: str, where: str, *, settled: bool) -> Iterator[tuple[Found, bool]]:
    """Walk one item, which may be one of several kinds."""
    if isinstance(item, msgspec.Struct):
        tag = item.__struct_config__.tag
        below = place if tag is None else f"{place}<{tag}>"
        yield from _said(KEYS.get(below) or WHOLE.get(below), item, None, where)
        yield from _of_value(item, below, where, settled=settled)
