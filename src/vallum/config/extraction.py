"""Turns what a route says of extraction into what the engine and the watch read."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from vallum.core.errors import DependencyError
from vallum.core.extraction import DAY_S, Account, Extraction, Grade, Query, Respond, Terms
from vallum.core.fieldpath import parse_path
from vallum.core.inputs import PARTS, at_places, of_conversation
from vallum.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.config.faults import Faults
    from vallum.config.model import RouteConfig
    from vallum.config.model.extraction import ExtractionConfig, FeaturesConfig
    from vallum.config.source import Place
    from vallum.core.policy import Outlet, Policy
    from vallum.presets.preset import RequestForm


SAMPLE_LINES = 500_000
WARM_UP_S = 2 * DAY_S  # before calibration: in which the watch learns what inputs look like
LATEST_S = 4_102_444_800.0  # 2100


def build_extraction(faults: Faults, route: RouteConfig, place: Place) -> Extraction | None:
    """Return what a route does about extraction; None where it says nothing of it."""
    wanted = route.extraction
    kind, inputs = _build_inputs(faults, route, place)
    if wanted is None or inputs is None:
        return None
    if not wanted.watch and wanted.respond is not Respond.OBSERVE:
        hint = "watch, or leave respond out"
        faults.note((*place, "extraction", "respond"), "without a watch nobody is ever named", hint)
    at = (*place, "extraction", "calibration", "sample")
    file = wanted.calibration.sample
    recorded = None if file is None else faults.read_file(file, at)
    sample = (
        None if recorded is None else faults.attempt(at, read_sample, recorded, inputs, wanted.established_days * DAY_S)
    )
    return Extraction(
        model=wanted.model or route.name,
        kind=kind,
        inputs=inputs,
        watch=wanted.watch,
        respond=wanted.respond,
        terms=_build_terms(wanted),
        seed=partial(bytes, wanted.seed, "utf-8") if wanted.seed is not None else Seed(),
        established_s=wanted.established_days * DAY_S,
        verified=frozenset(wanted.verified.subjects),
        verified_tenants=frozenset(wanted.verified.tenants),
        bound_is_verified=wanted.verified.bound,
        verified_a_day=wanted.verified.answers_a_day,
        work_s=wanted.work.expires_s,
        sample=sample or (),
        calibrate_s=wanted.calibration.days * DAY_S,
        sensitivity=wanted.sweep.sensitivity,
        sweep_s=wanted.sweep.every_s,
        sweep_queries=wanted.sweep.queries,
    )


def _build_terms(wanted: ExtractionConfig) -> Terms:
    grades = frozenset({Grade.ALERT, *(Grade[name.upper()] for name in wanted.grades)})
    first = Grade.BUDGET
    if wanted.respond is Respond.DENY:
        grades, first = frozenset({Grade.ALERT, Grade.COARSER, Grade.REFUSED}), Grade.REFUSED
    return Terms(
        grades=grades,
        first=first,
        sweeps=wanted.sweep.in_a_row,
        lasts_s=wanted.lasts_days * DAY_S,
        proof_after_s=wanted.work.after_days * DAY_S,
        refused_after_s=wanted.refuse_after_days * DAY_S,
        coarsen=wanted.coarsen,
        coarsen_established=wanted.coarsen_established,
        answers_a_day=wanted.answers_a_day,
        work_bits=(wanted.work.bits, wanted.work.most_bits),
        probation=wanted.work.probation,
    )


def _build_inputs(
    faults: Faults, route: RouteConfig, place: Place
) -> tuple[str, Callable[[Any], tuple[Any, ...]] | None]:
    """Return the kind of a route's inputs and what finds them: as the policy says, or as the preset knows."""
    form, features = PRESETS[route.preset].request, route.request.features
    at = (*place, "request", "features") if features else (*place, "extraction")
    if not form.media_types:
        if features or route.extraction is not None:
            faults.note(at, "a raw route passes bodies unread", "leave out preset: raw")
        return "", None
    if features:
        return _as_written(faults, [features] if not isinstance(features, list) else features, at)
    if route.extraction is None:
        return "", None
    known = [one for one in form.inputs if one.kind in PARTS]
    if any(not one.path and one.kind == "image" for one in form.attachments):
        return "image", at_places("image", ((),))  # the body is the image
    if not known:
        hint = "add request: {features: {path: .., kind: ..}}"
        faults.note(at, f"preset {route.preset!r} does not say where the model's input lies", hint)
        return "", None
    kind = known[0].kind
    if kind == "text" and form.passages is not None and _is_conversation(form):
        return kind, of_conversation(form.passages)
    paths = [parse_path(one.path) for one in known if one.kind == kind]
    if kind != "image":  # of these a list is a batch, wherever it stands: its items are not to be counted twice
        paths = [path for path in paths if path[-1] != "*" or not path[:-1] or path[:-1] not in paths]
        paths = [path for path in paths if path != ("*", "*") or ("*",) not in paths]
    return kind, at_places(kind, tuple(paths))


def _as_written(
    faults: Faults, features: list[FeaturesConfig], at: Place
) -> tuple[str, Callable[[Any], tuple[Any, ...]] | None]:
    kinds = sorted({one.kind for one in features})
    if len(kinds) > 1:
        faults.note(at, f"inputs of several kinds ({', '.join(kinds)}) are not compared with each other", "keep one")
    paths = [faults.attempt((*at, "path"), parse_path, one.path) for one in features]
    return kinds[0], at_places(kinds[0], tuple([path for path in paths if path]))


def _is_conversation(form: RequestForm) -> bool:
    return any(".content" in one.path for one in form.inputs)


def find_limits(extraction: Extraction, outlet: Outlet) -> list[str]:
    """Say what a route's answer to suspicion cannot do, though nothing about it is wrong."""
    found: list[str] = []
    if extraction.respond is Respond.OBSERVE or not extraction.watch:
        return found
    if Grade.COARSER in extraction.terms.grades and not outlet.coarser:
        found.append("no scores are known that could be made coarser: name them in response.confidence")
    if Grade.PROOF in extraction.terms.grades or extraction.terms.probation:
        found.append("clients must know how to answer a Vallum-Work challenge")
    span_s = extraction.sample[-1].at - extraction.sample[0].at if extraction.sample else 0.0
    wait_s = extraction.calibrate_s + WARM_UP_S - span_s
    if wait_s > 0:
        found.append(f"names nobody but to operators for {wait_s / DAY_S:.2g} days")
    return found


def read_sample(text: bytes, find: Callable[[Any], tuple[Any, ...]], old_s: float) -> tuple[Query, ...]:
    """Read recorded requests, a JSON object a line; raise ValueError that names the line.

    Who asked in it is taken for an account older than `old_s` before its first line, unless `created` says otherwise.
    """
    rows: list[tuple[float, str, float | None, Any, Any]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if number > SAMPLE_LINES:
            raise ValueError(f"over {SAMPLE_LINES} lines")
        if line.strip():
            rows.append(_read_line(line, number))
    if not rows:
        raise ValueError("no line in it is a request")
    rows.sort(key=lambda row: row[0])
    began = rows[0][0] - old_s - DAY_S
    return tuple(
        [
            Query(Account(f"subject\x1f{subject}", began if created is None else created), at, find(body), answer)
            for at, subject, created, body, answer in rows
        ]
    )


def _read_line(line: bytes, number: int) -> tuple[float, str, float | None, Any, Any]:
    try:
        row = json.loads(line)
        at, subject, created = row["at"], row["subject"], row.get("created")
        times = [one for one in (at, created) if one is not None]
        if not all(type(one) in (int, float) and 0 <= one < LATEST_S for one in times) or not times:
            raise TypeError("a time that is none")
        if not isinstance(subject, str) or not subject:
            raise TypeError("a subject that is none")
        return float(at), subject, created, row["body"], row.get("answer")
    except KeyError as missing:
        raise ValueError(f"line {number} has no {missing.args[0]!r}") from missing
    except (TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError(f"line {number} is no recorded request: `at` in Unix seconds, `subject`, `body`") from error


class Seed:
    """The seed of a policy that names none: whoever runs it puts in the one that all replicas share."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.secret = b""

    def __call__(self) -> bytes:
        """Return the seed.  Raise DependencyError before there is one: a guess would be known to everybody."""
        if not self.secret:
            raise DependencyError("the watch for extraction has no seed yet")
        return self.secret


def plant(policy: Policy, find: Callable[[], bytes]) -> None:
    """Put the seed that `find` returns wherever the policy names none."""
    seeds = [route.extraction.seed for route in policy.routes if route.extraction is not None]
    empty = [seed for seed in seeds if isinstance(seed, Seed) and not seed.secret]
    if empty:
        secret = find()
        for seed in empty:
            seed.secret = secret
