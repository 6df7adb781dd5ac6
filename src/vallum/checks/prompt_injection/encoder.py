"""The second tier's encoder: a published sentence model, which the operator brings, as means of its layers.

Vallum ships none: `all-MiniLM-L6-v2` is a folder with `model.safetensors` and `vocab.txt` wherever it is published.
What was learnt of one model says nothing of another, so a folder is known by the digests of these two files, which are
looked at before anything else.
"""

from __future__ import annotations

import json
from hashlib import sha256
from importlib import import_module
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from vallum.checks.prompt_injection.transformer import INPUT, draw
from vallum.checks.prompt_injection.word_pieces import WordPieces

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

WEIGHTS, VOCABULARY = "model.safetensors", "vocab.txt"
MOST_BYTES = 1 << 28
"""Of a file that is read at all."""

MOST_PIECES = 112
MISSING = "what runs it is not installed: pip install 'vallum[deep]', or leave out `deep`"


class Base(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which published model it is, and what is taken from it."""

    name: str
    weights: str  # SHA-256
    vocabulary: str  # the same
    heads: int
    layers: tuple[int, ...]  # whose means are taken, counted from 1


class Encoder:
    """The means of some layers; any number of threads may ask."""

    def __init__(self, weights: bytes, vocabulary: bytes, heads: int, layers: Sequence[int]) -> None:
        """Make it of the two files: half a second.  Raises ValueError where what runs it is not installed."""
        try:
            onnxruntime = import_module("onnxruntime")  # an extra of Vallum, and untyped
        except ImportError:
            raise ValueError(MISSING) from None
        base = _read_tensors(weights)
        self._pieces = WordPieces(vocabulary.decode().split("\n"), MOST_PIECES)
        places = base["embeddings.position_embeddings.weight"] + base["embeddings.token_type_embeddings.weight"][0]
        self._places = places[:MOST_PIECES].copy()
        self._words = base["embeddings.word_embeddings.weight"].astype(np.float16)  # half of the memory
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        network = draw(base, heads, layers)
        self._session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])

    def encode(self, text: str) -> Floats:
        """Return the means of what each layer makes of the pieces of a text, one after the other."""
        numbers = self._pieces.cut(text)
        words = self._words[numbers] + self._places[: len(numbers)]
        return np.concatenate(self._session.run(None, {INPUT: words}))


def read_base(folder: Path, base: Base) -> tuple[bytes, bytes]:
    """Return the two files of a model's folder.  Raise ValueError that says what to do unless they are those named."""
    return _read(folder, WEIGHTS, base.weights, base.name), _read(folder, VOCABULARY, base.vocabulary, base.name)


def _read(folder: Path, name: str, digest: str, model: str) -> bytes:
    path = folder / name
    if not path.is_file():  # nor a pipe, which would be waited for
        raise ValueError(f"{name} is not there")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES)
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from None
    found = sha256(content).hexdigest()
    if found != digest:
        known = f"its SHA-256 begins with {found[:12]}, not {digest[:12]}"
        raise ValueError(f"{name} is not that of {model}, which alone the second tier was trained for: {known}")
    return content


def _read_tensors(content: bytes) -> dict[str, Floats]:
    """Read the format of safetensors: the length of a head in JSON, the head, the numbers."""
    begin = 8 + int.from_bytes(content[:8], "little")
    head = json.loads(content[8:begin])
    tensors = {}
    for name, told in head.items():
        if name != "__metadata__" and told["dtype"] == "F32":
            start, end = told["data_offsets"]
            tensors[name] = np.frombuffer(content[begin + start : begin + end], "<f4").reshape(told["shape"])
    return tensors
