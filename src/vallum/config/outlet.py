"""Turns what a route says of answers into an outlet: what may go out."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any

from vallum.codecs.json import AnswerJson
from vallum.config.model.response import PaddingConfig
from vallum.core.answer import HOP_BY_HOP
from vallum.core.coarsening import LEVELS, Coarsening
from vallum.core.cost import COST_FIELDS
from vallum.core.fieldpath import parse_path
from vallum.core.policy import Outlet, Sentry
from vallum.core.problem import ID_FIELDS, ErrorFormat
from vallum.leaks.canaries import Canaries, CanariesConfig
from vallum.leaks.keys import Keys, KeysConfig
from vallum.leaks.personal import Personal, PersonalConfig
from vallum.leaks.prompt import PromptConfig, PromptWords
from vallum.presets import PRESETS
from vallum.transforms.confidence import Confidence
from vallum.transforms.drop_fields import DropFields
from vallum.transforms.emptied import Emptied
from vallum.transforms.events import Events
from vallum.transforms.fields import Fields
from vallum.transforms.precision import Precision

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.config.faults import Faults
    from vallum.config.model import RouteConfig
    from vallum.config.model.response import ResponseConfig
    from vallum.config.source import Place
    from vallum.core.fieldpath import Path
    from vallum.core.protocols import LeakCheck, Transform
    from vallum.presets.preset import Withheld

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
    [
        *HOP_BY_HOP,
        *COST_FIELDS,
        "dpop-nonce",
        "ratelimit",
        "ratelimit-policy",
        "retry-after",
        "vallum-work",
        "www-authenticate",
    ]
) | {"x-request-id"}


def build_outlet(faults: Faults, route: RouteConfig, place: Place) -> Outlet:
    """Put the transforms in their order: what is dropped need not be coarsened."""
    response, form = route.response, PRESETS[route.preset].answer
    at = (*place, "response")
    transforms = [*_withhold(faults, route, at), *_coarsen(faults, route, at)]
    for index, name in enumerate(response.headers):
        error_format = PRESETS[route.preset].error_format
        ours = error_format is ErrorFormat.OPENAI and name.lower().startswith("x-ratelimit-")
        ours = ours or (error_format in ID_FIELDS and name.lower() == ID_FIELDS[error_format])
        if ours or name.lower() in NEVER_ANSWERED:
            faults.note((*at, "headers", index), f"{name!r} is the gateway's to write")
    kept = RESPONSE_HEADERS | form.headers | {name.lower() for name in response.headers}
    dropped = [name.lower() for name in response.drop_headers]
    headers = frozenset(name for name in kept if not any(fnmatchcase(name, wild) for wild in dropped))
    scores = [*form.scores, *(response.confidence.fields if response.confidence is not None else ())]
    coarser = tuple([Coarsening(scores, level) for level in LEVELS]) if scores and all(map(_is_path, scores)) else ()
    granted = granted_groups(route)
    media_types = form.media_types.union(*(group.media_types for group in granted))
    return Outlet(
        codec=AnswerJson(),
        transforms=tuple(transforms),
        headers=headers,
        max_bytes=response.max_bytes,
        media_types=media_types,
        divided=form.divided,
        withheld=tuple(withheld_groups(route)),
        coarser=coarser,
        leaks=_build_leaks(faults, route, at),
        errors_inside=_rewrites_errors(response, transforms),
        error_fields=_error_fields(faults, response, at),
        pad_event_bytes=response.padding.events,
        pad_answer_bytes=response.padding.answers,
        failure_slot_s=response.failure_slot_ms / 1000,
    )


def withheld_groups(route: RouteConfig) -> dict[str, Withheld]:
    """Return what the route's preset withholds and the route does not grant, by the group's name."""
    groups = PRESETS[route.preset].answer.withheld
    return {name: group for name, group in groups.items() if name not in route.response.disclose}


def granted_groups(route: RouteConfig) -> list[Withheld]:
    """Return the groups that the route grants of those that its preset withholds."""
    groups = PRESETS[route.preset].answer.withheld
    return [groups[name] for name in dict.fromkeys(route.response.disclose) if name in groups]


def _check_groups(faults: Faults, route: RouteConfig, place: Place) -> None:
    """Find groups that there are not, and those that nobody may grant."""
    for index, name in enumerate(route.response.disclose):
        known = PRESETS[route.preset].answer.withheld
        group = faults.find(known, name, f"group of {route.preset}", (*place, index))
        if group is not None and group.never:
            faults.note((*place, index), f"{name} never leave", "leave it out")


def _withhold(faults: Faults, route: RouteConfig, at: Place) -> list[Transform]:
    """Return what takes members away: the preset's list, and the policy's."""
    response, form = route.response, PRESETS[route.preset].answer
    _check_groups(faults, route, (*at, "disclose"))
    groups = withheld_groups(route).values()
    # Of a list's items, chosen by a value, the format lets all leave but those that a group takes away.
    granted = [path for group in granted_groups(route) for path in group.paths if "=" not in path]
    transforms: list[Transform] = []
    events = [kind for group in groups for kind in group.events]
    if events:
        transforms.append(Events(events))
    drops = [path for group in groups for path in group.paths]
    if response.fields is not None:
        if _check_paths(faults, response.fields, (*at, "fields")):
            transforms.append(Fields(response.fields))
    elif form.is_closed and _check_paths(faults, response.allow_fields, (*at, "allow_fields")):
        kept = [*form.members, *granted, *response.allow_fields]
        transforms.append(Fields(kept, form.values, whole_format=True))
        drops = drops if form.searched else []
    if response.allow_fields and (response.fields is not None or not form.is_closed):
        faults.note((*at, "allow_fields"), "adds to a preset's own list, which is not in use here", "use fields")
    if _check_paths(faults, response.drop_fields, (*at, "drop_fields")):
        drops = [*drops, *response.drop_fields]
    if drops:
        transforms.append(DropFields(drops, in_strings=not form.writes_text))
    emptied = [path for group in groups for path in group.emptied]
    if emptied:
        transforms.append(Emptied(emptied))
    return transforms


def _coarsen(faults: Faults, route: RouteConfig, at: Place) -> list[Transform]:
    """Return what makes numbers coarser."""
    response = route.response
    made: list[Transform | None] = []
    if response.confidence is not None:
        wanted = response.confidence
        make = partial(Confidence, threshold=wanted.threshold, top_k=wanted.top_k, by=wanted.by)
        made.append(faults.attempt((*at, "confidence"), make, wanted.fields, wanted.bands, wanted.round))
        _find_dropped(faults, response.fields, wanted.fields, (*at, "confidence", "field"))
    if response.precision is not None:
        exact = response.precision
        made.append(faults.attempt((*at, "precision"), Precision, exact.fields, exact.digits, exact.dimensions))
        _find_dropped(faults, response.fields, exact.fields, (*at, "precision", "fields"))
    return [transform for transform in made if transform is not None]


def _find_dropped(faults: Faults, kept: list[str] | None, wanted: list[str], place: Place) -> None:
    tops = {name.partition(".")[0] for name in (*(kept or ()), "*")}
    if kept is not None and any(name.partition(".")[0] not in tops for name in wanted):
        faults.note(place, "response.fields drops this field", "name it there too")


def _check_paths(faults: Faults, names: list[str], place: Place) -> bool:
    paths = [faults.attempt((*place, index), parse_path, name) for index, name in enumerate(names)]
    return all(paths)


def _is_path(text: str) -> bool:
    return all(text.split("."))


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
