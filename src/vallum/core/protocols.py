"""What the core expects of a plug-in: a few small protocols.  A plug-in knows these and nothing else of the house."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vallum.core.content import Content
    from vallum.core.decision import Challenge, Deny, Finding, Page
    from vallum.core.effects import Steps
    from vallum.core.exchange import Exchange, Fields, Headers, Request
    from vallum.core.extraction import Account, Verdict
    from vallum.core.issuer import Issuer, KeySet
    from vallum.core.leaks import Scan
    from vallum.core.principal import Credential, Principal
    from vallum.core.proof import Proof, Unproven
    from vallum.core.quota import Demand, Taken
    from vallum.core.standing import Footing
    from vallum.core.theft import Sighting, Suspicion
    from vallum.core.web_acl import Hit

NOTHING: Final = object()  # what a transform returns for a document that may not leave at all


@runtime_checkable
class Authenticator(Protocol):
    """Turns a credential into a principal: None (not mine), a principal, or a refusal (mine, and wrong)."""

    type: ClassVar[str]

    @property
    def challenge(self) -> str:
        """What WWW-Authenticate asks for where no credential came: a scheme, and no error (RFC 6750 3.1)."""

    def authenticate(self, request: Request) -> Steps[Principal | Challenge | Deny | None]:
        """Say who is calling."""


@runtime_checkable
class Check(Protocol):
    """Looks at what may come in.  Pure: no state across requests, no IO."""

    type: ClassVar[str]

    def inspect(self, content: Content) -> Finding | None:
        """Return the first thing that must not pass, or None."""


@runtime_checkable
class Doubter(Check, Protocol):
    """A check that may be in doubt, and then wants a second opinion."""

    def consult(self, content: Content) -> Finding | Steps[Finding | None] | None:
        """Return what must not pass, or None; or, in doubt, the steps that ask somebody slower and decide."""


class Classifier(Protocol):
    """A model that takes milliseconds.  Any number of threads may ask; it blocks."""

    def classify(self, text: str) -> float:
        """Return what it makes of a text, as a logit."""


@runtime_checkable
class Statement(Protocol):
    """One condition of a web ACL's rule.  Pure, and linear in what it looks at."""

    type: ClassVar[str]

    def match(self, x: Exchange) -> Hit | None:
        """Say what of a request is as the statement says, or None."""


@runtime_checkable
class RateKey(Protocol):
    """Says which requests a rate-based rule counts together."""

    type: ClassVar[str]

    def of(self, x: Exchange) -> str:
        """Return the key of a request: short, whatever the request says, and no secret."""


@runtime_checkable
class Sanitiser(Protocol):
    """Changes what is passed on to the upstream."""

    type: ClassVar[str]

    def clean(self, content: Content) -> Any | Finding:
        """Return the document to pass on (the same object if nothing changed), or a finding if it must not pass."""


@runtime_checkable
class Transform(Protocol):
    """Changes what goes out.  Applied to each JSON document of an answer: the body, or one event of a stream."""

    type: ClassVar[str]

    def apply(self, document: Any, removed: set[str]) -> Any:
        """Return the document to send and add the names of what was taken away or coarsened to `removed`.

        NOTHING where none of it may leave: an event of a stream is left out, a whole answer is refused.
        """


@runtime_checkable
class LeakCheck(Protocol):
    """Looks for what must not be in an answer."""

    type: ClassVar[str]

    def watch(self, content: Content | None) -> Callable[[str, bool], Scan] | None:
        """Return what looks at the answer to a request with this content; None: there is nothing to look for.

        It is called with a text, and whether that is all of it: see `leaks.Scan`.
        """


@runtime_checkable
class Codec(Protocol):
    """Reads and writes the documents of one media type."""

    def decode(self, body: bytes, headers: Headers | None = None) -> Any:
        """Parse strictly; raise ValueError with a message that is safe for the operator's record.

        `headers` are the message's, for a format that is not to be read without them (a boundary, a length).
        """

    def encode(self, document: Any) -> bytes:
        """Serialise."""


@runtime_checkable
class Rewriter(Codec, Protocol):
    """A codec of a format that parsers read in different ways: what is passed on is always written anew."""

    def fields(self, body: bytes) -> Fields:
        """Return the header fields that go with a body that `encode` wrote, in place of the request's own."""


class Coding(Protocol):
    """Undoes one content coding (RFC 9110 8.4.1)."""

    def undo(self, body: bytes, max_bytes: int) -> bytes | None:
        """Return the plain body, or None where it is over a bound; raise ValueError for what is no such coding."""


class Responder(Protocol):
    """Answers a route that has no upstream."""

    def respond(self, x: Exchange) -> Steps[Page | Challenge | Deny]:
        """Answer an exchange that was let in: its principal is known, its document parsed."""


class Prover(Protocol):
    """Checks that a caller holds a key: reads the proof that came with a request."""

    @property
    def algorithms(self) -> str:
        """The algorithms that proofs may be signed with, separated by spaces, best first."""

    def prove(self, request: Request, credential: str | None, key: str | None) -> Steps[Proof | Unproven]:
        """Check the proof of `request`: of this credential, and of the key with this thumbprint, if given."""


class Proofs(Protocol):
    """A store of proofs that were seen.  What it cannot hold it refuses: it never forgets one before its time."""

    async def set_once(self, key: str, ttl_ms: int) -> bool:
        """Say whether `key` is new, and hold it for `ttl_ms`, atomically.  Raise DependencyError."""


class Sightings(Protocol):
    """A store of the habits of credentials."""

    async def note(self, credential_id: str, sighting: Sighting) -> Suspicion:
        """Note one use and say how far it is from what is usual."""


class Counters(Protocol):
    """A store of quotas' state."""

    async def take(self, demands: tuple[Demand, ...], id: str = "") -> Taken:
        """Take all demands or none, atomically.  Raise DependencyError when the store cannot answer."""

    async def settle(self, demands: tuple[Demand, ...], id: str) -> None:
        """Put what was used in the place of what was reserved under `id`; nothing if that was done before."""

    async def renew(self, demands: tuple[Demand, ...], id: str) -> None:
        """Keep the leases under `id` for another while."""


class Standings(Protocol):
    """How callers have behaved, by name (see `standing.whose`).  Neither call waits or fails."""

    def read(self, whose: str) -> Footing:
        """Return how a caller stands, as far as this node knows."""

    def note(self, x: Exchange) -> None:
        """Take note of what an exchange that has ended tells about its caller."""


class Watcher(Protocol):
    """Watches for copies of models.  Neither call waits or fails."""

    def judge(self, model: str, account: Account, now: float) -> Verdict:
        """Say what holds for an account now, from memory."""

    def note(self, x: Exchange) -> None:
        """Take note of an exchange that has ended: whether it was answered, and what was asked."""


class Registry(Protocol):
    """A store of credentials."""

    async def find(self, digest: bytes) -> Credential | None:
        """Return the credential with this digest.  Raise DependencyError when the store cannot answer."""

    async def find_id(self, key_id: str) -> Credential | None:
        """Return the credential with this public id.  Raise DependencyError when the store cannot answer."""

    async def withdraw(self, digests: tuple[bytes, ...], now: float, quarantine: bool) -> frozenset[bytes]:
        """Revoke or quarantine from `now` (Unix seconds) on; return the digests that are known."""


class Records(Protocol):
    """A store of the records of exchanges."""

    async def find(self, request_id: str) -> Mapping[str, Any] | None:
        """Return the record of one exchange.  Raise DependencyError when there is no way to look."""


class Issuers(Protocol):
    """The authorisation servers."""

    async def fetch_keys(self, issuer: Issuer, newer_than: int = 0) -> KeySet:
        """Return an issuer's keys, as `FetchKeys` asks.  Raise DependencyError when there are none to be had."""

    async def introspect(self, issuer: Issuer, token: str) -> Mapping[str, Any]:
        """Return the introspection of a token.  Raise DependencyError when the issuer cannot be asked."""
