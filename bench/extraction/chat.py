"""Chat: honest utterances and the prompts of thieves, from files of labelled texts; there is no victim here.

The files are JSONL with `text`, `label` (0: not an injection) and `source`.  Honest are the utterances of `HONEST`, in
topics found by k-means over their words; one user in 15 is an app that puts them into a template of its own.  Half of
each topic is for reference and calibration, half for the test.  Thieves ask questions of arithmetic, with and without a
template, instructions to write code, or sentences without a purpose.  Where a set is too small for a week, names and
numbers of its prompts are changed, so that a skeleton may come back; a set of its own size would be harder to see.
"""

from __future__ import annotations

import json
import re
import zlib
from collections import defaultdict
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from bench.extraction.learners import Array, Model, Rng
from numpy.typing import NDArray

HONEST = (
    "banking77",
    "dolly",
    "gpteacher",
    "self-instruct",
    "fuzzyai-benign",
    "vanguard-benign",
    "awesome-prompts",
    "open-assistant",
)
CODE = re.compile(
    r"\b(function|program|python|java|javascript|c\+\+|sql|html|css|script|algorithm|regex|code)\b", re.IGNORECASE
)
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
NUMBER = re.compile(r"\d+")
NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]{2,8}\b|^[A-Z][a-z]{3,7}(?= (?:has|had|is|was|wants))")
NAMES = (
    "Ada Bo Carla Deniz Ewa Farid Gita Hugo Ivo Jun Kofi Lena Milo Noor Olga Pia Quinn Rosa Sven Tariq Uma Wim".split()
)
THOUGHT = "Solve the problem below. Think step by step, and give the number after ####.\n\nProblem: {}\n\nSolution:"
OPENINGS = ("Hi, ", "hello! ", "", "", "", "", "please ", "Quick question: ")
TOPICS, WORDS, ROUNDS = 24, 512, 8
LONGEST = 1200  # characters of a prompt


class Chat:
    """Utterances by topic."""

    name, kind, modes, hidden = "chat", "text", TOPICS, 0
    victim: Model
    baseline = float("nan")

    def __init__(self, seed: int, data: Path) -> None:
        """Read the texts; `seed` decides which of them are for what."""
        rng = np.random.default_rng([seed, 5])
        texts = _read(data)
        code = [text for text in texts["gpteacher"] if CODE.search(text)]
        rng.shuffle(code)
        self._stolen = {
            "questions": texts["gsm8k"],
            "code": code[: len(code) // 2],
            "sentences": _sentences(texts["bipia-ctx"] + texts["docs-gateway"] + texts["docs-cookbook"]),
        }
        taken = set(self._stolen["code"])
        honest = [text for source in HONEST for text in texts[source] if text not in taken]
        topics = _topics(honest, rng)
        half = rng.random(len(honest)) < 0.5
        self._pools = [
            [[honest[i] for i in np.flatnonzero((topics == topic) & part)] for topic in range(TOPICS)]
            for part in (half, ~half)
        ]
        for pools in self._pools:  # a topic of next to nothing is about anything
            pools[:] = [pool if len(pool) >= 10 else [*chain.from_iterable(pools)] for pool in pools]
        self._part = 0

    def turn_over(self) -> None:
        """Draw from the half that is for the test."""
        self._part = 1

    def draw(self, modes: NDArray[np.int64], styles: Array, rng: Rng, shift: float = 0.0) -> Any:
        """Return utterances; a style is how somebody opens, or the template of an app; a shift: all say more."""
        pools, chances = self._pools[self._part], rng.random((len(modes), 2))
        out = np.empty(len(modes), object)
        for index, mode in enumerate(modes):
            pool = pools[mode]
            text = pool[int(chances[index, 0] * len(pool))]
            out[index] = _dress(text, styles[index], float(chances[index, 1]), shift)
        return out

    def strange(self, count: int, rng: Rng) -> Any:
        """Return sentences without a purpose."""
        return self.prompts("sentences", count, rng)

    def noise(self, count: int, rng: Rng) -> Any:
        """Return the words of many utterances, shuffled."""
        words = [word for pool in self._pools[0] for text in pool for word in text.split()[:8]]
        return np.array([" ".join(rng.choice(words, 12)) for _ in range(count)], object)

    def reach(self, share: float) -> Array:
        """Raise: a text has no range."""
        raise NotImplementedError

    def prompts(self, kind: str, count: int, rng: Rng) -> Any:
        """Return prompts of a set, each once, then once more with other names and numbers; `template`: in one."""
        pool = self._stolen["questions" if kind == "template" else kind]
        order = np.concatenate([rng.permutation(len(pool)) for _ in range(-(-count // len(pool)))])[:count]
        texts = [
            pool[i] if turn < len(pool) else _renamed(pool[i], rng, names=kind != "code")
            for turn, i in enumerate(order)
        ]
        return np.array([THOUGHT.format(text) if kind == "template" else text for text in texts], object)

    def documents(self, inputs: Any) -> list[Any]:
        """Return the texts."""
        return list(inputs)


def _read(data: Path) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = defaultdict(list)
    for name in ("train.jsonl", "dev.jsonl"):
        for line in (data / name).read_bytes().splitlines():
            row = json.loads(line)
            if row["label"] == 0:
                texts[row["source"]].append(row["text"][:LONGEST])
    return texts


def _sentences(texts: list[str]) -> list[str]:
    found = (part.strip() for text in texts for part in SENTENCE.split(text))
    return sorted({part for part in found if 40 <= len(part) <= 200 and "|" not in part and part[0].isupper()})


def _topics(texts: list[str], rng: Rng) -> NDArray[np.int64]:
    """Return a topic for each text: k-means over hashed words, the common ones weighed down."""
    counts = np.zeros((len(texts), WORDS), np.float32)
    for row, text in zip(counts, texts, strict=True):
        for word in set(re.findall(r"[a-z]{3,}", text.lower())):
            row[zlib.crc32(word.encode()) % WORDS] = 1
    counts *= np.log(len(texts) / (1 + counts.sum(axis=0)))
    counts /= np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-6)
    centres = counts[rng.choice(len(texts), TOPICS, replace=False)]
    for _ in range(ROUNDS):
        topics = (counts @ centres.T).argmax(axis=1)
        for topic in range(TOPICS):
            middle = counts[topics == topic].sum(axis=0)
            centres[topic] = middle / max(float(np.linalg.norm(middle)), 1e-6)
    return topics.astype(np.int64)


def _dress(text: str, style: Array, chance: float, shift: float) -> str:
    """Write a text as its asker writes."""
    if style[0] > 1.5:
        trade = NAMES[int(abs(style[1]) * 1e4) % len(NAMES)]
        return f"You are the assistant of {trade} & Sons. Be brief and polite.\nCustomer: {text}\nAnswer:"
    if style[0] < -0.5:
        text = text.lower()
    if style[1] > 0.5:
        text = text.rstrip(".?!")
    if shift:
        text = f"{text} Answer in at most three sentences."
    return OPENINGS[int(chance * len(OPENINGS))] + text


def _renamed(text: str, rng: Rng, *, names: bool) -> str:
    """Return a prompt with other numbers, and names."""
    text = NUMBER.sub(lambda found: str(max(2, int(int(found[0][:9]) * rng.uniform(0.5, 2)))), text)
    return NAME.sub(lambda _: str(rng.choice(NAMES)), text) if names else text
