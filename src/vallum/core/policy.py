"""The compiled policy: immutable, swapped whole.  An exchange sees one policy from start to end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import Any

from vallum.core.content import ANY_SHAPE, Content, Passage, Shape
from vallum.core.cost import Meter, OutputBound, Tariff
from vallum.core.decision import Finding
from vallum.core.extraction import Extraction
from vallum.core.fieldpath import Path
from vallum.core.problem import ErrorFormat
from vallum.core.protocols import (
    Authenticator,
    Check,
    Codec,
    Coding,
    LeakCheck,
    Prover,
    Responder,
    Sanitiser,
    Transform,
)
from vallum.core.quota import Quota
from vallum.core.sidedoor import Ask
from vallum.core.target import Pattern, folded
from vallum.core.web_acl import WebAcl
from vallum.core.weight import Factor


class Mode(StrEnum):
    """Whether a control refuses, or only records what it would have refused."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


class OnError(StrEnum):
    """What a route does when a control fails: a store is down, a check raises."""

    DENY = "deny"
    ALLOW = "allow"


class OnOverrun(StrEnum):
    """What becomes of a stream that runs over what was reserved for it and may have no more."""

    ALLOW = "allow"  # it goes on, and is charged in full
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Upstream:
    """A protected service: where it is, how long it may take, and what it is told on every request."""

    name: str
    url: str
    timeout_s: float = 30.0
    headers: tuple[tuple[str, str], ...] = ()
    concurrency: Concurrency | None = None


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many requests an upstream is given at once, how many wait for their turn, and for how long."""

    most: int
    least: int = 1
    target_ttfb_s: float | None = None  # None: the limit does not adapt
    room: int = 100
    wait_s: float = 1.0
    streams_only: bool = False  # only answers that are streams tell how loaded the upstream is
    mode: Mode = Mode.ENFORCE


class Priority(IntEnum):
    """Who is served first when an upstream has no room for everybody."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


@dataclass(frozen=True, slots=True)
class Priorities:
    """Priorities of callers, which come before their route's."""

    subjects: Mapping[str, Priority] = field(default_factory=dict)
    tenants: Mapping[str, Priority] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Throttle:
    """How standings are judged: how much is forgiven, for how long it is remembered, and what may come of it."""

    mode: Mode = Mode.SHADOW
    grace: float = 3.0  # blame that moves nothing
    half_life_s: float = 600.0  # in which half of the blame fades from the short memory
    floor: float = 0.1
    block_s: float | None = None  # how long a caller is refused altogether; None: never
    block_at: float = 0.2  # the factor at which that begins


@dataclass(frozen=True, slots=True)
class Limit:
    """A quota and whether it is enforced."""

    quota: Quota
    mode: Mode = Mode.ENFORCE


@dataclass(frozen=True, slots=True)
class Guard:
    """A check and whether it is enforced."""

    check: Check
    mode: Mode = Mode.ENFORCE


class LeakAction(StrEnum):
    """What becomes of an answer in which a leak was found."""

    REDACT = "redact"  # the leak is replaced
    REFUSE = "refuse"  # the answer is withheld, a stream ended


@dataclass(frozen=True, slots=True)
class Sentry:
    """A check for leaks, what is done about those it finds, and whether it is enforced."""

    check: LeakCheck
    action: LeakAction = LeakAction.REDACT
    mode: Mode = Mode.ENFORCE


def unredacted(text: str) -> str:
    """Return `text`: nothing is to be redacted."""
    return text


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of an upstream's failure is kept in the record, and what is masked in it."""

    max_bytes: int = 0
    redact: Callable[[str], str] = unredacted
    redact_names: Callable[[str], str] = unredacted  # the same, of the few names that answers have time and again


@dataclass(frozen=True, slots=True)
class Vigilance:
    """What is done when a credential's use is strange, by the score of it (theft.py)."""

    mode: Mode = Mode.SHADOW
    tighten_at: float = 0.5
    leeway: float = 0.5  # the share of its limits that is left
    step_up_at: float = 0.9


@dataclass(frozen=True, slots=True)
class Intake:
    """What may come in.  Without `codecs` bodies pass as they are, unread and recorded as unscanned."""

    max_bytes: int = 1_048_576
    max_depth: int = 32
    shape: Shape = ANY_SHAPE
    codecs: Mapping[str, Codec] = field(default_factory=dict)  # what reads a body, by its media type
    codings: Mapping[str, Coding] = field(default_factory=dict)  # what undoes a content coding, by its name
    query: frozenset[str] | None = frozenset()  # names that may appear; None: any
    parameters: Callable[[Mapping[str, str], Iterable[tuple[str, str]]], Finding | None] | None = None  # path, query
    headers: frozenset[str] = frozenset()  # fields that reach the upstream
    deny_fields: frozenset[str] = frozenset()  # case-folded
    asks: tuple[Ask, ...] = ()  # members that ask for what answers may not hold
    apart: tuple[tuple[Ask, Ask], ...] = ()  # members that may not stand in one request
    schema: Callable[[Content], Finding | None] | None = None
    schemas: tuple[str, ...] = ()  # what `schema` is made of, for people
    document: Any = None  # the route's own JSON Schema, for who writes it down elsewhere
    images: Sanitiser | None = None
    images_mode: Mode = Mode.ENFORCE
    checks: tuple[Guard, ...] = ()
    sanitiser: Sanitiser | None = None
    passages: Callable[[Any], Iterable[Passage]] | None = None  # who says what in a document; None: the user, all of it


@dataclass(frozen=True, slots=True)
class Outlet:
    """What may go out.  Without transforms answers stream through untouched."""

    codec: Codec | None = None
    transforms: tuple[Transform, ...] = ()
    headers: frozenset[str] = frozenset()
    max_bytes: int = 8_388_608
    media_types: frozenset[str] = frozenset()  # what passes unread: audio, images
    divided: bool = False  # answers may have the bytes of tensors behind their JSON (divided.py)
    withheld: tuple[str, ...] = ()  # groups that the preset withholds here, by name
    coarser: tuple[Transform, ...] = ()  # what is done besides, by level, to answers to a caller under suspicion
    leaks: tuple[Sentry, ...] = ()
    errors_inside: bool = False  # errors in the guise of answers are failures of the upstream
    error_fields: tuple[Path, ...] = ()  # what may pass of the upstream's refusals
    pad_event_bytes: int = 1  # sizes leave as multiples of these
    pad_answer_bytes: int = 1
    failure_slot_s: float = 0.0  # failures leave in slots of this after the request came; 0: at once

    @property
    def reads(self) -> bool:
        """Whether what goes out must be read."""
        padded = self.pad_event_bytes > 1 or self.pad_answer_bytes > 1
        return bool(self.transforms or self.leaks) or self.errors_inside or padded

    def at(self, level: int) -> Outlet:
        """Return the outlet for a caller whose answers are coarsened to `level` (coarsening.py)."""
        if level <= 0 or not self.coarser:
            return self
        step = self.coarser[min(level, len(self.coarser)) - 1]
        return replace(self, transforms=(step, *self.transforms))


@dataclass(frozen=True, slots=True)
class Route:
    """Some requests, and all that holds for them."""

    name: str
    methods: frozenset[str]
    pattern: Pattern
    upstream: Upstream
    authenticators: tuple[Authenticator, ...]
    scopes: frozenset[str] = frozenset()
    limits: tuple[Limit, ...] = ()
    intake: Intake = field(default_factory=Intake)
    outlet: Outlet = field(default_factory=Outlet)
    mode: Mode = Mode.ENFORCE
    on_error: OnError = OnError.DENY
    error_format: ErrorFormat | None = None
    exclude: tuple[Pattern, ...] = ()
    responder: Responder | None = None  # answers in the upstream's place
    bound: bool = False  # only credentials that their holder must prove are taken
    vigilance: Vigilance | None = None  # what is done about signs of theft
    throttle: Throttle | None = None
    priority: Priority = Priority.NORMAL
    tariff: Tariff = field(default_factory=Tariff)
    factors: tuple[Factor, ...] = ()  # what makes a request count as several
    meter: Meter | None = None  # reads tokens in this route's format
    output_bound: OutputBound | None = None  # of a request's answers; None: only where tokens are counted
    on_overrun: OnOverrun = OnOverrun.ALLOW
    shows_quotas: bool = True
    extraction: Extraction | None = None  # what is done about copies of the model
    web_acl: WebAcl | None = None  # rules that come before all else


@dataclass(frozen=True, slots=True)
class Policy:
    """All routes, in the order of the file.  `digest` names this version in every record."""

    routes: tuple[Route, ...]
    upstreams: Mapping[str, Upstream]
    digest: str = ""
    prover: Prover | None = None  # checks the proofs of credentials that are bound to a key
    priorities: Priorities = field(default_factory=Priorities)
    throttle: Throttle | None = None
    retention: Retention = field(default_factory=Retention)

    def find_route(self, method: str, path: str) -> Route | None:
        """Return the first route that names this method and path, or None: what is not named does not exist."""
        for route in self.routes:
            if method in route.methods and route.pattern.matches(path):
                if route.exclude:
                    # A door that is to stay shut stays shut in every spelling that a server behind might accept.
                    plain = folded(path)
                    if any(pattern.matches(plain) for pattern in route.exclude):
                        continue
                return route
        return None
