"""What the prompt-injection check finds of attacks from sources it never saw, and what it refuses wrongly.

    python bench/injection.py --data DIR [--deep FOLDER]

DIR holds `dev.jsonl` (`text`, `label`, `kind`, `source`, `source_in_train`).  Judged are the rows whose source has no
row in train.  A threshold "at 1 %" is the one that refuses 1 % of the honest prompts among them; system prompts,
which a gateway knows by their role and does not judge, and what tools returned are counted apart.  With --deep the
second tier judges too, by the encoder in FOLDER; then it prints how many texts it would be asked about, and its time
for one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from math import sqrt
from pathlib import Path
from random import Random
from statistics import median
from time import process_time
from typing import Any, get_args

import numpy as np

from evasions import EVASIONS
from vallum.checks.prompt_injection.encoder import MOST_PIECES
from vallum.checks.prompt_injection.judge import Judge, Judgement
from vallum.checks.prompt_injection.scorer import Sensitivity
from vallum.checks.prompt_injection.second_tier import excerpt, load_second_tier
from vallum.core.reading import Reading, read

Row = dict[str, Any]
BY_ROLE = {"system-prompts-mustvlad": "system prompts", "agentdojo-env": "tool results"}
INDIRECT = {"agentdojo-wrapped"}
SEED = 7
MOST_DRESSED = 300


def main() -> None:
    """Print every table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--deep", type=Path, metavar="FOLDER", help="with the second tier, by this encoder")
    arguments = parser.parse_args()
    with (arguments.data / "dev.jsonl").open(encoding="utf-8") as lines:
        dev = [json.loads(line) for line in lines]
    judge: Judge | DeepJudge = DeepJudge(arguments.deep) if arguments.deep else Judge()
    rows = [row for row in dev if not row["source_in_train"]]
    logits = np.array([judge.judge(read(row["text"])).logit for row in rows])
    sources = np.array([row["source"] for row in rows])
    kinds = np.array([row["kind"] for row in rows])
    attacks = np.array([row["label"] == 1 for row in rows])
    judged = ~attacks & ~np.isin(sources, list(BY_ROLE))
    shipped = judge.model.user
    at = {
        "1 %": float(np.quantile(logits[judged], 0.99)),
        "0.1 %": float(np.quantile(logits[judged], 0.999)),
        "strict": shipped.strict,
        "balanced": shipped.balanced,
        "permissive": shipped.permissive,
    }
    groups: list[tuple[str, np.ndarray]] = [("**all attacks**", attacks)]
    groups += [(f"attacks: {kind}", attacks & (kinds == kind)) for kind in sorted(set(kinds[attacks]))]
    groups += [(f"attacks from {source}", attacks & (sources == source)) for source in sorted(set(sources[attacks]))]
    groups += [("**all honest prompts**", judged), ("hard negatives", judged & (kinds == "hard_negative"))]
    groups += [(f"honest: {source}", judged & (sources == source)) for source in sorted(set(sources[judged]))]
    groups += [(f"{name}, as if a user's", sources == source) for source, name in BY_ROLE.items()]
    print_table("found or refused", at, [(name, logits[which]) for name, which in groups])

    if isinstance(judge, DeepJudge):  # it has no say in what is brought in
        print_asked(judge, rows, attacks, judged)
        print_evasions(judge, rows, logits, {"1 %": at["1 %"], "balanced": at["balanced"]})
        return
    document = judge.model.document
    wrapped = np.isin(sources, list(INDIRECT))
    honest = judged & (sources == "docs-cookbook")
    tools = sources == "agentdojo-env"
    brought = {
        "1 %": float(np.quantile(logits[honest | tools], 0.99)),
        "strict": document.strict,
        "balanced": document.balanced,
        "permissive": document.permissive,
    }
    print_table(
        "in a document or tool result",
        brought,
        [
            ("injected", logits[wrapped]),
            ("tool results", logits[tools]),
            ("documents", logits[honest]),
        ],
    )
    print_evasions(judge, rows, logits, {"1 %": at["1 %"], "balanced": at["balanced"]})


class DeepJudge:
    """All layers, by asking the second tier always: the verdicts are those of asking it where it can turn them."""

    def __init__(self, folder: Path) -> None:
        """Load both."""
        self.first = Judge()
        self.tier = load_second_tier(folder)
        self.model = self.tier.head

    def judge(self, readings: Sequence[Reading]) -> Judgement:
        """Judge a text by its readings."""
        judged = self.first.judge(readings)
        return self.tier.weigh(judged, self.tier.classify(excerpt(judged.text, judged.score)))


def print_asked(judge: DeepJudge, rows: Sequence[Row], attacks: np.ndarray, honest: np.ndarray) -> None:
    """Print in which share of texts the tier can turn the verdict, and what one costs."""
    names = get_args(Sensitivity)
    print("\n| asked about | " + " | ".join(names) + " |\n|---" + "|---" * len(names) + "|")
    logits = [judge.first.judge(read(row["text"])).logit for row in rows]
    for group, which in (("honest prompts", honest), ("attacks", attacks)):
        steps = [judge.model.user.of(name) for name in names]
        shares = [np.mean([judge.tier.can_turn(logits[at], step) for at in np.flatnonzero(which)]) for step in steps]
        print(f"| {group} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")
    print("\n| pieces | CPU ms, median |\n|---|---|")
    for count in (16, 32, 64, MOST_PIECES):
        times = []
        for _ in range(50):
            began = process_time()
            judge.tier.classify("word " * (count - 2))
            times.append(process_time() - began)
        print(f"| {count} | {1000 * median(times):.1f} |")


def print_table(title: str, at: dict[str, float], groups: Iterable[tuple[str, np.ndarray]]) -> None:
    """Print one line a group, with the share at or above each threshold and its interval."""
    print(f"\n| {title} | n | " + " | ".join(at) + " |\n|---|---" + "|---" * len(at) + "|")
    for name, logits in groups:
        shares = (share(int((logits >= least).sum()), len(logits)) for least in at.values())
        print(f"| {name} | {len(logits)} | " + " | ".join(shares) + " |")


def share(hits: int, count: int) -> str:
    """Return a share in per cent with its 95 % interval by Wilson."""
    z = 1.96
    middle = (hits + z * z / 2) / (count + z * z)
    half = z * sqrt(hits * (count - hits) / count + z * z / 4) / (count + z * z)
    return f"{hits / count:.1%} ({max(middle - half, 0):.1%} to {min(middle + half, 1):.1%})"


def print_evasions(judge: Judge | DeepJudge, rows: Sequence[Row], logits: np.ndarray, at: dict[str, float]) -> None:
    """Print what is still found of dressed attacks that were found plain, and what honest text in that dress costs."""
    names = list(at)
    print("\n| dress | " + " | ".join(f"kept at {name} | honest refused, more than plain" for name in names) + " |")
    print("|---" * (1 + 2 * len(names)) + "|")
    plain = [(row, logit) for row, logit in zip(rows, logits, strict=True) if row["text"].isascii()]
    honest = [(row, logit) for row, logit in plain if not row["label"] and row["source"] not in BY_ROLE]
    honest = Random(SEED).sample(honest, min(len(honest), 2 * MOST_DRESSED))
    means = [0.0] * len(names)
    for dress, change in EVASIONS.items():
        cells = []
        honest_dressed = _judge_all(judge, [row for row, _ in honest], change)
        for number, least in enumerate(at.values()):
            found = [row for row, logit in plain if row["label"] and logit >= least]
            found = Random(SEED).sample(found, min(len(found), MOST_DRESSED))
            kept = float((_judge_all(judge, found, change) >= least).mean())
            means[number] += kept / len(EVASIONS)
            rise = float((honest_dressed >= least).mean()) - sum(logit >= least for _, logit in honest) / len(honest)
            cells.append(f"{kept:.1%} | {rise * 100:+.2f} points")
        print(f"| {dress} | " + " | ".join(cells) + " |")
    print("| **mean** | " + " | ".join(f"{mean:.1%} |" for mean in means) + " |")


def _judge_all(judge: Judge | DeepJudge, rows: Sequence[Row], change: Callable[[str, Random], str]) -> np.ndarray:
    chance = Random(SEED)
    return np.array([judge.judge(read(change(row["text"], chance))).logit for row in rows])


if __name__ == "__main__":
    main()
