"""Houses in which the policy says less: one route for an endpoint that is protected by name, or nothing of bodies.

Rule: a route's own match holds, too.  A request that it does not name does not exist, and after a reload without the
route none does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vallum.core.engine import Engine

if TYPE_CHECKING:
    from vallum.adapters.asking import House
    from vallum.adapters.conduct import Home
    from vallum.adapters.driver import Driver
    from vallum.adapters.gates import Gates
    from vallum.core.exchange import Exchange
    from vallum.core.policy import Policy, Route
    from vallum.core.record import Timing


class Lesser:
    """A house with other routes than the one behind it."""

    def __init__(self, house: House) -> None:
        """Stand before `house`."""
        self._behind = house
        self._policy: Policy | None = None
        self._engine: Engine

    def routes(self, policy: Policy) -> tuple[Route, ...]:
        """Return the routes that hold here."""
        raise NotImplementedError

    @property
    def engine(self) -> Engine:
        """The engine of the policy in force, with these routes."""
        policy = self._behind.engine.policy
        if policy is not self._policy:
            self._engine = Engine(replace(policy, routes=self.routes(policy)))
            self._policy = policy
        return self._engine

    @property
    def driver(self) -> Driver:
        """What runs the engine's steps."""
        return self._behind.driver

    def clock(self) -> float:
        """Return seconds of a clock that never goes back."""
        return self._behind.clock()

    def finish(self, x: Exchange, status: int | None, timing: Timing, sent_bytes: int) -> None:
        """Record and count an exchange that has ended."""
        self._behind.finish(x, status, timing, sent_bytes)


class Single(Lesser):
    """The house, as far as one route goes."""

    def __init__(self, house: Home, name: str) -> None:
        """Let the route `name` of the house's policy hold alone."""
        super().__init__(house)
        self._house = house
        self._name = name

    def routes(self, policy: Policy) -> tuple[Route, ...]:
        """Return the one route."""
        return tuple([route for route in policy.routes if route.name == self._name])

    @property
    def gates(self) -> Gates:
        """What stands before upstreams."""
        return self._house.gates


class Unread(Lesser):
    """A house in which no route reads bodies: for a proxy that has none, where that loss was accepted."""

    def routes(self, policy: Policy) -> tuple[Route, ...]:
        """Return all routes, less all that needs a body."""
        return tuple([replace(one, intake=replace(one.intake, codecs={}, codings={})) for one in policy.routes])
