"""Train the linear layer of the prompt-injection check, and calibrate both layers together.

    OMP_NUM_THREADS=1 python training/injection/train.py --data DIR [--out DIR]

DIR holds `train.jsonl` (`text`, `label`, `source`, `licence`).  Written are `weights.bin`, `model.json` and
`scores.json`: what is found of sources that were left out.  The same data gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from corpus import Row, make_rows, read_rows
from fit import Line, Windows, fit, fit_logistic, make_windows

from vallum.checks.prompt_injection.gate import Gate
from vallum.checks.prompt_injection.readings import final
from vallum.core.reading import read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SEED = 20_261_123
HOME = Path(__file__).parents[2] / "src/vallum/checks/prompt_injection/weights"
RATES = {"strict": 0.01, "balanced": 0.001, "permissive": 0.0003}
"""Share of honest text that each sensitivity refuses."""

# Left out together: sources that resemble one another, attacks beside honest text of another kind.
FOLDS = (
    {"neuralchemy", "docs-security"},
    {"mosscap", "vanguard-exfil", "vanguard-benign", "synthetic-hn", "open-assistant"},
    {"inthewild", "pyrit", "awesome-prompts", "code"},
    {"bipia-wrapped", "bipia-ctx", "docs-gateway"},
    {"prompt-extraction", "giskard", "garak", "synthetic", "synthetic-ml", "gpteacher", "banking77"},
    {"leipzig-sentences", "dolly", "gpteacher-code", "fuzzyai-benign"},
)
BROUGHT_IN = {"bipia-wrapped", "bipia-ctx", "code", "docs-gateway", "docs-security", "leipzig-sentences"}
"""Sources of what a tool or a document would say."""
SYSTEM_PROMPTS = {"awesome-prompts"}
"""Sources of honest text that a gateway does not meet as a user's."""
DOCUMENTATION = {"docs-gateway", "docs-security"}
UNCOUNTED = {"mosscap", "synthetic"}
"""Attacks that say too little of themselves to weigh the layers by."""
FEW_ROWS = 100
"""Rows below which a source says too little of its kind of text to set a threshold."""


def main() -> None:
    """Train, calibrate, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, default=HOME, metavar="DIR")
    arguments = parser.parse_args()

    rows = read_rows(arguments.data / "train.jsonl")
    own = make_rows(rows, SEED)
    print(f"{len(rows)} rows, {len(own)} of our own")
    table = Table(rows, own)
    margins = table.leave_out()
    combined, scores = calibrate(rows, margins, table.evidence)
    line = table.fit_all()
    weights, scale = quantise(line)
    arguments.out.mkdir(exist_ok=True)
    (arguments.out / "weights.bin").write_bytes(zlib.compress(weights.tobytes(), 9))
    model = {"scale": scale, "bias": line.bias, **combined}
    (arguments.out / "model.json").write_text(json.dumps(model, indent=2) + "\n")
    (arguments.out / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")
    print(json.dumps(model, indent=2), json.dumps(scores, indent=2), sep="\n")


class Table:
    """All rows as features, and what is fitted to them."""

    def __init__(self, rows: list[Row], own: list[Row]) -> None:
        """Take out the features of every row."""
        self.sources = np.array([row.source for row in rows])
        readings = [read(row.text) for row in rows]
        gate = Gate()
        self.evidence = np.array([gate.weigh(some).weight for some in readings])
        self.all = make_windows([final(some).text for some in (*readings, *(read(row.text) for row in own))])
        self.labels = np.array([row.label for row in (*rows, *own)])
        self.weights = np.array([row.weight for row in (*rows, *own)])
        self.count = len(rows)

    def fit_all(self) -> Line:
        """Return the model that ships."""
        return fit(self.all, self.labels, self.weights)

    def leave_out(self) -> Floats:
        """Return each row's margin by a model that saw no row of its source."""
        margins = np.zeros(self.count)
        for out, line in self.fit_folds():
            windows: Windows = self.all.of(np.concatenate((out, np.zeros(len(self.labels) - self.count, dtype=bool))))
            margins[out] = windows.worst(line.margins(windows))
        return margins

    def fit_folds(self) -> Iterator[tuple[NDArray[np.bool_], Line]]:
        """Yield which rows were left out, and the model that was fitted to all others."""
        for fold in FOLDS:
            out = np.isin(self.sources, list(fold))
            keep = np.concatenate((~out, np.ones(len(self.labels) - self.count, dtype=bool)))
            yield out, fit(self.all.of(keep), self.labels[keep], self.weights[keep])
            print(f"left out {', '.join(sorted(fold))}")


def calibrate(rows: list[Row], margins: Floats, evidence: Floats) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weigh the layers against each other, and find the thresholds, on rows of sources that were left out."""
    labels = np.array([row.label for row in rows])
    sources = np.array([row.source for row in rows])
    counted = ~np.isin(sources, list(UNCOUNTED)) | (labels == 0)
    features = np.column_stack((margins, evidence))
    balance = np.where(labels > 0, 1 / max(labels[counted].sum(), 1), 1 / max((labels[counted] == 0).sum(), 1))
    slopes = fit_logistic(features[counted], labels[counted], balance[counted])
    logits = features @ slopes[:-1] + slopes[-1]
    combined = {
        "margin_weight": slopes[0],
        "pattern_weight": slopes[1],
        "offset": slopes[2],
        **find_thresholds(rows, logits, evidence),
    }
    scores: dict[str, Any] = {}
    for name, logit in combined["user"].items():
        found = logits >= logit
        scores[name] = {
            str(source): round(float(found[(sources == source) & (labels == 1)].mean()), 3)
            for source in sorted(set(sources[labels == 1]))
        }
        for source in sorted(set(sources[labels == 0])):
            scores[name][f"honest {source}"] = round(float(found[(sources == source) & (labels == 0)].mean()), 4)
        scores[name]["all"] = round(float(found[labels == 1].mean()), 3)
    return combined, scores


def is_ordinary(rows: list[Row], evidence: Floats) -> NDArray[np.bool_]:
    """Say which rows are honest text as a gateway meets it."""
    labels, sources = np.array([row.label for row in rows]), np.array([row.source for row in rows])
    # Documentation that quotes an attack word for word is refused for what it quotes, and sets no threshold.
    is_quoting = np.isin(sources, list(DOCUMENTATION)) & (evidence >= 1)
    return np.asarray((labels == 0) & ~np.isin(sources, list(SYSTEM_PROMPTS)) & ~is_quoting)


def find_thresholds(rows: list[Row], logits: Floats, evidence: Floats) -> dict[str, dict[str, float]]:
    """Return the thresholds of what users say and of what is brought in."""
    sources = np.array([row.source for row in rows])
    is_plain = is_ordinary(rows, evidence)
    is_document = is_plain & np.isin(sources, list(BROUGHT_IN))
    return {
        "user": _thresholds(logits[is_plain], sources[is_plain]),
        "document": _thresholds(logits[is_document], sources[is_document]),
    }


def _thresholds(logits: Floats, sources: NDArray[np.str_]) -> dict[str, float]:
    """Return what refuses each rate of honest text, and twice that of no source: what is met is seldom the average."""
    names, counts = np.unique(sources, return_counts=True)
    by_source = [logits[sources == name] for name in names[counts >= FEW_ROWS]]
    return {
        name: float(max(np.quantile(logits, 1 - rate), *(np.quantile(some, 1 - 2 * rate) for some in by_source)))
        for name, rate in RATES.items()
    }


def quantise(line: Line) -> tuple[NDArray[np.int8], float]:
    """Return the weights as bytes and what one unit is worth; the few that are very great are cut."""
    scale = float(np.quantile(np.abs(line.weights), 0.9999)) / 127
    return np.clip(np.rint(line.weights / scale), -127, 127).astype(np.int8), scale


if __name__ == "__main__":
    main()
