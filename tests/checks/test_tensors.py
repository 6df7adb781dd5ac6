"""Tensors that are what they say pass, however they come; those that are off by one of anything do not."""

from __future__ import annotations

import json
import struct
from functools import partial
from math import prod
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import peak_bytes, steps

from vallum.checks.schema import Schema
from vallum.checks.tensors import INTEGERS, Tensors
from vallum.codecs.tensors import Tensors as Codec
from vallum.core.content import Content
from vallum.core.decision import Reason
from vallum.core.exchange import Headers
from vallum.presets import PRESETS

FORM = PRESETS["kserve.infer"].request
BOUNDS = {name: bound.default for name, bound in FORM.bounds.items()}
assert FORM.schema is not None
SCHEMA = Schema(FORM.schema(BOUNDS))
FLOATS: dict[str, Any] = {"FP16": np.float16, "BF16": ml_dtypes.bfloat16, "FP32": np.float32, "FP64": np.float64}
DATATYPES = ["BOOL", *INTEGERS, *FLOATS, "BYTES"]


class Sent(NamedTuple):
    """A tensor, as its sender has it."""

    name: str
    shape: list[int]
    datatype: str
    values: list[Any]

    def nested(self) -> Any:
        level: list[Any] = list(self.values)
        for size in reversed(self.shape[1:]):
            level = [level[at : at + size] for at in range(0, len(level), size)]
        return level

    def raw(self) -> bytes:
        if self.datatype == "BYTES":
            return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in self.values)
        if self.datatype in FLOATS:
            return bytes(np.array(self.values, FLOATS[self.datatype]).tobytes())
        dtype = (
            "?" if self.datatype == "BOOL" else f"<{self.datatype[0].lower()}{int(self.datatype.lstrip('UINT')) // 8}"
        )
        return np.array(self.values, dtype).tobytes()


REAL = partial(st.floats, allow_nan=False, allow_infinity=False)
FRACTIONS = {"FP16": REAL(width=16), "BF16": REAL(-65504, 65504, width=16), "FP32": REAL(width=32), "FP64": REAL()}


def element(datatype: str) -> st.SearchStrategy[Any]:
    if datatype == "BYTES":
        return st.text(max_size=5)
    if datatype == "BOOL":
        return st.booleans()
    if datatype in INTEGERS:
        return st.integers(*INTEGERS[datatype])
    return FRACTIONS[datatype]


@st.composite
def tensors(draw: Any) -> Sent:
    shape = draw(st.lists(st.integers(1, 4), max_size=3))
    datatype = draw(st.sampled_from(DATATYPES))
    count = prod(shape)
    return Sent("x", shape, datatype, draw(st.lists(element(datatype), min_size=count, max_size=count)))


def inspect(document: Any, bounds: dict[str, int] = BOUNDS) -> str:
    """Return the rule and the place of what is wrong, or nothing."""
    content = Content(document)
    finding = Tensors(bounds).inspect(content)
    if finding is None:
        return ""
    assert finding.reason is Reason.INVALID_REQUEST
    assert finding.public
    return f"{finding.rule} {finding.where}"


def as_json(sent: Sent, data: Any = None, **changes: Any) -> dict[str, Any]:
    made = {"name": sent.name, "shape": sent.shape, "datatype": sent.datatype, **changes}
    return {"inputs": [{**made, "data": sent.values if data is None else data}]}


def as_bytes(raw: bytes, shape: Any, datatype: Any) -> Any:
    size = {"binary_data_size": len(raw)}
    head = json.dumps({"inputs": [{"name": "x", "shape": shape, "datatype": datatype, "parameters": size}]}).encode()
    return Codec().decode(head + raw, Headers([("inference-header-content-length", str(len(head)))]))


# --- what is right


@given(tensors())
def test_a_tensor_passes_flat_nested_and_as_bytes(sent: Sent) -> None:
    ways = [as_json(sent), as_json(sent, sent.nested()), as_bytes(sent.raw(), sent.shape, sent.datatype)]
    for document in ways:
        assert SCHEMA.inspect(Content(document)) is None
        assert inspect(document) == ""


# --- near-misses


@given(tensors(), st.data())
def test_another_shape_is_refused(sent: Sent, data: Any) -> None:
    others: list[list[int]] = []
    for at, size in enumerate(sent.shape):
        others += [[*sent.shape[:at], size + off, *sent.shape[at + 1 :]] for off in (-1, 1)]
    others += [[*sent.shape, 2], [2, *sent.shape], [-size for size in sent.shape] or [-1], [2**63, *sent.shape], [0]]
    shape = data.draw(st.sampled_from(others))
    for document in (as_json(sent, shape=shape), as_bytes(sent.raw(), shape, sent.datatype)):
        rule = inspect(document).split()
        assert rule[1].startswith("/inputs/0/")
        assert rule[0] in ("shape", "elements", "type", "empty")


@given(tensors(), st.data())
def test_nested_data_of_another_shape_is_refused(sent: Sent, data: Any) -> None:
    if prod(sent.shape) < 2 or len(sent.shape) < 2:
        return
    shape = data.draw(st.sampled_from([sent.shape[::-1], [1, *sent.shape], [*sent.shape, 1], sent.shape[1:]]))
    if shape != sent.shape:
        assert inspect(as_json(sent, sent.nested(), shape=shape)) in ("shape /inputs/0/data", "datatype /inputs/0/data")


@given(tensors(), st.sampled_from(["drop", "add", "nest", "empty"]))
def test_data_longer_or_shorter_is_refused(sent: Sent, how: str) -> None:
    values = sent.values
    data = {"drop": values[:-1], "add": [*values, values[0]], "nest": [*values, values], "empty": []}[how]
    assert inspect(as_json(sent, data)) in ("shape /inputs/0/data", "datatype /inputs/0/data")
    raw = sent.raw()
    for other in (raw[:-1], raw + b"\0", raw + raw, b""):
        if other != raw:
            try:
                document = as_bytes(other, sent.shape, sent.datatype)
            except ValueError:
                continue  # texts that do not fill it, half an element
            assert inspect(document).startswith("shape /inputs/0/")


WRONG: dict[str, list[Any]] = {
    "BOOL": [0, 1, 0.0, "true", None, [], {}],
    "BYTES": [0, 1.5, True, None, [], {}],
    **{name: [most + 1, least - 1, 0.0, 1.5, True, "1", None, [], {}] for name, (least, most) in INTEGERS.items()},
    **{name: [True, "1", "NaN", None, [], {}] for name in FLOATS},
}
WRONG["FP16"] += [65520, -65520.0, 1e39]
WRONG["BF16"] += [3.4e38, 10**39]
WRONG["FP32"] += [3.4028236e38, -1e39, 10**39]
WRONG["FP64"] += [10**309, -(10**400)]


@given(tensors(), st.data())
def test_a_value_that_the_datatype_does_not_have_is_refused(sent: Sent, data: Any) -> None:
    wrong = data.draw(st.sampled_from(WRONG[sent.datatype]))
    at = data.draw(st.integers(0, len(sent.values) - 1))
    values = [*sent.values[:at], wrong, *sent.values[at + 1 :]]
    assert inspect(as_json(sent, values)).split()[0] in ("datatype", "shape")


@pytest.mark.parametrize("datatype", ["fp32", "Fp32", "FP32 ", "FLOAT32", "STRING", "INT128", "", None, 1, ["FP32"]])
def test_another_datatype_is_refused(datatype: Any) -> None:
    wrong = inspect({"inputs": [{"name": "x", "shape": [1], "datatype": datatype, "data": [1.0]}]})
    assert wrong == "enum /inputs/0/datatype"


@pytest.mark.parametrize("datatype", FLOATS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_counted(datatype: str, value: float) -> None:
    raw = np.array([1.0, value, 2.0, value], FLOATS[datatype]).tobytes()
    document = as_bytes(raw, [4], datatype)
    assert inspect(document) == "not_finite /inputs/0/data"
    assert inspect(document, BOUNDS | {"not_finite": 1}) == "not_finite /inputs/0/data"
    assert inspect(document, BOUNDS | {"not_finite": 2}) == ""


def test_what_is_no_text_is_counted() -> None:
    document = as_bytes(struct.pack("<I", 2) + b"\xff\xd8", [1], "BYTES")
    assert inspect(document) == "not_text /inputs/0/data"
    assert inspect(document, BOUNDS | {"not_text": 1}) == ""


def test_a_text_is_bounded_in_bytes() -> None:
    for text in ("ü" * 4, "ü" * 4 + "x", "x" * 8, "x" * 9):
        wrong = "text_bytes /inputs/0/data" if len(text.encode()) > 8 else ""
        for document in (
            as_json(Sent("x", [1], "BYTES", [text])),
            as_bytes(struct.pack("<I", len(text.encode())) + text.encode(), [1], "BYTES"),
        ):
            assert inspect(document, BOUNDS | {"text_bytes": 8}) == wrong


def test_elements_are_counted_over_all_tensors_before_they_are_looked_at() -> None:
    tensor = {"shape": [2, 3], "datatype": "INT8", "data": [[1, 2, 3], [4, 5, 6]]}
    document = {"inputs": [{"name": "a", **tensor}, {"name": "b", **tensor}]}
    assert inspect(document, BOUNDS | {"elements": 12}) == ""
    assert inspect(document, BOUNDS | {"elements": 11}) == "elements /inputs/1/shape"


def test_tensors_without_elements_are_counted() -> None:
    ways: list[Any] = [([0], []), ([2, 0], [[], []]), ([0, 4], [])]
    for shape, data in ways:
        document = {"inputs": [{"name": "x", "shape": shape, "datatype": "FP32", "data": data}]}
        assert inspect(document) == "empty /inputs/0/shape"
        assert inspect(document, BOUNDS | {"empty": 1}) == ""
        assert inspect(as_bytes(b"", shape, "FP32"), BOUNDS | {"empty": 1}) == ""


SHAPES: list[Any] = [None, 1, "1", {}, [1.0], [True], ["1"], [None], [[1]], [-1], [-1, -1], [2**63, 2**63, 0, -1]]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_that_is_none(shape: Any) -> None:
    assert (
        inspect({"inputs": [{"name": "x", "shape": shape, "datatype": "INT8", "data": [1]}]}) == "type /inputs/0/shape"
    )


@pytest.mark.parametrize("shape", [[2**63], [2**32, 2**32], [2**31 - 1] * 8, [65536] * 4, [2**62, 4]])
def test_a_shape_that_overflows(shape: list[int]) -> None:
    assert (
        inspect({"inputs": [{"name": "x", "shape": shape, "datatype": "INT8", "data": []}]})
        == "elements /inputs/0/shape"
    )
    assert inspect(as_bytes(b"", shape, "INT8")) == "elements /inputs/0/shape"


def test_a_million_dimensions_are_never_multiplied() -> None:
    def cost(dimensions: int) -> int:
        document = {"inputs": [{"name": "x", "shape": [2] * dimensions, "datatype": "INT8", "data": [1]}]}
        assert inspect(document) == "maxItems /inputs/0/shape"
        assert SCHEMA.inspect(Content(document)) is not None
        return steps(lambda: inspect(document))

    assert cost(2000) < 2.1 * cost(1000) < 2.1 * 60_000
    assert cost(10**4) < 10**6


def test_names_are_unique() -> None:
    one = {"name": "x", "shape": [1], "datatype": "INT8", "data": [1]}
    assert inspect({"inputs": [one, one]}) == "unique /inputs/1/name"
    assert inspect({"inputs": [one | {"name": 1}]}) == "unique /inputs/0/name"


OTHERS: list[Any] = [None, [], "x", 1, {}, {"inputs": 1}, {"inputs": {}}, {"inputs": [1]}, {"inputs": [None]}]


@pytest.mark.parametrize("document", OTHERS)
def test_what_holds_no_tensors_is_refused_without_its_schema(document: Any) -> None:
    assert inspect(document) == "type /inputs"


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3)
)
MEMBERS = st.sampled_from(["name", "shape", "datatype", "data", "inputs"])


def nest(below: Any) -> Any:
    return st.lists(below, max_size=3) | st.dictionaries(MEMBERS, below, max_size=4)


@settings(max_examples=200)
@given(st.recursive(LEAVES, nest, max_leaves=12))
def test_nothing_makes_it_stumble(anything: Any) -> None:
    inspect({"inputs": [{"name": "x", "shape": anything, "datatype": "FP32", "data": [1]}]})
    inspect({"inputs": [{"name": "x", "shape": [1, 2], "datatype": "BYTES", "data": anything}]})
    inspect({"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [anything, 1]}]})
    inspect({"inputs": [anything]})
    inspect(anything)


# --- a route's own schema over numbers that came as bytes


OWN = {"properties": {"inputs": {"items": {"properties": {"data": {"items": {"maximum": 3}, "maxItems": 4}}}}}}


@pytest.mark.parametrize(
    ("values", "wrong"), [([1, 2, 3], ""), ([1, 4], "/inputs/0/data/1"), ([1] * 5, "/inputs/0/data")]
)
@pytest.mark.parametrize("datatype", ["INT32", "FP16", "BF16", "FP64"])
def test_a_schema_sees_binary_numbers(datatype: str, values: list[int], wrong: str) -> None:
    document = as_bytes(Sent("x", [len(values)], datatype, values).raw(), [len(values)], datatype)
    finding = Schema(OWN).inspect(Content(document))
    assert ("" if finding is None else finding.where) == wrong


def test_a_schema_that_looks_elsewhere_costs_no_list() -> None:
    document = as_bytes(bytes(4_000_000), [1_000_000], "FP32")
    for extra, wrong in (({}, ""), ({"model": "x"}, "/model")):
        content = Content(document | extra)
        finding = SCHEMA.inspect(content)
        assert ("" if finding is None else finding.where) == wrong
        assert peak_bytes(partial(SCHEMA.inspect, content)) < 20_000  # of 32 MB


def test_a_schema_sees_bytes_among_texts() -> None:
    document = as_bytes(struct.pack("<I", 2) + b"\xff\xd8", [1], "BYTES")
    assert SCHEMA.inspect(Content(document)) is None
    assert SCHEMA.inspect(Content(document | {"model": "x"})) is not None
