"""How much of the model a cluster holds by now: what a student learns from the answers it was given.

Whoever copies a model trains a student on the answers.  So does the meter: one student for each cluster, and one for
all accounts that nobody trusts yet.  How often a student says what the model said to *established* accounts, on inputs
that it never saw, is the estimate of its fidelity on real traffic; what the commonest label alone would come to stands
beside it, because that much is had for nothing.

When a cluster is found, what its members were answered before is taken from the answers kept of the untrusted.  Of more
answers than are kept, a sample is learnt from, and the estimate follows the student's own learning curve from there:
what it says otherwise than the model falls as a power of the answers.
The interval is that of the share among the inputs it was tested on (Wilson, 95 %), and the way along the curve.

    train       off the request path, in pieces, in any thread: `learn`
    memory      at most STUDENTS_MAX samples of KEPT_MAX answers, at half precision: 64 MiB at 1,024 numbers an input
    replicas    each estimates by the answers that it gave itself, along the curve to as many as all gave (`follow`);
                it draws no lots but by the secret, so the same answers in the same order give the same estimate

Misses: answers before a restart are not learnt from after it.  What a thief knows besides (a trained network, labelled
data) helps it and not the student.  Without labels (a chat, a regression) nothing is estimated: answers, and how many
of them were to inputs that nobody had asked before, are counted, and no more.
"""

from __future__ import annotations

from collections import deque
from math import sqrt
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import numpy as np

from vallum.core.inputs import Turn
from vallum.extraction.features.reader import READERS
from vallum.extraction.features.vector import stretch
from vallum.extraction.reservoir import Reservoir
from vallum.extraction.said import read_said
from vallum.extraction.student import STEPS, Lesson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from vallum.extraction.facts import Floats
    from vallum.extraction.reference import Scale
    from vallum.extraction.said import Said

UNTRUSTED = ""  # the name of the cluster of all accounts that nobody trusts yet
STUDENTS_MAX = 8
KEPT_MAX = 4096  # answers that one student learns from
LABELS_MAX = 128  # those that come later are learnt by nobody
LEAST = 20  # answers, before anything is learnt
GROWN = 1.25  # answers over those of the last lesson, before the next
TESTED_MIN = 100  # inputs of established accounts, before anything is estimated
Z = 1.96  # of the interval
BEGINNINGS = 2  # of a student: the mean of what both come to varies less
LESSONS = BEGINNINGS * STEPS + 1  # from each, and the test
CURVE_MAX = 64  # lessons that are remembered
CURVE_FIT = 4  # of them the last, that say how it goes on
LEFT_MIN = 1e-3  # of disagreement, for its logarithm
SEEN_BITS = 16_384  # of the map that counts inputs asked for the first time: good to some 50,000


class Leak(NamedTuple):
    """What a cluster could have learnt by now."""

    cluster: str
    answers: int  # it was given
    novel: int  # of them, to inputs that it had not asked before, nearly
    agreement: float | None  # with the model, on established accounts' inputs; None: nothing to go by
    low: float | None
    high: float | None
    nothing: float | None  # agreement of who always says the commonest label
    curve: tuple[tuple[int, float], ...]  # answers and agreement, lesson by lesson

    @property
    def share(self) -> float:
        """How much it has of what cannot be had for nothing, from 0 to 1."""
        if self.agreement is None or self.nothing is None or self.nothing >= 1:
            return 0.0
        return max(0.0, (self.agreement - self.nothing) / (1 - self.nothing))

    def facts(self) -> dict[str, Any]:
        """Return it for records, metrics and plots."""
        return {**self._asdict(), "curve": [list(point) for point in self.curve]}


class _Lot(NamedTuple):
    """One answered input."""

    line: NDArray[np.float16]
    label: int
    sure: float
    chances: tuple[tuple[int, float], ...]


class _Group:
    """The accounts of one cluster: what they were answered, and the student that learns it."""

    def __init__(self, name: str, chance: np.random.Generator) -> None:
        self.name = name
        self.answers = 0
        self.novel = 0
        self.kept: list[_Lot] = []
        self.curve: list[tuple[int, float]] = []
        self._chance = chance
        self._seen = np.zeros(SEEN_BITS, np.bool_)
        self._lessons: list[Lesson] = []
        self._size = 0  # answers that the lessons under way are about
        self.tested, self.nothing = 0, 0.0  # inputs of the last test, and what the commonest label would have come to

    def add(self, lot: _Lot | None, code: int) -> None:
        """Count an answer, and keep it or do not: each of all with the same chance."""
        self.answers += 1
        place = code % SEEN_BITS
        self.novel += not self._seen[place]
        self._seen[place] = True
        if lot is None:
            return
        if len(self.kept) < KEPT_MAX:
            self.kept.append(lot)
        elif (place := int(self._chance.integers(self.answers))) < KEPT_MAX:
            self.kept[place] = lot

    @property
    def is_learning(self) -> bool:
        """Whether a lesson is under way."""
        return bool(self._lessons)

    @property
    def is_due(self) -> bool:
        """Whether it has learnt too little of what it was answered."""
        last = self.curve[-1][0] if self.curve else LEAST / GROWN
        return self.is_learning or len(self.kept) >= last * GROWN

    def learn(self, steps: int, classes: int, tests: tuple[Floats, NDArray[np.intp]]) -> int:
        """Take up to `steps` steps, and note the agreement when all is learnt; return the steps left over."""
        if not self._lessons:
            inputs, targets = _targets(self.kept, classes)
            self._lessons = [Lesson(inputs, targets, seed=seed) for seed in range(BEGINNINGS)]
            self._size = len(inputs)
        for lesson in self._lessons:
            steps = lesson.go_on(steps)
        if steps:  # left over: both have learnt it all
            inputs, labels = tests
            shares = [float((lesson.choose(inputs) == labels).mean()) for lesson in self._lessons]
            self.tested, self.nothing = len(labels), float(np.bincount(labels).max() / len(labels))
            self.curve = [*self.curve[-CURVE_MAX + 1 :], (self._size, sum(shares) / len(shares))]
            self._lessons = []
        return steps


class LeakMeter:
    """What the suspected and the untrusted of one route could have learnt."""

    def __init__(self, scale: Scale | None, secret: bytes, kind: str = "vector") -> None:
        """Read inputs of one kind as their features do; without a scale, count them only."""
        self._scale = scale
        self._read = READERS[kind]
        self._chance = np.random.default_rng(list(secret))
        self._labels: dict[str, int] = {}
        self._trusted = Reservoir(secret)  # established accounts' inputs: what students are tested on
        self._untrusted: deque[tuple[str, _Lot | None, int]] = deque(maxlen=KEPT_MAX)  # who was answered what, lately
        self._groups = {UNTRUSTED: _Group(UNTRUSTED, self._chance)}
        self._whose: dict[str, str] = {}  # cluster of each member
        self._answered: Mapping[str, int] = {}  # by cluster, on all replicas

    def note(
        self, account: str, inputs: tuple[Any, ...], answer: Any, *, trusted: bool, near: Floats | None = None
    ) -> None:
        """Take what an account was answered; never raises.  The trusted are established, and clear of suspicion.

        `near` is what the inputs are on the scale, a row for each, where that is known already.
        """
        cluster = self._whose.get(account)
        for index, said in enumerate(read_said(answer, len(inputs))):
            lot, code = self._take(self._place(inputs[index]) if near is None else near[index], inputs[index], said)
            if cluster is not None:
                self._groups[cluster].add(lot, code)
            elif trusted:
                if lot is not None:
                    self._trusted.offer(account, lot.line, float(lot.label))
                continue
            else:
                self._untrusted.append((account, lot, code))
            self._groups[UNTRUSTED].add(lot, code)

    def follow(self, clusters: Mapping[str, Iterable[str]], answered: Mapping[str, int] | None = None) -> None:
        """Estimate for these clusters from now on, the first of them where there are too many; forget all others.

        `answered` is how many answers each was given, those among them that were not noted here.
        """
        self._answered = answered or {}
        kept = list(clusters)[: STUDENTS_MAX - 1]
        whose = {account: name for name in kept for account in clusters[name]}
        self._groups = {name: self._groups.get(name) or _Group(name, self._chance) for name in (UNTRUSTED, *kept)}
        newcomers = whose.keys() - self._whose.keys()
        self._whose = whose
        if not newcomers:
            return
        left: list[tuple[str, _Lot | None, int]] = []
        for account, lot, code in self._untrusted:
            if account in newcomers:
                self._groups[whose[account]].add(lot, code)
            else:
                left.append((account, lot, code))
        self._untrusted = deque(left, maxlen=KEPT_MAX)

    def learn(self, steps: int = LESSONS) -> bool:
        """Let a student that is due take up to `steps` steps; return whether there was one.  Off the request path.

        The default is all that one student learns at once, 0.2 to 1 s of one core; fewer a call hold it up as long in
        all, and nobody for long.
        """
        samples, classes = self._trusted.samples, len(self._labels)
        due = [group for group in self._groups.values() if group.is_due]
        if len(samples) < TESTED_MIN or classes < 2 or not due:
            return False
        tests = np.array([sample.line for sample in samples]), np.array([int(sample.answer) for sample in samples])
        begun = [group for group in due if group.is_learning]
        group = begun[0] if begun else min(due, key=lambda group: group.curve[-1][0] if group.curve else 0)
        group.learn(steps, classes, tests)
        return True

    def estimate(self, cluster: str = UNTRUSTED) -> Leak | None:
        """Say what a cluster could have learnt; None for one that is not followed."""
        group = self._groups.get(cluster)
        if group is None:
            return None
        answers = max(group.answers, self._answered.get(cluster, 0))
        if not group.curve:
            return Leak(cluster, answers, group.novel, None, None, None, None, ())
        nothing, (size, last) = group.nothing, group.curve[-1]
        further = (1 - last) * (1 - (max(answers, size) / size) ** _slope([(1, nothing), *group.curve]))
        low, high = _wilson(last, group.tested)
        high = min(1.0, high + 2 * further)
        return Leak(cluster, answers, group.novel, last + further, low, high, nothing, tuple(group.curve))

    def estimates(self) -> list[Leak]:
        """Return what every cluster that is followed could have learnt, the untrusted first."""
        return [leak for leak in map(self.estimate, self._groups) if leak is not None]

    def shares(self) -> dict[str, float]:
        """Return how much every cluster has of what cannot be had for nothing: what budgets are measured in."""
        return {leak.cluster: leak.share for leak in self.estimates()}

    def _place(self, value: Any) -> Floats | None:
        line = None if self._scale is None else self._read(value)
        if self._scale is None or line is None:
            return None
        near: Floats = self._scale.standardise(stretch(line, self._scale.columns).reshape(1, -1))[0]
        return near

    def _take(self, near: Floats | None, value: Any, said: Said | None) -> tuple[_Lot | None, int]:
        """Return an input as it is learnt from, if it can be, and a number that tells it from others."""
        if near is None:
            text = value.text if isinstance(value, Turn) else value if isinstance(value, str) else ""
            return None, crc32(text.encode("utf-8", "surrogatepass"))
        line = near.astype(np.float16)
        label = None if said is None else self._number(said.label)
        if said is None or label is None:
            return None, crc32(line.data)
        numbered = [(self._number(name), chance) for name, chance in said.chances]
        chances = tuple([(number, chance) for number, chance in numbered if number is not None])
        return _Lot(line, label, said.sure, chances), crc32(line.data)

    def _number(self, label: str) -> int | None:
        """Return a label's number; None of one too many."""
        if label not in self._labels and len(self._labels) < LABELS_MAX:
            self._labels[label] = len(self._labels)
        return self._labels.get(label)


def _targets(lots: list[_Lot], classes: int) -> tuple[Floats, Floats]:
    """Return inputs, and what a student would learn of each: a row of probabilities."""
    lots = [lot for lot in lots if lot.label < classes]  # others may come while this is under way
    targets = np.empty((len(lots), classes), np.float32)
    for row, lot in zip(targets, lots, strict=True):
        row[:] = (1 - lot.sure) / (classes - 1)
        row[lot.label] = lot.sure
        for number, chance in lot.chances:
            if number < classes:
                row[number] = chance
    targets /= targets.sum(axis=1, keepdims=True)
    return np.array([lot.line for lot in lots], np.float32), targets


def _slope(curve: list[tuple[int, float]]) -> float:
    """Return the power of the answers by which disagreement falls, by the last lessons: never more than nothing."""
    last = np.array(curve[-CURVE_FIT:])
    left = np.log(np.maximum(1 - last[:, 1], LEFT_MIN))
    return min(0.0, float(np.polyfit(np.log(last[:, 0]), left, 1)[0]))


def _wilson(share: float, count: int) -> tuple[float, float]:
    """Return the interval of a share (Wilson 1927)."""
    middle = share + Z * Z / (2 * count)
    reach = Z * sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
    return (middle - reach) / (1 + Z * Z / count), (middle + reach) / (1 + Z * Z / count)
