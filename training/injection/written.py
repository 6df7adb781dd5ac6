"""Texts that people wrote for this project, one by one: in the public domain (CC0-1.0).

A line of `written/*.txt` is one text, in which "\\n" breaks a line.  "# attack NAME" or "# honest NAME" says what
those are that follow.  A file's name begins with its writer's: all that one wrote is left out together.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from corpus import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).with_name("written")
WRITTEN = "written-"
"""With what the names of such sources begin."""

WEIGHT = 3.0
_LABELS = {"attack": 1, "honest": 0}


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
            yield Row(line.replace("\\n", "\n"), label, source, WEIGHT)
