"""What the watch for model extraction is told of, and what it says: facts alone.

An account is who asks; a query is one answered request of its; a verdict is what holds for an account now.  How a
verdict is come by is the business of `vallum.extraction`; what it does to an exchange, of the engine's stage
(verdicts.py).

Rule: a verdict is read from this process's memory.  The request path never waits for a sweep, or for a store.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

DAY_S = 86_400.0


class Grade(IntEnum):
    """How far suspicion of one account has gone.  Each grade holds what those below it do."""

    CLEAR = 0
    ALERT = 1  # told to operators; the account notices nothing
    COARSER = 2  # its answers are coarser
    BUDGET = 3  # all accounts of its cluster share one budget of answers
    PROOF = 4  # each answer costs work, or a verified identity
    REFUSED = 5


class Respond(StrEnum):
    """What a route does about verdicts."""

    OBSERVE = "observe"  # they are recorded, and nothing more
    GRADUATED = "graduated"  # by grade
    DENY = "deny"  # an untrusted account that is named is refused at once


class Account(NamedTuple):
    """Who asks, and what is known of it without its asking."""

    name: str  # as `standing.whose` has it
    created: float | None = None  # Unix seconds; None: unknown, and its first query is taken for it
    network: str = ""  # /24 or /48
    agent: str = ""  # family of its user agent
    client: str = ""  # fingerprint of how its client writes a request: the order of its header fields
    tenant: str | None = None
    verified: bool = False  # it has proved who it is: a bound credential, or an operator's word


class Query(NamedTuple):
    """One answered request."""

    account: Account
    at: float  # Unix seconds
    inputs: tuple[Any, ...]  # what the model was given: texts, vectors, images' bytes
    answer: Any = None  # the document that was sent, as it left; None: not read
    coarsened: int = 0  # how far the answer was made coarser for this account (coarsening.py)
    tokens: int = 0  # of the answer, where the route counts them
    request_id: str = ""


class Verdict(NamedTuple):
    """What holds for an account now."""

    grade: Grade = Grade.CLEAR
    coarsen: int = 0  # level of its answers (coarsening.py)
    cluster: str = ""  # whose one budget it shares
    answers_a_day: int | None = None  # that budget; None: none
    work_bits: int = 0  # of the proof of work that each answer costs; 0: none
    evidence: str = ""  # for the record: a sentence
    until: float | None = None  # Unix seconds: when it is a grade lower, if no sweep names the account before
    pardoned: bool = False  # an operator has said that it may: nothing is done
    strange: float = 0.0  # how unlike its own history what it asks is, 0 to 1: at 1 that alone is a sign of theft


CLEAR = Verdict()


class Pardon(NamedTuple):
    """An operator's word that an account, or a whole cluster, may go on."""

    whom: str  # an account's name, or `cluster` and a cluster's, parted like an account's
    until: float  # Unix seconds
    by: str = ""
    because: str = ""


class Change(NamedTuple):
    """An account has another grade than before."""

    account: str
    cluster: str
    before: Grade
    after: Grade
    at: float
    evidence: str


def name_account(name: str) -> str:
    """Write an account, or a cluster, as people do: `subject:alice`, `ip:192.0.2.1`, `cluster:c0ffee`."""
    return ":".join(name.split("\x1f", 1))


def parse_account(text: str) -> str:
    """Read what `name_account` wrote; a word without a kind is a subject."""
    kind, colon, name = text.partition(":")
    known = colon and name and kind in ("subject", "ip", "cluster")
    return f"{kind}\x1f{name}" if known else f"subject\x1f{text}"


@dataclass(frozen=True, slots=True)
class Terms:
    """What the ladder may do to whom, and when."""

    grades: frozenset[Grade] = frozenset({Grade.ALERT, Grade.COARSER, Grade.BUDGET})  # that may be used
    first: Grade = Grade.BUDGET  # of an untrusted account that enough sweeps have named, or the highest below it
    sweeps: int = 2  # in a row, before anything is done
    lasts_s: float = DAY_S  # of a grade, after the last sweep that named the account
    proof_after_s: float = DAY_S  # in the first grade, and still named
    refused_after_s: float = 7 * DAY_S
    coarsen: int = 3  # level of the answers of untrusted accounts, and of established ones
    coarsen_established: int = 2
    answers_a_day: int = 20  # of a whole cluster
    work_bits: tuple[int, int] = (18, 24)  # of what has learnt nothing yet, and of what has learnt all
    probation: bool = False  # whether untrusted accounts of a cohort that stands out pay with work, unnamed


@dataclass(frozen=True, slots=True)
class Extraction:
    """What a route does against extraction."""

    model: str  # what is watched: routes that name the same model are watched as one
    kind: str  # of its inputs: text, image, vector, table
    inputs: Callable[[Any], tuple[Any, ...]]  # finds them in a request's document
    watch: bool = True
    respond: Respond = Respond.OBSERVE
    terms: Terms = field(default_factory=Terms)
    seed: Callable[[], bytes] = (
        bytes  # what chance hangs on: the same on every replica, unknown to callers; raises DependencyError
    )
    established_s: float = 14 * DAY_S  # age from which an account is trusted
    verified: frozenset[str] = frozenset()  # subjects of whom an operator says who they are
    verified_tenants: frozenset[str] = frozenset()
    bound_is_verified: bool = False  # so is who holds a bound credential
    verified_a_day: int | None = None  # answers that each of them may have; None: as many as the route's quotas let
    work_s: float = 120.0  # in which a challenge is to be met
    sample: tuple[Query, ...] = ()  # recorded, in their order, from which the watch begins
    calibrate_s: float = 7 * DAY_S  # of traffic that calibration takes, without a sample
    sensitivity: float = 1.0
    sweep_s: float = 60.0  # between two sweeps at most
    sweep_queries: int = 50  # of untrusted accounts between two sweeps
