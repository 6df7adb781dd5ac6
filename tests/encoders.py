"""A sentence model as small as can be, drawn by lot, in the files in which published ones come; and a head for it."""

from __future__ import annotations

import json
from hashlib import sha256
from string import ascii_lowercase, punctuation
from typing import TYPE_CHECKING, Any

import numpy as np

from vallum.checks.prompt_injection.encoder import VOCABULARY, WEIGHTS, Base
from vallum.checks.prompt_injection.scorer import load_model
from vallum.checks.prompt_injection.second_tier import Head
from vallum.checks.prompt_injection.word_pieces import FIRST, LAST, UNKNOWN

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Tensors = dict[str, NDArray[np.float32]]

WIDTH, HEADS, INNER, LAYERS, PLACES = 12, 3, 32, 2, 512
REACH = 1.25
PIECES = [UNKNOWN, FIRST, LAST, "system", *ascii_lowercase, *punctuation, *(f"##{one}" for one in ascii_lowercase)]


def draw_tensors(seed: int = 7) -> Tensors:
    """Draw all tensors of a model, by the names they have in the published ones."""
    chance = np.random.default_rng(seed)

    def drawn(*shape: int) -> NDArray[np.float32]:
        return chance.normal(0, 0.5, shape).astype(np.float32)

    tensors = {
        "embeddings.word_embeddings.weight": drawn(len(PIECES), WIDTH),
        "embeddings.position_embeddings.weight": drawn(PLACES, WIDTH),
        "embeddings.token_type_embeddings.weight": drawn(2, WIDTH),
    }
    norms = ["embeddings.LayerNorm"]
    lines: dict[str, tuple[int, int]] = {}
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}."
        norms += [layer + "attention.output.LayerNorm", layer + "output.LayerNorm"]
        lines |= {f"{layer}attention.self.{name}": (WIDTH, WIDTH) for name in ("query", "key", "value")}
        lines |= {layer + "attention.output.dense": (WIDTH, WIDTH), layer + "intermediate.dense": (INNER, WIDTH)}
        lines |= {layer + "output.dense": (WIDTH, INNER)}
    for name in norms:
        tensors |= {f"{name}.weight": 1 + drawn(WIDTH), f"{name}.bias": drawn(WIDTH)}
    for name, shape in lines.items():
        tensors |= {f"{name}.weight": drawn(*shape), f"{name}.bias": drawn(shape[0])}
    return tensors


def pack(tensors: Tensors) -> bytes:
    """Write tensors as `model.safetensors`; beside them stands what an encoder has no use for, as in the published."""
    head: dict[str, object] = {"__metadata__": {"format": "pt"}}
    body = b""
    beside: dict[str, NDArray[Any]] = {"embeddings.position_ids": np.arange(PLACES, dtype=np.int64)}
    for name, tensor in (beside | tensors).items():
        kind = "F32" if name in tensors else "I64"
        head[name] = {"dtype": kind, "shape": tensor.shape, "data_offsets": [len(body), len(body) + tensor.nbytes]}
        body += tensor.tobytes()
    told = json.dumps(head).encode()
    return len(told).to_bytes(8, "little") + told + body


WEIGHTS_FILE = pack(draw_tensors())
VOCABULARY_FILE = ("\n".join(PIECES) + "\n").encode()
BASE = Base("tiny", sha256(WEIGHTS_FILE).hexdigest(), sha256(VOCABULARY_FILE).hexdigest(), HEADS, (LAYERS,))
HEAD = Head(BASE, tuple(0.1 * (-1) ** number for number in range(WIDTH)), 0.05, REACH, load_model().user)


def write_encoder(folder: Path) -> Path:
    """Write the folder of the model for which HEAD was made."""
    folder.mkdir()
    (folder / WEIGHTS).write_bytes(WEIGHTS_FILE)
    (folder / VOCABULARY).write_bytes(VOCABULARY_FILE)
    return folder
