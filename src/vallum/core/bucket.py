"""What every strategy's state has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vallum.core.quota import Demand, Level


class Bucket(ABC):
    """The state of one quota for one partition.

    A bucket has a time of its own that never goes back: where the clock does, it stands still.  From `ends_us` on
    nothing in it counts, and it is as new.
    """

    ends_us: int = 0

    @abstractmethod
    def wait_us(self, demand: Demand, id: str, now_us: int) -> int:
        """Return how long until the demand fits; 0: it does now, or was taken under this id before."""

    @abstractmethod
    def charge(self, demand: Demand, id: str, now_us: int) -> Level:
        """Take what `wait_us` just found to fit, and say how the quota stands then.

        With an id it is a reservation, and taken once however often it is asked for.
        """

    @abstractmethod
    def level(self, demand: Demand, now_us: int) -> Level:
        """Say how the quota stands."""

    @abstractmethod
    def settle(self, demand: Demand, id: str, now_us: int) -> None:
        """Put the demand's cost in the place of what was reserved under `id`, if that is remembered."""

    def renew(self, demand: Demand, id: str, now_us: int) -> None:  # noqa: B027  most have nothing to do
        """Keep the lease under `id` for another while.  What is no lease has none to keep."""
