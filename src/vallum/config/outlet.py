"""Turns what a route says of answers into an outlet: what may go out."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from vallum.codecs.json import AnswerJson
from vallum.core.answer import HOP_BY_HOP
from vallum.core.cost import COST_FIELDS
from vallum.core.fieldpath import parse_path
from vallum.core.policy import Outlet
from vallum.core.problem import ID_FIELDS, ErrorFormat
from vallum.presets import PRESETS
from vallum.transforms.confidence import Confidence
from vallum.transforms.drop_fields import DropFields
from vallum.transforms.fields import Fields

if TYPE_CHECKING:
    from vallum.config.faults import Faults
    from vallum.config.model import RouteConfig
    from vallum.config.source import Place
    from vallum.core.protocols import Transform

# Fields that leave unless the route says otherwise.  Nothing here tells who or what stands behind the gateway.
RESPONSE_HEADERS = frozenset(
    "cache-control content-disposition content-encoding content-language content-type etag last-modified".split()
)
# What the adapters write themselves, and what belongs to one connection.
NEVER_ANSWERED = frozenset(
    [*HOP_BY_HOP, *COST_FIELDS, "dpop-nonce", "ratelimit", "ratelimit-policy", "retry-after", "www-authenticate"]
) | {"x-request-id"}


def build_outlet(faults: Faults, route: RouteConfig, place: Place) -> Outlet:
    """Put the transforms in their order: what is dropped need not be coarsened."""
    response = route.response
    at = (*place, "response")
    transforms: list[Transform] = []
    if response.fields is not None:
        transforms.append(Fields(response.fields))
    if response.drop_fields:
        paths = [
            faults.attempt((*at, "drop_fields", index), parse_path, name)
            for index, name in enumerate(response.drop_fields)
        ]
        if all(paths):
            transforms.append(DropFields(response.drop_fields))
    if response.confidence is not None:
        wanted = response.confidence
        made = faults.attempt((*at, "confidence"), Confidence, wanted.field, wanted.bands, wanted.round)
        if response.fields is not None and wanted.field.partition(".")[0] not in (*response.fields, "*"):
            faults.note((*at, "confidence", "field"), "response.fields drops this field")
        if made is not None:
            transforms.append(made)
    for index, name in enumerate(response.headers):
        error_format = PRESETS[route.preset].error_format
        ours = error_format is ErrorFormat.OPENAI and name.lower().startswith("x-ratelimit-")
        ours = ours or (error_format in ID_FIELDS and name.lower() == ID_FIELDS[error_format])
        if ours or name.lower() in NEVER_ANSWERED:
            faults.note((*at, "headers", index), f"{name!r} is the gateway's to write")
    kept = RESPONSE_HEADERS | {name.lower() for name in response.headers}
    dropped = [name.lower() for name in response.drop_headers]
    headers = frozenset(name for name in kept if not any(fnmatchcase(name, wild) for wild in dropped))
    return Outlet(AnswerJson(), tuple(transforms), headers, response.max_bytes)
