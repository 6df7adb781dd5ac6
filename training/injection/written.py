"""Texts that six writers wrote for this project, one by one (CC0-1.0); and what the check makes of them.

    python training/injection/written.py

A line of `written/*.txt` is one text, in which "\\n" breaks a line.  "# attack NAME" or "# honest NAME" says what those
are that follow.  A file's name begins with its writer's.  The linear layer that ships saw none of them; the
head of the second tier was learnt of them too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from corpus import Row

from vallum.checks.prompt_injection.judge import Judge
from vallum.core.reading import read

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).with_name("written")
WRITTEN = "written-"
"""With what the names of such sources begin."""

_LABELS = {"attack": 1, "honest": 0}


def main() -> None:
    """Print what is found of each writer's attacks, and refused of what is honest."""
    judge = Judge()
    least = (judge.model.user.strict, judge.model.user.balanced)
    rows = read_written()
    logits = [judge.judge(read(row.text)).logit for row in rows]
    print("| writer | attacks | strict | balanced | honest | strict | balanced |\n|---|---|---|---|---|---|---|")
    for source in [*sorted({row.source for row in rows}), ""]:
        cells = [source.removeprefix(WRITTEN) or "**all**"]
        for label in (1, 0):
            chosen = [row.label == label and source in {row.source, ""} for row in rows]
            some = [at for at, is_chosen in zip(logits, chosen, strict=True) if is_chosen]
            cells.append(f"{len(some):,}")
            cells += [f"{sum(at >= limit for at in some) / len(some):.1%}" if some else "" for limit in least]
        print(f"| {' | '.join(cells)} |")


def read_written(folder: Path = FOLDER) -> list[Row]:
    """Return all texts, each once; raise ValueError where one stands under no heading."""
    return list(dict.fromkeys(row for path in sorted(folder.glob("*.txt")) for row in _read(path)))


def _read(path: Path) -> Iterator[Row]:
    source = f"{WRITTEN}{path.stem.split('_')[0]}"
    label = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        kind, _, name = line.removeprefix("# ").partition(" ")
        if line.startswith("# ") and kind in _LABELS and name:
            label = _LABELS[kind]
        elif line.strip():
            if label is None:
                raise ValueError(f"{path.name}, line {number}: no heading says whether this attacks")
            yield Row(line.replace("\\n", "\n"), label, source, 1.0)


if __name__ == "__main__":
    main()
