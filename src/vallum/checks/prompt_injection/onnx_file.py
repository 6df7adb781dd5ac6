"""Writes a network as an ONNX file: the few messages of its schema that a transformer takes, as protocol buffers.

The numbers are those of the fields in `onnx.proto`; https://onnx.ai/onnx/intro/concepts.html says what they mean.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

IR_VERSION, OPSET = 8, 17
_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int64": 7}
_FLOAT, _INT, _INTS = 1, 2, 7  # kinds of attributes
_64_BITS = (1 << 64) - 1


class Network:
    """A network that is drawn node by node; every value has the name of what made it."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._nodes: list[bytes] = []
        self._tensors: list[bytes] = []
        self._count = 0

    def keep(self, values: NDArray[Any]) -> str:
        """Keep a tensor, and return its name."""
        name = self._name()
        dims = b"".join(_number(1, size) for size in values.shape)
        kind = _number(2, _TYPES[values.dtype.name])
        self._tensors.append(dims + kind + _text(8, name) + _block(9, np.ascontiguousarray(values).tobytes()))
        return name

    def add(self, operator: str, *inputs: str, **attributes: float | list[int]) -> str:
        """Add a node with one output, and return its name."""
        return self.add_many(operator, 1, *inputs, **attributes)[0]

    def add_many(self, operator: str, count: int, *inputs: str, **attributes: float | list[int]) -> list[str]:
        """Add a node with several outputs, and return their names."""
        outputs = [self._name() for _ in range(count)]
        ends = [_text(1, name) for name in inputs] + [_text(2, name) for name in outputs]
        facts = [_block(5, _attribute(name, value)) for name, value in attributes.items()]
        self._nodes.append(b"".join([*ends, _text(4, operator), *facts]))
        return outputs

    def write(self, source: str, width: int, outputs: Sequence[str]) -> bytes:
        """Return the file of a network that takes `source`, any number of rows, and gives vectors of `width`."""
        graph = [_block(1, node) for node in self._nodes]
        graph += [_text(2, "network")]
        graph += [_block(5, tensor) for tensor in self._tensors]
        graph += [_block(11, _value(source, [_text(2, "rows"), _number(1, width)]))]
        graph += [_block(12, _value(name, [_number(1, width)])) for name in outputs]
        return _number(1, IR_VERSION) + _text(2, "vallum") + _block(7, b"".join(graph)) + _block(8, _number(2, OPSET))

    def _name(self) -> str:
        self._count += 1
        return str(self._count)


def _value(name: str, dims: Sequence[bytes]) -> bytes:
    """Describe what goes in or comes out: floats of a shape."""
    shape = b"".join(_block(1, dim) for dim in dims)
    return _text(1, name) + _block(2, _block(1, _number(1, _TYPES["float32"]) + _block(2, shape)))


def _attribute(name: str, value: float | list[int]) -> bytes:
    if isinstance(value, list):
        return _text(1, name) + b"".join(_number(8, some) for some in value) + _number(20, _INTS)
    if isinstance(value, float):
        return _text(1, name) + _tag(2, 5) + struct.pack("<f", value) + _number(20, _FLOAT)
    return _text(1, name) + _number(3, value) + _number(20, _INT)


def _number(field: int, value: int) -> bytes:
    return _tag(field, 0) + _varint(value & _64_BITS)


def _text(field: int, text: str) -> bytes:
    return _block(field, text.encode())


def _block(field: int, content: bytes) -> bytes:
    return _tag(field, 2) + _varint(len(content)) + content


def _tag(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)
