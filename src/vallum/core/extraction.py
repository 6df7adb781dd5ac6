"""What the watch for model extraction is told of, and what it says: facts alone.

An account is who asks; a query is one answered request of its; a verdict is what holds for an account now.  How a
verdict is come by is the business of `vallum.extraction`; what it does to an exchange, of the engine's stage.

Rule: a verdict is read from this process's memory.  The request path never waits for a sweep, or for a store.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple


class Grade(IntEnum):
    """How far suspicion of one account has gone.  Each grade holds what those below it do."""

    CLEAR = 0
    ALERT = 1  # told to operators; the account notices nothing
    COARSER = 2  # its answers are coarser
    BUDGET = 3  # all accounts of its cluster share one budget of answers
    PROOF = 4  # each answer costs work, or a verified identity
    REFUSED = 5


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


class Verdict(NamedTuple):
    """What holds for an account now."""

    grade: Grade = Grade.CLEAR
    coarsen: int = 0  # level of its answers (coarsening.py)
    cluster: str = ""  # whose one budget it shares
    answers_a_day: int | None = None  # that budget; None: none
    work_bits: int = 0  # of the proof of work that each answer costs; 0: none
    evidence: str = ""  # for the record: a sentence


CLEAR = Verdict()
