"""Web ACLs as facts: rules on requests, in the order of their priorities.

A rule belongs to one of two phases: to the body's if its statement looks at the body, or at a label that a rule of the
body's phase puts; else to the head's, which comes before anybody is asked who is calling.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vallum.core.policy import Mode
    from vallum.core.protocols import RateKey, Statement
    from vallum.core.quota import Quota


class Action(StrEnum):
    """What is done with a request that matches a rule."""

    BLOCK = "block"
    COUNT = "count"  # record, label and go on


class Hit(NamedTuple):
    """What a statement saw: which of them, where, and how.  Never the caller's words."""

    statement: str
    where: str = ""
    detail: str = ""

    def __str__(self) -> str:
        """Write it as a record's detail has it."""
        return " ".join(filter(None, (self.statement, self.where and f"in {self.where}", self.detail)))


@dataclass(frozen=True, slots=True)
class Rate:
    """More requests than a quota has room for, each with the key of its own bucket."""

    quota: Quota
    key: RateKey


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done with requests that match.  With a `rate` the statement says which requests are counted."""

    name: str
    action: Action
    statement: Statement | None = None  # None: all requests
    rate: Rate | None = None
    labels: tuple[str, ...] = ()
    reads_body: bool = False


@dataclass(frozen=True, slots=True)
class WebAcl:
    """The rules of one web ACL, lowest priority first."""

    name: str
    rules: tuple[Rule, ...]
    mode: Mode


class Match(NamedTuple):
    """A rule that a request has matched."""

    rule: Rule
    hit: Hit
