"""Draws the layers of a published sentence model (BERT's, after the words are looked up) as a network of small numbers.

Its matrices are kept in seven bits, a scale for each column, and multiplied as whole numbers: more than twice as fast as
floats.  With eight bits, processors without VNNI would add up to something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vallum.checks.prompt_injection.onnx_file import Network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Tensors = Mapping[str, Floats]

INPUT = "words"
MOST = 64  # of a weight in seven bits
EPSILON = 1e-12
_ATTENTION = "attention.self."


def draw(base: Tensors, heads: int, layers: Sequence[int]) -> bytes:
    """Return an ONNX file that takes looked-up words and gives, for each of `layers`, the mean of what it makes of them.

    The layers are counted from 1; nothing beyond the last of them is drawn.
    """
    network = _Drawing(base, heads)
    hidden = network.norm(INPUT, "embeddings.LayerNorm")
    means = []
    for number in range(max(layers)):
        hidden = network.layer(hidden, f"encoder.layer.{number}.")
        if number + 1 in layers:
            means.append(network.mean(hidden))
    return network.write(means)


class _Drawing:
    def __init__(self, base: Tensors, heads: int) -> None:
        self._base, self._heads = base, heads
        self._width = len(base["embeddings.LayerNorm.bias"])
        self._network = Network()

    def write(self, means: Sequence[str]) -> bytes:
        return self._network.write(INPUT, self._width, means)

    def mean(self, hidden: str) -> str:
        return self._network.add("ReduceMean", hidden, axes=[0], keepdims=0)

    def layer(self, hidden: str, layer: str) -> str:
        attended = self._linear(self._attend(hidden, layer), *self._read(layer + "attention.output.dense"))
        hidden = self.norm(self._add("Add", hidden, attended), layer + "attention.output.LayerNorm")
        inner = self._gelu(self._linear(hidden, *self._read(layer + "intermediate.dense")))
        outer = self._linear(inner, *self._read(layer + "output.dense"))
        return self.norm(self._add("Add", hidden, outer), layer + "output.LayerNorm")

    def norm(self, hidden: str, name: str) -> str:
        scale, bias = (self._keep(self._base[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self._add("LayerNormalization", hidden, scale, bias, axis=-1, epsilon=EPSILON)

    def _attend(self, hidden: str, layer: str) -> str:
        """Draw what each piece of each head takes from all pieces; the three matrices of BERT are one here."""
        size = self._width // self._heads
        parts = [self._read(f"{layer}{_ATTENTION}{name}") for name in ("query", "key", "value")]
        parts[0] = (parts[0][0] / size**0.5, parts[0][1] / size**0.5)
        joined = self._linear(hidden, *(np.concatenate(some, axis=-1) for some in zip(*parts, strict=True)))
        by_head = self._add("Reshape", joined, self._keep(np.array([-1, 3, self._heads, size])))
        turned = self._add("Transpose", by_head, perm=[1, 2, 0, 3])
        query, key, value = (self._add("Gather", turned, self._keep(np.array(number)), axis=0) for number in range(3))
        shares = self._add("Softmax", self._add("MatMul", query, self._add("Transpose", key, perm=[0, 2, 1])), axis=-1)
        heads = self._add("Transpose", self._add("MatMul", shares, value), perm=[1, 0, 2])
        return self._add("Reshape", heads, self._keep(np.array([-1, self._width])))

    def _linear(self, hidden: str, weight: Floats, bias: Floats) -> str:
        """Multiply whole numbers: the matrix is rounded here, what it is multiplied by at run time."""
        scale = np.maximum(np.abs(weight).max(0) / MOST, np.finfo(np.float32).tiny)
        rounded = self._keep(np.rint(weight / scale).astype(np.int8))
        small, unit, zero = self._network.add_many("DynamicQuantizeLinear", 3, hidden)
        product = self._add("Cast", self._add("MatMulInteger", small, rounded, zero), to=1)
        product = self._add("Mul", product, self._add("Mul", unit, self._keep(scale)))
        return self._add("Add", product, self._keep(bias))

    def _gelu(self, hidden: str) -> str:
        half, one, root = (self._keep(np.array(some, dtype=np.float32)) for some in (0.5, 1.0, 2**0.5))
        share = self._add("Add", self._add("Erf", self._add("Div", hidden, root)), one)
        return self._add("Mul", self._add("Mul", hidden, share), half)

    def _read(self, name: str) -> tuple[Floats, Floats]:
        return self._base[f"{name}.weight"].T, self._base[f"{name}.bias"]

    def _keep(self, values: NDArray[np.generic]) -> str:
        return self._network.keep(values)

    def _add(self, operator: str, *inputs: str, **attributes: float | list[int]) -> str:
        return self._network.add(operator, *inputs, **attributes)
