"""A house in which one route holds: for the endpoint of an app that is protected by name.

Rule: the route's own match holds, too.  A request that it does not name does not exist, and after a reload without the
route none does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vallum.core.engine import Engine

if TYPE_CHECKING:
    from vallum.adapters.conduct import Home
    from vallum.adapters.driver import Driver
    from vallum.adapters.gates import Gates
    from vallum.core.exchange import Exchange
    from vallum.core.policy import Policy
    from vallum.core.record import Timing


class Single:
    """The house, as far as one route goes."""

    def __init__(self, house: Home, name: str) -> None:
        """Let the route `name` of the house's policy hold alone."""
        self._house = house
        self._name = name
        self._policy: Policy | None = None
        self._engine: Engine

    @property
    def engine(self) -> Engine:
        """The engine of the policy in force, with its one route."""
        policy = self._house.engine.policy
        if policy is not self._policy:
            self._engine = Engine(replace(policy, routes=tuple(r for r in policy.routes if r.name == self._name)))
            self._policy = policy
        return self._engine

    @property
    def driver(self) -> Driver:
        """What runs the engine's steps."""
        return self._house.driver

    @property
    def gates(self) -> Gates:
        """What stands before upstreams."""
        return self._house.gates

    def clock(self) -> float:
        """Return seconds of a clock that never goes back."""
        return self._house.clock()

    def finish(self, x: Exchange, status: int | None, timing: Timing, sent_bytes: int) -> None:
        """Record and count an exchange that has ended."""
        self._house.finish(x, status, timing, sent_bytes)
