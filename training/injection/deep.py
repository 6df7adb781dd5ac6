"""Train the head of the second tier, and calibrate all three layers together.

    OMP_NUM_THREADS=1 python training/injection/deep.py --data DIR --encoder FOLDER [--out DIR]

FOLDER is that of `all-MiniLM-L6-v2` as published; the rest is what `train.py` takes, which goes first.  Written are
`deep.json` and `deep_scores.json`.  The same data gives the same numbers on the same processor; on another the means
may differ in their last digits, and the scores do not.
"""

from __future__ import annotations

import argparse
import json
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from corpus import Row, make_rows, read_rows
from scipy.optimize import minimize
from train import FOLDS, HOME, RATES, SEED, UNCOUNTED, Table, find_thresholds, is_ordinary, quantise
from written import WRITTEN, read_written

from vallum.checks.prompt_injection.encoder import VOCABULARY, WEIGHTS, Base, Encoder
from vallum.checks.prompt_injection.gate import Gate
from vallum.checks.prompt_injection.readings import final
from vallum.checks.prompt_injection.scorer import Scorer, Thresholds, load_model
from vallum.checks.prompt_injection.second_tier import Head, excerpt, focus
from vallum.core.reading import read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fit import Line
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

NAME, HEADS, LAYERS = "all-MiniLM-L6-v2", 12, (4, 5)
SLACK = 0.1  # the inverse of what a squared weight costs, for means of one spread
ITERATIONS = 60
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Of what the head says that may count, beside the first layers."""

REACH = 1.25
"""The most that the tier may add, which decides how many texts it is asked about: chosen on sources left out."""

RATES_SHOWN = (0.01, 0.001)


def main() -> None:
    """Encode, leave out, calibrate, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--encoder", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=HOME, metavar="DIR")
    arguments = parser.parse_args()
    files = [(arguments.encoder / name).read_bytes() for name in (WEIGHTS, VOCABULARY)]
    base = Base(NAME, sha256(files[0]).hexdigest(), sha256(files[1]).hexdigest(), HEADS, LAYERS)
    encoder = Encoder(files[0], files[1], HEADS, LAYERS)
    rows = read_rows(arguments.data / "train.jsonl")
    own, written = make_rows(rows, SEED), read_written()
    table = Table(rows, own)
    everything = (*rows, *written, *own)
    folds, worst = cut(table, everything, len(written))
    gate, model = Gate(), load_model()
    evidence = np.append(table.evidence, [gate.weigh(read(row.text)).weight for row in written])
    first = model.margin_weight * worst.margins[: len(evidence)] + model.pattern_weight * evidence + model.offset
    means = np.array([encoder.encode(text) for text in worst.stretches])
    print(f"{len(means)} texts are encoded")
    labels, weights = np.array([row.label for row in everything]), np.array([row.weight for row in everything])
    said = np.zeros(len(everything))
    for out in folds:
        slopes, bias = fit_head(means[~out], labels[~out], weights[~out])
        said[out] = means[out] @ slopes + bias
    tested = [*rows, *written]
    honest = is_ordinary(tested, evidence) & ~_written(tested)
    hard = honest & _hard(arguments.data / "train.jsonl", len(tested))
    said, alone = said[: len(tested)], worst.alone[: len(tested)]
    share, middle = weigh(tested, first, said, alone, honest=honest, hard=hard)
    second = add(first, share * (said - middle), alone)
    slopes, bias = fit_head(means, labels, weights)
    user = msgspec.convert(find_thresholds(rows, second[: len(rows)], table.evidence)["user"], Thresholds)
    rounded = tuple(round(float(slope), 6) for slope in share * slopes)
    head = Head(base, rounded, share * (bias - middle), REACH, user)
    scores = compare(tested, first, second, honest, hard)
    (arguments.out / "deep.json").write_bytes(msgspec.json.format(msgspec.json.encode(head)) + b"\n")
    (arguments.out / "deep_scores.json").write_text(json.dumps(scores, indent=2) + "\n")
    print(json.dumps({"share": share, "middle": middle, **scores}, indent=2), user)


class Worst(NamedTuple):
    """Of each row the margin, the worst stretch, and what its worst sentences weigh more alone."""

    margins: Floats
    stretches: list[str]
    alone: Floats


def cut(table: Table, rows: Sequence[Row], written: int) -> tuple[list[Flags], Worst]:
    """Return what is left out together, and what each row is judged by.

    A row is judged by a linear model that saw none of its source: as a new text will be.  No linear model has seen what
    was written for this project; with each fold of sources the head leaves out one writer.
    """
    texts = [final(read(row.text)).text for row in rows]
    worst = Worst(np.zeros(len(texts)), [""] * len(texts), np.zeros(len(texts)))
    sources = np.array([row.source for row in rows])
    writers = np.unique(sources[table.count : table.count + written])
    folds = []
    for number, (out, line) in enumerate(table.fit_folds()):
        which = np.flatnonzero(out)
        _cut(line, which, texts, worst)
        left = np.isin(sources, writers[number :: len(FOLDS)])
        left[which] = True
        folds.append(left)
    _cut(table.fit_all(), np.flatnonzero([not stretch for stretch in worst.stretches]), texts, worst)
    return folds, worst


def _cut(line: Line, which: NDArray[np.intp], texts: list[str], worst: Worst) -> None:
    weights, scale = quantise(line)
    scorer = Scorer(weights, scale, line.bias)
    for number in which:
        score = scorer.score(texts[number])
        worst.stretches[number], worst.margins[number] = excerpt(texts[number], score), score.margin
        worst.alone[number] = focus(texts[number], score, scorer)


def add(first: Floats, said: Floats, alone: Floats) -> Floats:
    """Return the logits of all tiers, as `SecondTier` does."""
    return first + np.minimum(np.clip(said, -REACH, REACH) + alone, REACH)


def fit_head(means: NDArray[np.float32], labels: NDArray[np.int64], weights: Floats) -> tuple[Floats, float]:
    """Return the slopes and the offset of a logistic regression, whose features are brought to one spread first."""
    centre, spread = means.mean(0, dtype=np.float64), means.std(0, dtype=np.float64) + 1e-3
    features = ((means - centre) / spread).astype(np.float32)
    signs = np.where(labels > 0, 1.0, -1.0)

    def loss(point: Floats) -> tuple[float, Floats]:
        slopes = point[:-1]
        margins = signs * (features @ slopes.astype(np.float32) + point[-1])
        pull = -signs * weights * np.exp(-np.logaddexp(0, margins))
        gradient = np.append(pull.astype(np.float32) @ features + slopes / SLACK, pull.sum())
        return float(weights @ np.logaddexp(0, -margins) + slopes @ slopes / SLACK / 2), gradient

    start = np.zeros(features.shape[1] + 1)
    point = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x
    slopes = point[:-1] / spread
    return slopes, float(point[-1] - centre @ slopes)


def weigh(
    rows: list[Row], first: Floats, said: Floats, alone: Floats, *, honest: Flags, hard: Flags
) -> tuple[float, float]:
    """Return which share of the tier's logit counts beside that of the first layers, and where it says nothing.

    An honest text that looks like an attack and is cleared is worth as much as an attack that is found, among the rows
    of others as among what was written to be mistaken.
    """
    attacks, written = _attacks(rows), _written(rows)
    labels = np.array([row.label for row in rows])
    middle = float(np.median(said[attacks]) + np.median(said[honest])) / 2
    groups = (attacks, hard, written & (labels > 0), written & (labels == 0))

    def gain(share: float) -> float:
        logits = add(first, share * (said - middle), alone)
        least = np.quantile(logits[honest], [1 - rate for rate in (*RATES_SHOWN, RATES["strict"] / 3)])
        found, refused, told, taken = ((logits[which][:, None] >= least).mean(0) for which in groups)
        print(f"share {share}: found {found}, hard negatives refused {refused}; of what was written {told}, {taken}")
        return float((found - refused + told - taken).mean())

    return max(SHARES, key=gain), middle


def compare(rows: list[Row], first: Floats, second: Floats, honest: Flags, hard: Flags) -> dict[str, Any]:
    """Return what is found of sources that were left out, without the tier and with it, and how often it is asked."""
    labels, sources = np.array([row.label for row in rows]), np.array([row.source for row in rows])
    attacks = _attacks(rows)
    scores: dict[str, Any] = {}
    for rate in RATES_SHOWN:
        told = scores[f"{rate:.1%} of honest text refused"] = {}
        for name, logits in (("without", first), ("with", second)):
            least = np.quantile(logits[honest], 1 - rate)
            told[name] = {
                "found": _share(logits[attacks] >= least),
                "hard negatives refused": _share(logits[hard] >= least),
                **{str(source): _share(logits[(sources == source) & (labels > 0)] >= least)
                   for source in sorted(set(sources[labels > 0]))},
            }  # fmt: skip
        asked = np.abs(first - least) <= REACH
        told["asked"] = {"honest": _share(asked[honest]), "attacks": _share(asked[attacks])}
    return scores


def _attacks(rows: list[Row]) -> Flags:
    sources = np.array([row.source for row in rows])
    return np.array([row.label > 0 for row in rows]) & ~np.isin(sources, list(UNCOUNTED)) & ~_written(rows)


def _written(rows: list[Row]) -> Flags:
    return np.array([row.source.startswith(WRITTEN) for row in rows])


def _share(which: Flags) -> float:
    return round(float(which.mean()), 4)


def _hard(path: Path, count: int) -> Flags:
    """Say which rows of a file are honest and look like attacks; nothing is said of the others, up to `count`."""
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    kinds = [row["kind"] for row in rows if "-SA-" not in row["licence"]]
    return np.array(kinds + [""] * (count - len(kinds))) == "hard_negative"


if __name__ == "__main__":
    main()
