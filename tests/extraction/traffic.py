"""Honest accounts and raids as rows of features, made from a seed; what sweeps are tested on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from vallum.extraction.contemporaries import Contemporaries
from vallum.extraction.facts import ANSWER_BINS, WIDTH, Snapshot
from vallum.extraction.features.answer import WEIGHT
from vallum.extraction.reference import fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vallum.extraction.facts import Floats

    Numbers = NDArray[Any]

DAY_S = 86_400.0
NOW = 100 * DAY_S
OLD, YOUNG = NOW - 60 * DAY_S, NOW - 3 * DAY_S
COLUMNS, MODES = 6, 12
SECRET = b"traffic"


class World:
    """What is asked about: points of a few modes, answered surely; and what a thief asks."""

    def __init__(self, seed: int = 1, unsure: int = 0) -> None:
        """Choose the modes; of the first `unsure` of them the model is less sure, and fewer ask about them."""
        self.unsure = unsure
        self.rng = np.random.default_rng(seed)
        self.modes = self.rng.normal(0, 2.0, (MODES, COLUMNS))
        inputs = self._points(self.rng.integers(MODES, size=600))
        self.scale = fit(inputs.astype(np.float32), self.rng.random(600).astype(np.float32), SECRET)

    def _points(self, modes: Numbers) -> Numbers:
        return self.modes[modes] + self.rng.normal(0, 0.5, (len(modes), COLUMNS))

    def honest(self, count: int, habit: Numbers | None = None) -> Floats:
        """Rows of an account with a habit."""
        modes = self.rng.choice(MODES, count, p=habit)
        bins = self.rng.choice(ANSWER_BINS, count, p=(0.02, 0.03, 0.05, 0.1, 0.15, 0.15, 0.25, 0.25))
        bins[modes < self.unsure] //= 3
        return self._rows(self._points(modes), bins)

    def strange(self, count: int) -> Floats:
        """Rows of noise that the model is unsure of."""
        return self._rows(self.rng.normal(0, 3.0, (count, COLUMNS)), self.rng.integers(5, size=count))

    def _rows(self, points: Numbers, bins: Numbers) -> Floats:
        rows = np.zeros((len(points), WIDTH), np.float32)
        rows[:, : WIDTH - ANSWER_BINS] = self.scale.place(points.astype(np.float32))
        rows[np.arange(len(points)), WIDTH - ANSWER_BINS + bins] = WEIGHT
        return rows

    def habit(self) -> Numbers:
        """Draw how often each mode."""
        return self.rng.dirichlet(np.where(np.arange(MODES) < self.unsure, 0.3, 0.6))


@dataclass
class Traffic:
    """Accounts and what they asked, as a sweep sees them."""

    world: World = field(default_factory=World)
    names: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    sums: list[Floats] = field(default_factory=list)
    created: list[float] = field(default_factory=list)
    protected: set[str] = field(default_factory=set)
    peers: Contemporaries = field(default_factory=Contemporaries)
    fresh: Contemporaries = field(default_factory=lambda: Contemporaries(1024, 32))

    def add(self, name: str, rows: Floats, created: float) -> None:
        """Let an account ask, in the last hour."""
        self.names.append(name)
        self.counts.append(len(rows))
        self.sums.append(rows.sum(axis=0))
        self.created.append(created)
        group = self.peers if created == OLD else self.fresh
        for place, row in enumerate(rows[:16]):
            group.note(name, NOW - 3600 + place, row)

    def honest(
        self, many: int, created: float = OLD, prefix: str = "user", *, queries: int = 20, habit: Numbers | None = None
    ) -> None:
        """Let honest accounts ask."""
        for number in range(many):
            rows = self.world.honest(queries, self.world.habit() if habit is None else habit)
            self.add(f"{prefix}-{number}", rows, created)

    def raid(
        self, many: int, queries: int = 3, camouflage: int = 0, *, prefix: str = "thief", created: float = YOUNG
    ) -> None:
        """Let a thief's accounts ask, ordinary things among them."""
        for number in range(many):
            rows = [self.world.strange(queries)]
            if camouflage:
                rows.append(self.world.honest(camouflage))
            self.add(f"{prefix}-{number}", np.concatenate(rows), created)

    def snapshot(self, at: float = NOW) -> Snapshot:
        """Return all accounts, as if all had just asked."""
        created = np.array(self.created, np.float64)
        return Snapshot(
            at,
            list(self.names),
            np.array(self.counts, np.float32),
            np.array(self.sums, np.float32).reshape(-1, WIDTH),
            np.zeros(len(self.names), np.float32),
            created,
            np.full(len(self.names), at),
            {"new": np.where(at - created < 14 * DAY_S, 1, -1).astype(np.int32)},
            np.array([name in self.protected for name in self.names], np.bool_),
        )
