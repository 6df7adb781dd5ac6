"""Turns a preset's request form, and what a route says of it, into the schema that its requests are held against."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from vallum.checks.schema import Schema
from vallum.presets import PRESETS
from vallum.presets.shape import loosened

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.config.faults import Faults
    from vallum.config.model.request import RequestConfig
    from vallum.config.source import Place
    from vallum.core.content import Content
    from vallum.core.decision import Finding

    Inspect = Callable[[Content], Finding | None]


def build_form(faults: Faults, preset: str, request: RequestConfig, at: Place) -> Inspect | None:
    """Compile the preset's schema under the route's bounds; None where it has none, or a bound is no bound of it."""
    form = PRESETS[preset].request
    for name in request.bounds:
        faults.find(form.bounds, name, f"bound of {preset}", (*at, "bounds", name))
    bounds = {name: request.bounds.get(name, bound.default) for name, bound in form.bounds.items()}
    if form.schema is None:
        if request.allow_fields:
            faults.note((*at, "allow_fields"), f"{preset} lets every member through", "leave it out")
        return None
    schema = form.schema(bounds)
    known = schema.get("properties", {})
    for index, name in enumerate(request.allow_fields):
        fault, hint = "", "leave it out"
        if name in request.deny_fields:
            fault = f"deny_fields refuses {name!r}"
        elif name in known and name not in form.refused:
            fault = f"{preset} takes {name!r} as it is"
        elif "." in name and name not in form.refused:
            fault, hint = f"{name!r} is not at the top", f"below it: {', '.join(form.refused) or 'none'}"
        if fault:
            faults.note((*at, "allow_fields", index), fault, hint)
    allowed = frozenset(request.allow_fields)
    unknown = dict.fromkeys(allowed - known.keys() - form.refused.keys(), True)
    wider = {**schema, "properties": known | unknown} if unknown else schema
    return compiled(msgspec.json.encode(loosened(wider, allowed & form.refused.keys())))


@lru_cache(maxsize=64)  # a reload rarely changes it, and workers' routes share it
def compiled(schema: bytes) -> Inspect:
    """Compile a schema, once."""
    held: Any = msgspec.json.decode(schema)
    return Schema(held).inspect


def hold_both(first: Inspect | None, second: Inspect | None) -> Inspect | None:
    """Hold a body against two schemas: the preset's, and then the route's own."""
    if first is None or second is None:
        return first or second
    return lambda content: first(content) or second(content)
