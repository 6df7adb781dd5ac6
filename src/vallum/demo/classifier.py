"""A small trained text classifier: the sample upstream's answer to what kind of text a text is.

A softmax over hashed features: words, pairs of words and runs of four characters.  Every distinct feature counts once
and the vector has length 1, so that a page and a line are judged alike.  The weights are one signed byte each, with
one scale for all; `training/demo_models.py` makes them, and MODELS.md says from what.
"""

from __future__ import annotations

import json
import re
from array import array
from importlib.resources import files
from itertools import pairwise
from math import exp, sqrt
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterator

WEIGHTS = "classifier.bin"
MAX_CHARS = 5000  # as much as is read: it bounds what one prediction costs
MIN_TEMPERATURE = 1e-3  # what 0 stands for: nearly all on one class, and nothing is divided by zero

_WORD = re.compile(r"\w+|[^\w\s]")


class Classifier:
    """Says which kind of text a text is, with the confidence, probabilities and logits of every class."""

    def __init__(self) -> None:
        """Load the packaged weights: a line of JSON, then for each class one signed byte a bucket."""
        header, _, table = files("vallum.demo").joinpath(WEIGHTS).read_bytes().partition(b"\n")
        facts = json.loads(header)
        self.version: str = facts["version"]
        self.classes: tuple[str, ...] = tuple(facts["classes"])
        self._buckets: int = facts["buckets"]
        self._scale: float = facts["scale"]
        self._biases: list[float] = facts["biases"]
        self._rows = [array("b", table[at : at + self._buckets]) for at in range(0, len(table), self._buckets)]

    def predict(self, input_text: str, temperature: float = 1.0) -> dict[str, Any]:
        """Classify `input_text`; a higher `temperature` evens the probabilities out, the logits are as trained."""
        logits = self._logits(input_text)
        probabilities = softmax(logits, temperature)
        confidence = max(probabilities)
        return {
            "prediction": self.classes[probabilities.index(confidence)],
            "confidence": confidence,
            "probabilities": dict(zip(self.classes, probabilities, strict=True)),
            "logits": dict(zip(self.classes, logits, strict=True)),
            "model_version": self.version,
        }

    def _logits(self, text: str) -> list[float]:
        found = buckets(text, self._buckets)
        unit = self._scale / sqrt(len(found)) if found else 0.0
        return [
            bias + unit * sum(map(row.__getitem__, found)) for bias, row in zip(self._biases, self._rows, strict=True)
        ]


def buckets(text: str, size: int) -> set[int]:
    """Hash the features of `text` into buckets 0 to `size` - 1; the hash is the same on every machine."""
    return {crc32(feature) % size for feature in _features(text[:MAX_CHARS])}


def _features(text: str) -> Iterator[bytes]:
    words = [word.encode("utf-8", "replace") for word in _WORD.findall(text.lower())]
    yield from words
    yield from map(b" ".join, pairwise(words))
    letters = b" ".join((b"", *words, b""))
    # Bytes, not characters: one cheap slice a feature, in every script.  The mark keeps them apart from words.
    for at in range(len(letters) - 3):
        yield b"\0" + letters[at : at + 4]


def softmax(logits: list[float], temperature: float) -> list[float]:
    """Turn logits into probabilities that sum to 1; a temperature under MIN_TEMPERATURE counts as that."""
    heat = max(MIN_TEMPERATURE, temperature)
    highest = max(logits)
    powers = [exp((logit - highest) / heat) for logit in logits]
    total = sum(powers)
    return [power / total for power in powers]
