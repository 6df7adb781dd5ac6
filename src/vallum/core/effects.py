"""What the core asks of the world: a closed set of effects, each typed with its reply.

The engine is a generator.  It yields an effect, is sent the reply, and never touches a socket, a file or a clock.
A driver performs effects; when one fails, the driver throws `DependencyError` into the generator, so that the route's
`on_error` decides in the engine and nowhere else.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vallum.core.extraction import Account, Verdict
from vallum.core.issuer import Issuer, KeySet
from vallum.core.principal import Credential
from vallum.core.quota import Demand, Taken
from vallum.core.standing import Footing
from vallum.core.theft import Sighting, Suspicion

if TYPE_CHECKING:
    from vallum.core.protocols import Classifier

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class Effect(Generic[R_co]):
    """A question to the driver whose reply is of type R."""

    __slots__ = ()


@dataclass(slots=True)
class FindCredential(Effect[Credential | None]):
    """Look up a credential in the registry by the digest of its secret."""

    digest: bytes


@dataclass(slots=True)
class FindCredentialById(Effect[Credential | None]):
    """Look up a credential in the registry by its public id."""

    id: str


@dataclass(slots=True)
class RememberProof(Effect[bool]):
    """Remember a proof for `ttl_ms`; the reply is True if it was not seen in that time, on any node."""

    key: str
    ttl_ms: int


@dataclass(slots=True)
class NoteSighting(Effect[Suspicion]):
    """Note where and how a credential was used; the reply is how far that is from its habits."""

    credential_id: str
    sighting: Sighting


@dataclass(slots=True)
class FetchKeys(Effect[KeySet]):
    """Get an issuer's keys, from memory where they are fresh.

    With `newer_than`, a later set than that version if the issuer may be asked again by now; else the one at hand.
    """

    issuer: Issuer
    newer_than: int = 0


@dataclass(slots=True)
class Introspect(Effect[Mapping[str, Any]]):
    """Ask an issuer what an opaque token is worth (RFC 7662 2)."""

    issuer: Issuer
    token: str = field(repr=False)


@dataclass(slots=True)
class WithdrawCredentials(Effect[frozenset[bytes]]):
    """Take leaked credentials back, by the digests of their secrets; the reply is those that are known at all."""

    digests: tuple[bytes, ...]
    now: float  # Unix seconds
    quarantine: bool = False  # set aside instead of revoking


@dataclass(slots=True)
class TakeQuota(Effect[Taken]):
    """Take all these demands together, or none of them.

    With an `id` what is taken is a reservation, to be settled under that id; unsettled, it stays charged until its
    window has passed.
    """

    demands: tuple[Demand, ...]
    id: str = ""


@dataclass(slots=True)
class SettleQuota(Effect[None]):
    """Put what was really used, the `cost` of each demand, in the place of what was reserved under `id`, once."""

    demands: tuple[Demand, ...]
    id: str


@dataclass(slots=True)
class RenewQuota(Effect[None]):
    """Keep the leases under `id` for another while."""

    demands: tuple[Demand, ...]
    id: str


@dataclass(slots=True)
class FindRecord(Effect[Mapping[str, Any] | None]):
    """Look up the record of an exchange that has ended, by its request id."""

    request_id: str


@dataclass(slots=True)
class ReadStanding(Effect[Footing]):
    """Say how a caller stands, from what this node knows: never waits for another."""

    whose: str


@dataclass(slots=True)
class ReadVerdict(Effect[Verdict]):
    """Say what holds for an account that asks a model, from this process's memory: never waits for a sweep."""

    model: str
    account: Account
    now: float  # Unix seconds


@dataclass(slots=True)
class Classify(Effect[float]):
    """Ask a model that takes milliseconds what it makes of a text, where nobody else waits for it."""

    classifier: Classifier
    text: str = field(repr=False)


Steps = Generator[Effect[Any], Any, T]


def ask(effect: Effect[T]) -> Steps[T]:
    """Yield one effect and return its reply, typed."""
    reply: T = yield effect
    return reply
