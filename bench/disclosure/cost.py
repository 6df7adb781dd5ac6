"""What each level of disclosure costs an honest user, and what it costs a thief: on the demo's classifier.

    python bench/disclosure/cost.py --data DIR [--plot docs/pictures/disclosure.svg]

DIR holds `train.jsonl` and `dev.jsonl`, as `training/demo_models.py` reads them: texts of the first are what the thief
asks about, texts of the second judge both.  Every answer goes through the real transforms of a policy.

The thief knows the architecture and the features, lacks the weights, and asks about texts of the right kind: the best
case for a thief.  It fits by kernel ridge what the answers tell (log-probabilities where there are all, or the named
class with its score, whichever copies better), with the best of four strengths of regularisation, chosen on the judging
texts themselves: no thief could do better by tuning.  Fidelity is how often the copy says what the model says.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "training"), str(ROOT / "src")]

import demo_models  # how texts are read, and what class they have
from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.demo.classifier import Classifier, buckets

SEEDS = (1, 2, 3)
QUERIES = (25, 50, 100, 200, 400, 800, 1600, 3200)
STRENGTHS = (1e-5, 1e-2, 1e-1, 1.0)
FIDELITIES = (0.90, 0.95)
BANDS = {"high": 0.95, "medium": 0.8, "low": 0.5}  # what a reader takes each label of the policy for
POLICY = """
version: 1
upstreams: {model: {url: "http://127.0.0.1:9000"}}
authenticators: {keys: {type: api_key}}
routes:
  - name: predict
    match: {methods: [POST], path: /x}
    upstream: model
    auth: {any_of: [keys]}
    response: %s
"""
LEVELS = {
    "all probabilities": "{fields: [prediction, probabilities]}",
    "all, 2 decimals": "{fields: [prediction, probabilities], confidence: {field: probabilities, round: 2}}",
    "all, 1 decimal": "{fields: [prediction, probabilities], confidence: {field: probabilities, round: 1}}",
    "label and score": "{fields: [prediction, confidence]}",
    "label and score, 2 decimals": "{fields: [prediction, confidence], confidence: {field: confidence, round: 2}}",
    "label and band": "{fields: [prediction, confidence], "
    "confidence: {field: confidence, bands: {high: 0.9, medium: 0.7, low: 0.0}}}",
    "label, score from 0.5 on": "{fields: [prediction, confidence], confidence: {field: confidence, threshold: 0.5}}",
    "label alone": "{fields: [prediction]}",
}


class Honest(NamedTuple):
    """What an answer is worth to who asks for its own sake."""

    accuracy: float
    calibration: float | None  # how far a score lies from the share that is right (ten bins); None: there is no score
    warning: float  # how well the score tells right from wrong: 0.5 is a coin, 1 is perfect (area under the curve)


class Model(NamedTuple):
    """The victim's answers, whole, to some texts, and the texts' features."""

    answers: list[dict[str, Any]]
    vectors: np.ndarray


def ask(texts: list[str], classifier: Classifier) -> Model:
    """Ask the model about all texts."""
    found = [np.fromiter(buckets(text, demo_models.BUCKETS), np.int64) for text in texts]
    return Model([classifier.predict(text) for text in texts], demo_models.vectors(found))


def disclose(answers: list[dict[str, Any]], response: str) -> list[dict[str, Any]]:
    """Send answers through a policy's transforms."""
    _, policy = load_policy(parse_source(Path("policy.yaml"), (POLICY % response).encode(), {}))
    out = []
    for answer in answers:
        document: Any = json.loads(json.dumps(answer))
        for step in policy.routes[0].outlet.transforms:
            document = step.apply(document, set())
        out.append(document)
    return out


def score_of(answer: dict[str, Any]) -> float | None:
    """Return the score that an answer gives its class."""
    if "probabilities" in answer:
        return float(answer["probabilities"][answer["prediction"]])
    score = answer.get("confidence")
    return BANDS[score] if isinstance(score, str) else score


def judge_honest(answers: list[dict[str, Any]], kinds: list[str]) -> Honest:
    """Measure what the answers are worth."""
    right = np.array([answer["prediction"] == kind for answer, kind in zip(answers, kinds, strict=True)])
    scores = [score_of(answer) for answer in answers]
    known = np.array([score is not None for score in scores])
    given = np.array([0.0 if score is None else score for score in scores])
    if not known.any():
        return Honest(right.mean(), None, 0.5)
    bins = np.minimum((given[known] * 10).astype(int), 9)
    gaps = [
        abs(given[known][bins == b].mean() - right[known][bins == b].mean()) * (bins == b).mean() for b in set(bins)
    ]
    above = given[right][:, None] - given[~right][None, :]
    return Honest(right.mean(), float(sum(gaps)), float((above > 0).mean() + (above == 0).mean() / 2))


def targets_of(answers: list[dict[str, Any]], classes: tuple[str, ...], whole: bool) -> np.ndarray:
    """Return what a thief fits: a row for each answer, a column for each class; `whole`: by all probabilities."""
    rows = []
    for answer in answers:
        if whole and "probabilities" in answer:
            exact = np.array([answer["probabilities"][name] for name in classes])
            lowest = min([value for value in exact if value > 0], default=1.0) / 2
            logs = np.log(np.maximum(exact, lowest))
            rows.append(logs - logs.mean())
            continue
        score = score_of(answer)
        top = 0.9 if score is None else min(max(score, 1 / len(classes)), 0.999)
        rest = (1 - top) / (len(classes) - 1)
        logs = np.array([math.log(top if name == answer["prediction"] else rest) for name in classes])
        rows.append(logs - logs.mean())
    return np.array(rows)


def steal(pool: Model, judge: Model, levels: dict[tuple[str, bool], np.ndarray]) -> dict[str, dict[int, list[float]]]:
    """Copy the model from ever more answers of each level, and return the fidelity of every copy."""
    said = [answer["prediction"] for answer in judge.answers]
    truth = np.array([demo_models.CLASSES.index(name) for name in said])
    inner, outer = pool.vectors @ pool.vectors.T + 1.0, judge.vectors @ pool.vectors.T + 1.0  # 1: the bias
    stacked = np.concatenate(list(levels.values()), axis=1)
    width = len(demo_models.CLASSES)
    found: dict[str, dict[int, list[float]]] = {name: {count: [] for count in QUERIES} for name, _ in levels}
    for seed in SEEDS:
        order = np.random.default_rng(seed).permutation(len(pool.answers))
        for count in QUERIES:
            some = order[:count]
            best = dict.fromkeys(found, 0.0)
            for strength in STRENGTHS:
                gram = inner[np.ix_(some, some)] + strength * np.eye(count)
                guesses = outer[:, some] @ np.linalg.solve(gram, stacked[some])
                for index, (name, _) in enumerate(levels):
                    named = guesses[:, index * width : (index + 1) * width].argmax(axis=1)
                    best[name] = max(best[name], float((named == truth).mean()))
            for name, fidelity in best.items():
                found[name][count].append(fidelity)
    return found


def needed(fidelities: dict[int, list[float]], wanted: float) -> str:
    """Say how many queries reach a fidelity, in the middle of the seeds, between the counts that were tried."""
    points = [(count, float(np.median(values))) for count, values in fidelities.items()]
    if points[0][1] >= wanted:
        return f"under {points[0][0]}"
    for (fewer, low), (more, high) in pairwise(points):
        if low < wanted <= high:
            share = (wanted - low) / (high - low)
            return f"{fewer * (more / fewer) ** share:,.0f}"
    return f"over {points[-1][0]:,}"


def main() -> None:
    """Measure both sides, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--plot", type=Path, help="file to draw into")
    options = parser.parse_args()
    licences = demo_models.CLASSIFIER_LICENCES
    pool_texts = demo_models.examples(demo_models.read_rows(options.data / "train.jsonl", licences))
    judge_texts = demo_models.examples(demo_models.read_rows(options.data / "dev.jsonl", licences))
    chosen = np.random.default_rng(0).permutation(len(pool_texts))[: QUERIES[-1]]
    classifier = Classifier()
    pool = ask([pool_texts[index].text for index in chosen], classifier)
    judge = ask([text for text, _ in judge_texts], classifier)
    kinds = [kind for _, kind in judge_texts]
    honest = {name: judge_honest(disclose(judge.answers, how), kinds) for name, how in LEVELS.items()}
    known = {
        (name, whole): targets_of(disclose(pool.answers, how), classifier.classes, whole)
        for name, how in LEVELS.items()
        for whole in (False, True)
    }
    stolen = steal(pool, judge, known)
    print(f"{len(judge_texts)} judging texts, {len(chosen)} to ask about, seeds {SEEDS}")
    print("| what leaves | accuracy | calibration error | tells right from wrong | 400 queries | to 90 % | to 95 % |")
    print("|---|---|---|---|---|---|---|")
    for name, (accuracy, calibration, warning) in honest.items():
        error = "no score" if calibration is None else f"{calibration:.3f}"
        copies = " | ".join(needed(stolen[name], wanted) for wanted in FIDELITIES)
        at = float(np.median(stolen[name][400]))
        print(f"| {name} | {accuracy:.1%} | {error} | {warning:.2f} | {at:.1%} | {copies} |")
    if options.plot is not None:
        draw(honest, stolen, options.plot)


def draw(honest: dict[str, Honest], stolen: dict[str, dict[int, list[float]]], path: Path) -> None:
    """Draw how a copy grows with its queries, and what a score is worth to an honest user."""
    import matplotlib as mpl  # only who draws needs it

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "vallum", "svg.fonttype": "none", "font.size": 9}
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(8.5, 3.6), layout="constrained", gridspec_kw={"width_ratios": [3, 2]}
    )
    colours = dict(zip(honest, [f"C{index}" for index in range(10)], strict=False))
    for name, fidelities in stolen.items():
        middle = [float(np.median(values)) for values in fidelities.values()]
        left.plot(list(fidelities), middle, marker=".", color=colours[name], label=name)
    left.set(xscale="log", xlabel="queries", ylabel="fidelity of the copy", ylim=(0.4, 1.01))
    left.axhline(0.95, color="0.5", linewidth=0.6, linestyle=":")
    names = list(honest)
    right.barh(range(len(names)), [honest[name].warning for name in names], color=[colours[name] for name in names])
    right.set(yticks=range(len(names)), yticklabels=names, xlim=(0.5, 1.0), xlabel="score tells right from wrong")
    right.invert_yaxis()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
