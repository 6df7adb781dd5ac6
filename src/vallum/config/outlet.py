"""Turns what a route says of answers into an outlet: what may go out."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from vallum.codecs.json import AnswerJson
from vallum.config.model.response import PaddingConfig
from vallum.core.answer import HOP_BY_HOP
from vallum.core.cost import COST_FIELDS
from vallum.core.fieldpath import parse_path
from vallum.core.policy import Outlet, Sentry
from vallum.core.problem import ErrorFormat
from vallum.leaks.canaries import Canaries, CanariesConfig
from vallum.leaks.keys import Keys, KeysConfig
from vallum.leaks.personal import Personal, PersonalConfig
from vallum.leaks.prompt import PromptConfig, PromptWords
from vallum.presets import PRESETS
from vallum.transforms.confidence import Confidence
from vallum.transforms.drop_fields import DropFields
from vallum.transforms.fields import Fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.config.faults import Faults
    from vallum.config.model import RouteConfig
    from vallum.config.model.response import ResponseConfig
    from vallum.config.source import Place
    from vallum.core.fieldpath import Path
    from vallum.core.protocols import LeakCheck, Transform

# config struct -> the plug-in it configures.  A plug-in is one file; this is where it is hung up.
LEAKS: dict[type, Callable[[Any], LeakCheck]] = {
    CanariesConfig: Canaries,
    KeysConfig: Keys,
    PersonalConfig: Personal,
    PromptConfig: PromptWords,
}
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
        ours = PRESETS[route.preset].error_format is ErrorFormat.OPENAI and name.lower().startswith("x-ratelimit-")
        if ours or name.lower() in NEVER_ANSWERED:
            faults.note((*at, "headers", index), f"{name!r} is the gateway's to write")
    kept = RESPONSE_HEADERS | {name.lower() for name in response.headers}
    dropped = [name.lower() for name in response.drop_headers]
    headers = frozenset(name for name in kept if not any(fnmatchcase(name, wild) for wild in dropped))
    return Outlet(
        AnswerJson(),
        tuple(transforms),
        headers,
        response.max_bytes,
        leaks=_build_leaks(faults, route, at),
        errors_inside=_rewrites_errors(response, transforms),
        error_fields=_error_fields(faults, response, at),
        pad_event_bytes=response.padding.events,
        pad_answer_bytes=response.padding.answers,
        failure_slot_s=response.failure_slot_ms / 1000,
    )


def _rewrites_errors(response: ResponseConfig, transforms: list[Transform]) -> bool:
    """Say whether errors are looked for inside answers: where they are asked for, and wherever answers are read."""
    if response.errors is not None:
        return response.errors.inside == "rewrite"
    return bool(transforms or response.leaks) or response.padding != PaddingConfig()


def _error_fields(faults: Faults, response: ResponseConfig, at: Place) -> tuple[Path, ...]:
    fields = response.errors.fields if response.errors is not None else []
    paths = [faults.attempt((*at, "errors", "fields", index), parse_path, name) for index, name in enumerate(fields)]
    return tuple(path for path in paths if path)


def _build_leaks(faults: Faults, route: RouteConfig, at: Place) -> tuple[Sentry, ...]:
    preset = PRESETS[route.preset]
    for index, wanted in enumerate(route.response.leaks):
        place = (*at, "leaks", index)
        if isinstance(wanted, PromptConfig) and preset.request.passages is None:
            faults.note(place, f"preset {preset.name} does not say who speaks", "use canaries")
        if not preset.request.media_types:
            faults.note(place, "a raw route passes bodies unread", "leave out preset: raw")
    return tuple(Sentry(LEAKS[type(wanted)](wanted), wanted.action, wanted.mode) for wanted in route.response.leaks)
