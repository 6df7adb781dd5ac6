"""Hold tensors against what they say of themselves: number, shape, datatype, and every value.

What it stops
    Tensors whose data is longer or shorter than their shape, shapes that overflow, values that their datatype does not
    have, NaN and infinity, texts that are too long or no text, one name for two tensors.  Native backends have read
    beyond their buffers for less.
Config
    None of its own: the presets `kserve.infer` and `kserve.infer_json` bring it, and `request.bounds` moves its bounds
    (`elements`, `text_bytes`, `empty`, `not_finite`, `not_text`).
Cost
    Bytes are looked at where they lie: about 0.1 ms for a tensor of 1 MB.  JSON costs 30 ns an element.
Misses
    What the model makes of a value: whether 1e30 is a pixel is a schema's to say.  Texts that are not UTF-8 are refused
    because no other check reads them; a policy that lets some in lets them in unread.
Example
    match: {path: /v2/models/scorer/infer}
    preset: kserve.infer
    request:
      bounds: {elements: 150528}
"""

from __future__ import annotations

from itertools import chain
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from vallum.core.decision import Finding, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.core.content import Content

INTEGERS = {
    f"{sign}INT{bits}": (0 if sign else -(2 ** (bits - 1)), 2 ** (bits if sign else bits - 1) - 1)
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
# What rounds to infinity: the largest number and half of its last digit.
FLOATS = {
    "FP16": (2 - 2.0**-11) * 2.0**15,
    "BF16": (2 - 2.0**-8) * 2.0**127,
    "FP32": (2 - 2.0**-24) * 2.0**127,
    "FP64": float("inf"),
}
NUMBERS = {"BOOL", *INTEGERS, *FLOATS}
FP64_MOST = int(float.fromhex("0x1.fffffffffffffp+1023"))  # of an integer among floats
HALF_EXPONENT = 0x7C00  # all of its bits set: NaN or infinite


class Tensors:
    """Looks at the inputs of a request for inference."""

    type: ClassVar[str] = "tensors"

    def __init__(self, bounds: Mapping[str, int]) -> None:
        """Hold tensors to `bounds`."""
        self._bounds = bounds

    def inspect(self, content: Content) -> Finding | None:
        """Return the first tensor that is not what it says; the whole of them last."""
        document = content.document
        tensors = document.get("inputs") if isinstance(document, dict) else None
        if not isinstance(tensors, list) or not all(isinstance(tensor, dict) for tensor in tensors):
            return _wrong("type", "/inputs")
        spent = {"elements": 0, "empty": 0, "not_finite": 0, "not_text": 0}
        names: set[str] = set()
        for index, tensor in enumerate(tensors):
            where = f"/inputs/{index}"
            name = tensor.get("name")
            if not isinstance(name, str) or name in names:
                return _wrong("unique", f"{where}/name")
            names.add(name)
            fault = self._inspect(tensor, spent)
            if fault:
                return _wrong(*fault, where)
            for rule, count in spent.items():
                if count > self._bounds.get(rule, 0):
                    return _wrong(rule, f"{where}/shape" if rule in ("elements", "empty") else f"{where}/data")
        return None

    def _inspect(self, tensor: dict[str, Any], spent: dict[str, int]) -> tuple[str, str] | None:
        """Return a rule and the member that breaks it; add to what is `spent`."""
        shape, datatype, data = tensor.get("shape"), tensor.get("datatype"), tensor.get("data")
        if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
            return "type", "/shape"
        if len(shape) > self._bounds["rank"]:
            return "maxItems", "/shape"
        count = prod(shape)
        spent["elements"] += count
        spent["empty"] += count == 0
        if spent["elements"] > self._bounds["elements"]:
            return None  # before any work: whoever called finds it spent
        if datatype == "BYTES":
            return self._inspect_texts(data, shape, spent)
        if not isinstance(datatype, str) or datatype not in NUMBERS:
            return "enum", "/datatype"
        if isinstance(data, np.ndarray):  # the codec has given it its datatype
            return _inspect_array(data, count, datatype, spent)
        elements = flatten(data, shape)
        if elements is None:
            return "shape", "/data"
        return None if not elements or _has_type(elements, datatype) else ("datatype", "/data")

    def _inspect_texts(self, data: Any, shape: list[int], spent: dict[str, int]) -> tuple[str, str] | None:
        texts = flatten(data, shape)
        if texts is None:
            return "shape", "/data"
        kinds = set(map(type, texts))
        if not kinds <= {str, bytes}:
            return "datatype", "/data"
        if bytes in kinds:
            spent["not_text"] += sum(type(text) is bytes for text in texts)
        most = self._bounds["text_bytes"]
        long = [text for text in texts if 4 * len(text) > most]  # a character is four bytes at most
        if any(len(text.encode() if isinstance(text, str) else text) > most for text in long):
            return "text_bytes", "/data"
        return None


def _inspect_array(
    data: np.ndarray[Any, Any], count: int, datatype: str, spent: dict[str, int]
) -> tuple[str, str] | None:
    if data.size != count:
        return "shape", "/parameters/binary_data_size"
    if not count or datatype in INTEGERS:
        return None
    if datatype == "BOOL":
        return ("datatype", "/data") if data.max() > 1 else None
    halves = data.view(np.uint16) if datatype == "FP16" else None  # which no processor reads quickly
    finite = np.isfinite(data) if halves is None else (halves & HALF_EXPONENT) != HALF_EXPONENT
    if not finite.all():
        spent["not_finite"] += count - int(np.count_nonzero(finite))
    return None


def _has_type(elements: list[Any], datatype: str) -> bool:
    kinds = set(map(type, elements))
    if datatype == "BOOL":
        return kinds == {bool}
    if datatype in INTEGERS:
        least, most = INTEGERS[datatype]
        return kinds == {int} and least <= min(elements) and max(elements) <= most
    if not kinds <= {int, float}:
        return False
    lowest, highest = min(elements), max(elements)
    if datatype == "FP64":
        return all(type(number) is float or abs(number) <= FP64_MOST for number in (lowest, highest))
    return bool(-FLOATS[datatype] < lowest and highest < FLOATS[datatype])


def flatten(data: Any, shape: list[int]) -> list[Any] | None:
    """Return the elements of `data`, which is flat or nested exactly as `shape` says; None where it is neither."""
    if not isinstance(data, list):
        return None
    if not data or type(data[0]) is not list:
        return data if len(data) == prod(shape) else None
    level: list[Any] = [data]
    for size in shape:
        if not all(type(items) is list and len(items) == size for items in level):
            return None
        level = list(chain.from_iterable(level))
    return level


def _wrong(rule: str, member: str, tensor: str = "") -> Finding:
    return Finding(rule, tensor + member, reason=Reason.INVALID_REQUEST, public=True)
