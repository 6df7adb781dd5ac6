"""What is asked about, and the models that answer: four worlds of numbers, each made from a seed without end.

A world draws natural inputs (of a mode, in its asker's style), out-of-distribution inputs, and noise, and has a victim.
Every draw is fresh, so reference, calibration and test never share an input.  A *mode* is what habits are about: a
cluster, a way to write a digit, a kind of patient.  A *style* is what all inputs of one asker have in common: a
camera's light, a laboratory's scale.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from bench.extraction.learners import STUDENT_DECAY, Array, Model, Rng, fit, one_hot
from numpy.typing import NDArray

Modes = NDArray[np.int64]
STYLES = 2  # numbers that describe an asker's style
# Figures and letters as the places that a stroke visits, of a grid of three by three, row by row; each of seven knots.
FIGURES = ("0286300", "0117777", "0125678", "0124586", "0354177", "2034586", "1036854", "0122477", "2086222", "5302588")
LETTERS = ("6313886", "0368862", "2006688", "0358630", "2003368", "0633582", "0604228", "6048204")


class World(Protocol):
    """Inputs, and the model that is asked about them."""

    name: str
    kind: str  # of the route's features: vector, image or table
    modes: int
    hidden: int  # of the thief's student: it knows the architecture
    victim: Model
    baseline: float  # fidelity of a student that never asked, trained on labelled data of its own

    def draw(self, modes: Modes, styles: Array, rng: Rng, shift: float = 0.0) -> Array:
        """Return a natural input for each mode, in the style beside it; `shift` 1: the whole world got brighter."""

    def strange(self, count: int, rng: Rng) -> Array:
        """Return inputs of another trade, as a thief finds them in public."""

    def noise(self, count: int, rng: Rng) -> Array:
        """Return inputs without sense, within the ranges that the documentation names."""

    def reach(self, share: float) -> Array:
        """Return the step that is `share` of each number's usual range."""

    def documents(self, inputs: Array) -> list[Any]:
        """Return inputs as they stand in a request's JSON."""

    def turn_over(self) -> None:
        """Draw from now on from base data that was never drawn from."""


def plain(world: World, count: int, rng: Rng) -> Array:
    """Return natural inputs of all modes alike, in no style."""
    return world.draw(rng.integers(world.modes, size=count), np.zeros((count, STYLES), np.float32), rng)


class _Made:
    """What all worlds have: a victim trained on labelled draws, and a thief's student who never asked."""

    modes: int
    hidden: int
    victim: Model
    baseline: float

    def turn_over(self) -> None:
        """Do nothing: every draw is fresh."""

    def _train(self, classes: NDArray[np.int64], rng: Rng, *, rows: int, own: int) -> None:
        """Train the victim on `rows` labelled draws, and the student that has `own` of its own; `classes` by mode."""
        world: Any = self
        count = int(classes.max()) + 1
        still = np.zeros((rows + own + 2000, STYLES), np.float32)
        modes = rng.integers(self.modes, size=len(still))
        inputs = world.draw(modes, still, rng)
        targets = one_hot(classes[modes], count)
        self.victim = fit(inputs[:rows], targets[:rows], rng, hidden=self.hidden, steps=5000)
        student = fit(inputs[rows:-2000], targets[rows:-2000], rng, hidden=self.hidden, steps=2000, decay=STUDENT_DECAY)
        held = inputs[-2000:]
        self.baseline = float((student.classes(held) == self.victim.classes(held)).mean())


class Clusters(_Made):
    """24 numbers, 10 classes of 4 clusters each: labels of one's own help little, so it tells defences apart."""

    name, kind, modes, hidden = "synth", "vector", 40, 64

    def __init__(self, seed: int) -> None:
        """Place the clusters."""
        rng = np.random.default_rng([seed, 1])
        self._centres = (rng.standard_normal((self.modes, 24)) * 0.78).astype(np.float32)
        self._others = (rng.standard_normal((self.modes, 24)) * 1.2).astype(np.float32)
        self._spread = np.float32(np.sqrt(1 + 0.78**2))
        self._train(np.arange(self.modes) // 4, rng, rows=8000, own=1500)

    def draw(self, modes: Modes, styles: Array, rng: Rng, shift: float = 0.0) -> Array:
        """Return points of clusters; a style moves the first numbers, a shift stretches and moves all."""
        points = self._centres[modes] + rng.standard_normal((len(modes), 24), dtype=np.float32)
        points[:, :STYLES] += 0.25 * styles
        return points * np.float32(1 + 0.15 * shift) + np.float32(0.2 * shift)

    def strange(self, count: int, rng: Rng) -> Array:
        """Return points of clusters that are not the victim's."""
        return self._others[rng.integers(self.modes, size=count)] + rng.standard_normal((count, 24), dtype=np.float32)

    def noise(self, count: int, rng: Rng) -> Array:
        """Return normal noise of the numbers' usual spread."""
        return rng.standard_normal((count, 24), dtype=np.float32) * self._spread

    def reach(self, share: float) -> Array:
        """Return a step in units of the spread."""
        return np.full(24, 4 * share * self._spread, np.float32)

    def documents(self, inputs: Array) -> list[Any]:
        """Return lists of numbers."""
        return np.round(inputs, 4).tolist()


class Glyphs(_Made):
    """Handwritten figures of 8 by 8 points: strokes between wandering knots, drawn for each request anew."""

    name, kind, modes, hidden = "digits", "image", 30, 64

    def __init__(self, seed: int) -> None:
        """Take up the pens."""
        rng = np.random.default_rng([seed, 2])
        self._knots = self._hands(FIGURES, rng)
        self._letters = self._hands(LETTERS, rng)
        self._train(np.arange(self.modes) // 3, rng, rows=6000, own=200)

    @staticmethod
    def _hands(figures: tuple[str, ...], rng: Rng) -> Array:
        """Return three hands for each figure: knots of one stroke, (figures * 3, knots, 2), in the unit square."""
        knots = np.array([[(int(c) % 3, int(c) // 3) for c in figure] for figure in figures], np.float32) / 2
        return np.repeat(knots, 3, axis=0) + rng.normal(0, 0.1, (len(figures) * 3, *knots.shape[1:])).astype(np.float32)

    @staticmethod
    def _ink(knots: Array, slants: Array, rng: Rng) -> Array:
        """Draw strokes: the darkness of 64 points, by how near the stroke runs."""
        count = len(knots)
        knots = knots + rng.normal(0, 0.075, knots.shape).astype(np.float32) - 0.5
        size = rng.normal(0.66, 0.05, (count, 1, 2)).astype(np.float32)
        knots = knots * size
        knots[:, :, 0] += knots[:, :, 1] * (slants[:, None] + rng.normal(0, 0.12, (count, 1)).astype(np.float32))
        knots += 0.5 + rng.normal(0, 0.03, (count, 1, 2)).astype(np.float32)
        grid = ((np.stack(np.meshgrid(np.arange(8), np.arange(8)), axis=-1).reshape(64, 2) + 0.5) / 8).astype(
            np.float32
        )
        nearest = np.full((count, 64), 9.0, np.float32)
        for index in range(knots.shape[1] - 1):
            start, way = knots[:, index, None], (knots[:, index + 1] - knots[:, index])[:, None]
            along = ((grid - start) * way).sum(-1) / np.maximum((way * way).sum(-1), 1e-4)
            gap = grid - start - np.clip(along, 0, 1)[..., None] * way
            nearest = np.minimum(nearest, (gap * gap).sum(-1))
        width = rng.normal(0.085, 0.012, (count, 1)).astype(np.float32)
        return np.exp(-nearest / (width * width))

    def draw(self, modes: Modes, styles: Array, rng: Rng, shift: float = 0.0) -> Array:
        """Return figures; a style slants them and dims the light, a shift brightens all."""
        return self._lit(self._ink(self._knots[modes], 0.15 * styles[:, 0], rng), styles, rng, shift)

    @staticmethod
    def _lit(ink: Array, styles: Array, rng: Rng, shift: float) -> Array:
        light = 0.9 + 0.06 * styles[:, 1:2] + 0.1 * shift
        points = ink * light + 0.06 * shift + rng.normal(0, 0.06, ink.shape).astype(np.float32)
        return np.clip(points, 0, 1).astype(np.float32)

    def strange(self, count: int, rng: Rng) -> Array:
        """Return letters."""
        some = self._letters[rng.integers(len(self._letters), size=count)]
        ink = self._ink(some, rng.normal(0, 0.15, count).astype(np.float32), rng)
        return self._lit(ink, np.zeros((count, STYLES), np.float32), rng, 0.0)

    def noise(self, count: int, rng: Rng) -> Array:
        """Return points of any darkness."""
        return rng.random((count, 64), dtype=np.float32)

    def reach(self, share: float) -> Array:
        """Return a step in darkness."""
        return np.full(64, share, np.float32)

    def documents(self, inputs: Array) -> list[Any]:
        """Return rows of points."""
        return np.round(np.clip(inputs, 0, 1), 3).reshape(-1, 8, 8).tolist()


class Records(_Made):
    """30 measured numbers of very different scales, two classes, a logistic regression: 30 answers copy it."""

    name, kind, modes, hidden = "cancer", "vector", 6, 0

    def __init__(self, seed: int) -> None:
        """Build the instruments."""
        rng = np.random.default_rng([seed, 3])
        self._load = rng.standard_normal((5, 30)).astype(np.float32) * 0.3
        self._scale = np.exp(rng.normal(0, 2.5, 30)).astype(np.float32)
        self._factors = rng.standard_normal((self.modes, 5)).astype(np.float32) * 1.2
        self._train(np.arange(self.modes) % 2, rng, rows=3000, own=100)

    def draw(self, modes: Modes, styles: Array, rng: Rng, shift: float = 0.0) -> Array:
        """Return records; a style is a laboratory's scale, a shift a new instrument's."""
        factors = self._factors[modes] + 0.6 * rng.standard_normal((len(modes), 5), dtype=np.float32)
        logs = factors @ self._load + rng.normal(0, 0.12, (len(modes), 30)).astype(np.float32)
        logs[:, :15] += 0.03 * styles[:, :1]
        return (self._scale * np.exp(logs + 0.08 * shift)).astype(np.float32)

    def strange(self, count: int, rng: Rng) -> Array:
        """Return records whose numbers come from as many strangers: each in range, together impossible."""
        many = plain(self, count, rng)
        return np.take_along_axis(many, rng.permuted(np.tile(np.arange(count)[:, None], (1, 30)), axis=0), axis=0)

    def noise(self, count: int, rng: Rng) -> Array:
        """Return numbers from twice the usual range."""
        return self._scale * rng.uniform(0.1, 2.5, (count, 30)).astype(np.float32)

    def reach(self, share: float) -> Array:
        """Return a step on each scale."""
        return self._scale * np.float32(share)

    def documents(self, inputs: Array) -> list[Any]:
        """Return lists of numbers, to five places that count."""
        digits = 4 - np.floor(np.log10(np.maximum(np.abs(inputs), 1e-9)))
        return (np.round(inputs * 10.0**digits) / 10.0**digits).tolist()


class Ledger(_Made):
    """Rows of a table with whole numbers, amounts, codes and yes or no: four classes of risk."""

    name, kind, modes, hidden = "table", "table", 16, 48

    def __init__(self, seed: int) -> None:
        """Open the branches."""
        rng = np.random.default_rng([seed, 4])
        self._means = rng.standard_normal((self.modes, 12)).astype(np.float32)
        self._train(np.arange(self.modes) % 4, rng, rows=8000, own=300)

    def draw(self, modes: Modes, styles: Array, rng: Rng, shift: float = 0.0) -> Array:
        """Return rows; a style is a branch's clientele, a shift inflation."""
        hidden = self._means[modes] + 0.7 * rng.standard_normal((len(modes), 12), dtype=np.float32)
        hidden[:, :STYLES] += 0.2 * styles
        hidden[:, 3:6] += 0.3 * shift
        return self._rows(hidden)

    @staticmethod
    def _rows(hidden: Array) -> Array:
        """Turn hidden normal numbers into columns: 3 whole numbers, 3 amounts, 3 codes, 3 flags."""
        whole = np.round(40 + 12 * hidden[:, :3])
        amounts = np.round(np.exp(7 + 0.8 * hidden[:, 3:6]), 2)
        codes = np.clip(np.round(4 + 1.6 * hidden[:, 6:9]), 0, 8)
        return np.concatenate([whole, amounts, codes, hidden[:, 9:] > 0], axis=1).astype(np.float32)

    def strange(self, count: int, rng: Rng) -> Array:
        """Return rows each of whose columns comes from another row."""
        many = plain(self, count, rng)
        return np.take_along_axis(many, rng.permuted(np.tile(np.arange(count)[:, None], (1, 12)), axis=0), axis=0)

    def noise(self, count: int, rng: Rng) -> Array:
        """Return rows drawn evenly from the ranges."""
        low, high = np.array([0] * 12), np.array([90] * 3 + [9000] * 3 + [8] * 3 + [1] * 3)
        rows = rng.uniform(low, high, (count, 12))
        return np.where(high > 100, np.round(rows, 2), np.round(rows)).astype(np.float32)

    def reach(self, share: float) -> Array:
        """Return a step in each column's unit."""
        return np.array([80] * 3 + [4000] * 3 + [8] * 3 + [1] * 3, np.float32) * np.float32(share)

    def documents(self, inputs: Array) -> list[Any]:
        """Return rows of numbers."""
        return np.round(inputs.astype(float), 2).tolist()


WORLDS = {"synth": Clusters, "digits": Glyphs, "cancer": Records, "table": Ledger}
