"""What is learnt from: the labelled rows, weighed by what is known of their sources, and sentences of our own."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from grammar import choose, read_languages, read_rules, read_wrappers, say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOISY = {"mosscap": 0.3, "inthewild": 0.5, "synthetic": 0.3}
"""Sources of which many rows are not what their label says, or say one thing in few words."""

OWN_WEIGHT = 0.2
CARRIERS = frozenset(
    (
        "docs-gateway",
        "code",
        "gpteacher",
        "gpteacher-code",
        "awesome-prompts",
        "leipzig-sentences",
        "neuralchemy",
        "fuzzyai-benign",
        "vanguard-benign",
    )
)
LANGUAGE_ATTACKS, LANGUAGE_HONEST = 160, 120
LANGUAGE_WEIGHT = 0.5
OWN = (
    # name, label, how many
    ("override", 1, 2500),
    ("extract", 1, 1500),
    ("secret", 1, 1200),
    ("jailbreak", 1, 900),
    ("coax", 1, 2000),
    ("pry", 1, 1200),
    ("honest", 0, 4000),
    ("chat", 0, 2000),
    ("doc", 0, 2500),
    ("brought", 0, 1500),
    ("talk", 0, 1200),
    ("steer", 0, 1400),
    ("brief", 0, 1000),
    ("ticket", 0, 400),
    ("lines", 0, 500),
)
WRAPPED = 3000


class Row(NamedTuple):
    """One text to learn from."""

    text: str
    label: int
    source: str
    weight: float


def read_rows(path: Path, *, share_alike: bool = False) -> list[Row]:
    """Return the rows of a file of JSON lines, without those whose licence asks for the same licence in return."""
    rows = []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if share_alike or "-SA-" not in row["licence"]:
                rows.append(Row(row["text"], row["label"], row["source"], NOISY.get(row["source"], 1.0)))
    return rows


def make_rows(rows: list[Row], seed: int) -> list[Row]:
    """Return sentences of our own; `rows` lends the honest text in which some of them hide."""
    chance = Random(seed)
    attacks, honest = read_rules("attacks.txt"), read_rules("honest.txt")
    made = []
    for name, label, count in OWN:
        rules = attacks if label else honest
        made += [Row(say(rules, name, chance), label, "own", OWN_WEIGHT) for _ in range(count)]
    made += _speak_languages(chance)
    carriers = [row.text for row in rows if not row.label and row.source in CARRIERS and len(row.text) > 60]
    wrappers = read_wrappers()
    for _ in range(WRAPPED):
        made.append(
            Row(_hide(say(attacks, "inject", chance), wrappers, carriers, chance), 1, "own-wrapped", OWN_WEIGHT)
        )
        made.append(Row(_hide(say(honest, "note", chance), wrappers, carriers, chance), 0, "own-wrapped", OWN_WEIGHT))
    return list(dict.fromkeys(made))


def _speak_languages(chance: Random) -> Iterator[Row]:
    for attacks, honest in read_languages().values():
        for label, lines, count in ((1, attacks, LANGUAGE_ATTACKS), (0, honest, LANGUAGE_HONEST)):
            for _ in range(count):
                yield Row(choose(chance.choice(lines), chance), label, "own-languages", LANGUAGE_WEIGHT)


def _hide(sentence: str, wrappers: list[str], carriers: list[str], chance: Random) -> str:
    """Put a sentence into a wrapper, and that into the beginning, the middle or the end of an honest text."""
    carrier = chance.choice(carriers)[:1500]
    words = carrier.split(" ")
    place = chance.choice((0, len(words), chance.randrange(len(words) + 1)))
    hidden = chance.choice(wrappers).replace("{}", sentence)
    return " ".join(part for part in (" ".join(words[:place]), hidden, " ".join(words[place:])) if part)
