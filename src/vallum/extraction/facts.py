"""What the parts of the watch hand to one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

FEATURES = 128  # numbers that stand for one input
ANSWER_BINS = 8  # of the histogram of what was answered, beside them
WIDTH = FEATURES + ANSWER_BINS


class Featuriser(Protocol):
    """Turns a query into rows of `WIDTH` numbers, one an input."""

    def read(self, inputs: tuple[Any, ...], answer: Any) -> Floats | None:
        """Return an array of (inputs, WIDTH), or None for what has no features; never raises, whatever it is given."""


class Snapshot(NamedTuple):
    """All accounts of a route at one moment: row i of every array is account i."""

    at: float  # Unix seconds
    names: list[str]
    counts: Floats  # (accounts,) inputs that were answered
    sums: Floats  # (accounts, WIDTH) of their rows
    squares: Floats  # (accounts,) of their rows' squared lengths
    created: NDArray[np.float64]  # (accounts,) Unix seconds
    last: NDArray[np.float64]  # (accounts,) of the last query
    cohorts: dict[str, NDArray[np.int32]]  # by kind (network, agent, ..): each account's number within that kind
    protected: NDArray[np.bool_]  # (accounts,) verified, or vouched for by an operator: never beyond coarser


class Named(NamedTuple):
    """An account that a sweep has named."""

    name: str
    cluster: str
    score: float
    established: bool  # old enough to be trusted: never beyond coarser on content alone


class Alarm(NamedTuple):
    """A cohort that differs from established accounts of the same hours."""

    cohort: str
    statistic: float
    threshold: float
    accounts: int


class Findings(NamedTuple):
    """What one sweep has found."""

    at: float
    alarms: tuple[Alarm, ...] = ()
    named: tuple[Named, ...] = ()
    calibrated: bool = False  # False: reported, and nothing more
    cleared: tuple[str, ...] = ()  # accounts of which nothing that was found before holds any more
