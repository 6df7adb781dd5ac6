"""An exchange: one request and its response, and the phases it goes through.

Facts are frozen.  The exchange itself carries what the engine has found out so far; no request can reach that state.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from vallum.core.errors import PhaseError
from vallum.core.principal import Principal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vallum.core.content import Content
    from vallum.core.cost import Bill, Estimate
    from vallum.core.decision import Decision, Refusal
    from vallum.core.extraction import Account, Verdict
    from vallum.core.failure import Evidence
    from vallum.core.policy import Policy, Priority, Route
    from vallum.core.protocols import Codec
    from vallum.core.quota import Taken
    from vallum.core.standing import Footing
    from vallum.core.theft import Suspicion
    from vallum.core.web_acl import Match


class Phase(IntEnum):
    """The five moments of an exchange, the same for every adapter, and the moment before the first."""

    NEW = 0
    REQUEST_HEAD = 1
    REQUEST_BODY = 2
    RESPONSE_HEAD = 3
    RESPONSE_CHUNK = 4
    RESPONSE_END = 5


# Which phases may follow which.  RESPONSE_CHUNK repeats; an answer without a body goes straight to its end.
FOLLOWS: dict[Phase, frozenset[Phase]] = {
    Phase.NEW: frozenset({Phase.REQUEST_HEAD}),
    Phase.REQUEST_HEAD: frozenset({Phase.REQUEST_BODY}),
    Phase.REQUEST_BODY: frozenset({Phase.RESPONSE_HEAD}),
    Phase.RESPONSE_HEAD: frozenset({Phase.RESPONSE_CHUNK, Phase.RESPONSE_END}),
    Phase.RESPONSE_CHUNK: frozenset({Phase.RESPONSE_CHUNK, Phase.RESPONSE_END}),
    Phase.RESPONSE_END: frozenset(),
}

Fields = tuple[tuple[str, str], ...]
NOBODY = Principal(subject="")


class Headers:
    """Header fields in the order they came, names in lower case, and an index by name."""

    __slots__ = ("_index", "fields")

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        """Keep `fields`; names must already be lower case."""
        self.fields: Fields = tuple(fields)
        self._index = index = dict(self.fields)
        if len(index) != len(self.fields):  # a name stands twice: its first value is the one to `get`
            index.update(reversed(self.fields))

    def all(self, name: str) -> list[str]:
        """Every value of the field `name`, in order."""
        if name not in self._index:
            return []
        if len(self._index) == len(self.fields):
            return [self._index[name]]
        return [value for field, value in self.fields if field == name]

    def get(self, name: str) -> str | None:
        """Return the first value of the field `name`, or None."""
        return self._index.get(name)


class Certificate(NamedTuple):
    """The facts of a client's certificate whose chain was verified, by our listener or by a trusted proxy."""

    thumbprint: str  # `x5t#S256`: base64url SHA-256 of its DER, without padding (RFC 8705 3.1)
    uris: tuple[str, ...] = ()  # subject alternative names, by kind
    dns: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    serial: str = ""  # in hexadecimal
    issuer: str = ""  # RFC 4514
    not_after: float = 0.0  # Unix seconds


class Request(NamedTuple):
    """The facts of a request's head.  `path` is None where the target has no canonical form (see target.py)."""

    id: str
    method: str
    path: str | None
    query: str
    headers: Headers
    client: str  # the caller's address, after trusted proxies
    now: float  # Unix seconds at arrival
    origin: str = ""  # scheme://authority as the caller sees us
    certificate: Certificate | None = None  # the client's, if it holds now
    certificate_fault: str = ""  # why one that came does not: the end of a sentence about it, for the record


class ResponseHead(NamedTuple):
    """The facts of an answer's head."""

    status: int
    headers: Headers


class Exchange:
    """What is known of one request so far: the policy it is judged by, and everything found on the way."""

    __slots__ = (
        "account",
        "amended",
        "answer",
        "bill",
        "blame",
        "blamed_for",
        "body",
        "called",
        "canary",
        "cancelled",
        "coarsen",
        "codec",
        "content",
        "cut",
        "decision",
        "document",
        "estimate",
        "evidence",
        "factor",
        "fields",
        "footing",
        "forward",
        "inputs",
        "labels",
        "matches",
        "opinions",
        "parts",
        "phase",
        "policy",
        "principal",
        "priority",
        "proof_fields",
        "quota_fields",
        "relay",
        "removed",
        "request",
        "route",
        "sanitised",
        "shadowed",
        "suspicion",
        "taken",
        "unscanned",
        "upstream_status",
        "verdict",
        "waited_s",
        "weight",
    )

    def __init__(self, policy: Policy, request: Request) -> None:
        """Begin an exchange under one policy snapshot, which it keeps to its end."""
        self.policy = policy
        self.request = request
        self.phase = Phase.NEW
        self.route: Route | None = None
        self.principal = NOBODY
        self.canary: str | None = None  # id of the canary key that was presented
        self.codec: Codec | None = None  # what reads and writes the body; None: nothing does
        self.body = b""
        self.document: Any = None
        self.forward: bytes | None = None  # what to send instead of the body
        self.fields: Fields = ()  # what goes with it, in place of the request's own fields
        self.content: Content | None = None
        self.taken: Taken | None = None
        self.quota_fields: Fields = ()
        self.proof_fields: Fields = ()  # of the answer: a nonce for the caller's next proof
        self.suspicion: Suspicion | None = None  # how far this use of the credential is from its habits
        self.weight = 1  # how many answers the request counts as (weight.py)
        self.estimate: Estimate | None = None  # tokens, on a route that counts them
        self.bill: Bill | None = None  # what is to be settled at the end; None: nothing
        self.called = False  # the upstream was asked
        self.cut = ""  # the quota that ended the answer early
        self.decision: Decision | None = None
        self.shadowed: list[Refusal] = []  # what would have been refused
        self.opinions: dict[str, str] = {}  # second ones: by control, refused, passed or failed
        self.unscanned: list[str] = []  # controls that could not look, by name: never recorded as passed
        self.removed: set[str] = set()
        self.coarsen = 0  # how far the answer is coarsened for this caller (coarsening.py)
        self.amended: tuple[str, ...] = ()  # members that the gateway wrote into the request
        self.sanitised = False
        self.relay: Any = None
        self.upstream_status: int | None = None
        self.evidence: Evidence | None = None  # what the upstream said when it failed
        self.cancelled = False  # the caller left before the end
        self.footing: Footing | None = None  # how the caller stands; None: nobody asked
        self.factor = 1.0  # what the plan's limits are multiplied by for this caller now
        self.blame = 0.0  # what controls hold against the caller, in requests that a content check refused
        self.blamed_for = ""
        self.priority: Priority | None = None  # None: there was no need to ask
        self.account: Account | None = None  # the caller, in the words of the watch for extraction
        self.verdict: Verdict | None = None  # what that says of it; None: nobody asked
        self.inputs: tuple[Any, ...] = ()  # what the model is given, where the route watches
        self.answer: Any = None  # the document that was sent, where it was read and the route watches
        self.labels: set[str] = set()  # that rules of the web ACL have put
        self.matches: list[Match] = []  # the rules that it has matched
        self.parts: dict[Any, Any] = {}  # what their statements have taken out of the request, in this phase
        self.waited_s = 0.0  # in the upstream's waiting room

    def enter(self, phase: Phase) -> None:
        """Go to `phase`, or raise PhaseError if it cannot follow the present one."""
        if phase not in FOLLOWS[self.phase]:
            raise PhaseError(f"{phase.name} cannot follow {self.phase.name}")
        self.phase = phase
