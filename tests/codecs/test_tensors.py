"""Bodies of the Open Inference Protocol: every byte belongs to one part, or the body is not read."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.codecs.tensors import TEXTS_MAX, Tensors
from vallum.core.exchange import Headers

TAIL = bytes(range(16))
SAGEMAKER = "application/vnd.sagemaker-triton.binary+json"


def tensor(size: Any, **members: Any) -> dict[str, Any]:
    return {"name": "x", "shape": [4], "datatype": "INT32", "parameters": {"binary_data_size": size}, **members}


def read(document: Any, tail: bytes = TAIL, *fields: tuple[str, str], length: str | None = None) -> Any:
    head = document if isinstance(document, bytes) else json.dumps(document).encode()
    said = str(len(head)) if length is None else length
    return Tensors().decode(head + tail, Headers([("inference-header-content-length", said), *fields]))


def test_a_tensor_is_a_view_of_the_body() -> None:
    data = read({"inputs": [tensor(16)]})["inputs"][0]["data"]
    assert data.base is not None
    assert data.tobytes() == TAIL


def test_tensors_lie_in_the_order_of_the_inputs() -> None:
    document = read({"inputs": [tensor(4), {"name": "j", "data": [1]}, tensor(0), tensor(12)]})
    first, _, third, fourth = document["inputs"]
    assert [one["data"].tobytes() for one in (first, third, fourth)] == [TAIL[:4], b"", TAIL[4:]]


WRITTEN: dict[str, tuple[bytes, list[Any]]] = {
    "BOOL": (b"\0\1", [0, 1]),
    "INT8": (b"\x80\x7f", [-128, 127]),
    "INT16": (b"\0\x80\xff\x7f", [-32768, 32767]),
    "INT32": (b"\1\0\0\0\xff\xff\xff\xff", [1, -1]),
    "INT64": (b"\1\0\0\0\0\0\0\x80", [-(2**63) + 1]),
    "UINT8": (b"\0\xff", [0, 255]),
    "UINT16": (b"\1\2", [513]),
    "UINT32": (b"\xff\xff\xff\xff", [2**32 - 1]),
    "UINT64": (b"\xff" * 8, [2**64 - 1]),
    "FP16": (b"\0\x3e\0\xc0", [1.5, -2.0]),
    "BF16": (b"\xc0\x3f\0\xc0", [1.5, -2.0]),
    "FP32": (b"\0\0\xc0\x3f", [1.5]),
    "FP64": (b"\0\0\0\0\0\0\xf8\x3f", [1.5]),
}


@pytest.mark.parametrize("datatype", WRITTEN)
def test_numbers_are_of_their_datatype(datatype: str) -> None:
    raw, values = WRITTEN[datatype]
    assert read({"inputs": [tensor(len(raw), datatype=datatype)]}, raw)["inputs"][0]["data"].tolist() == values


def test_half_an_element_and_no_datatype() -> None:
    with pytest.raises(ValueError, match="within an element"):
        read({"inputs": [tensor(15), tensor(1)]})
    others: list[Any] = ["int32", "STRING", "", None, 1, ["INT32"], {}]
    for datatype in others:
        with pytest.raises(ValueError, match="without a datatype"):
            read({"inputs": [tensor(16, datatype=datatype)]})


def test_texts_are_texts_and_the_rest_stays_bytes() -> None:
    raw = b"".join(struct.pack("<I", len(text)) + text for text in ("schön".encode(), b"", b"\xff\xd8"))
    document = read({"inputs": [tensor(len(raw), datatype="BYTES")]}, raw)
    assert document["inputs"][0]["data"] == ["schön", "", b"\xff\xd8"]


def test_json_alone_is_json() -> None:
    assert Tensors().decode(b'{"inputs": [{"name": "x", "data": [1]}]}', Headers([])) == {
        "inputs": [{"name": "x", "data": [1]}]
    }
    assert Tensors().decode(b"[1]") == [1]


def test_sagemaker_says_the_length_in_the_type() -> None:
    head = json.dumps({"inputs": [tensor(16)]}).encode()
    for spelling in (
        f"{SAGEMAKER};json-header-size={len(head)}",
        f"{SAGEMAKER.upper()} ; JSON-header-size={len(head)}",
    ):
        document = Tensors().decode(head + TAIL, Headers([("content-type", spelling)]))
        assert document["inputs"][0]["data"].tobytes() == TAIL


LENGTHS = ["0", "-5", "+5", "05", " 5", "5 ", "5.0", "0x5", "", "\u0665", "five", "1e2", "9" * 11, "9" * 5000, "5,5"]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_length_that_is_none(length: str) -> None:
    with pytest.raises(ValueError, match=r"^the length of the JSON part is no number, or given twice$"):
        read({"inputs": [tensor(16)]}, length=length)


def test_a_length_beyond_the_body() -> None:
    with pytest.raises(ValueError, match="longer than the body"):
        read({"inputs": [tensor(16)]}, length="999999")


def test_a_length_that_is_given_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        read({"inputs": [tensor(16)]}, TAIL, ("inference-header-content-length", "12"))
    head = json.dumps({"inputs": [tensor(16)]}).encode()
    for fields in (
        [("content-type", f"{SAGEMAKER};json-header-size={len(head)};json-header-size={len(head)}")],
        [
            ("content-type", f"{SAGEMAKER};json-header-size={len(head)}"),
            ("inference-header-content-length", str(len(head))),
        ],
        [("content-type", SAGEMAKER), ("inference-header-content-length", str(len(head)))],
    ):
        with pytest.raises(ValueError, match=r"twice|two servers"):
            Tensors().decode(head + TAIL, Headers(fields))


@pytest.mark.parametrize("off", [-1, 1])
def test_a_length_that_cuts_elsewhere(off: int) -> None:
    head = json.dumps({"inputs": [tensor(16)]}).encode()
    with pytest.raises(ValueError, match=r"^[^\x01]+$"):
        read(head, length=str(len(head) + off))


SIZES: list[Any] = [-1, 17, 2**31, 2**63, 2**64, 10**30, 1.0, 16.0, True, "16", None, [16], {}]


@pytest.mark.parametrize("size", SIZES)
def test_a_size_that_is_none(size: Any) -> None:
    with pytest.raises(ValueError, match="no number of bytes that are there"):
        read({"inputs": [tensor(size)]})


@pytest.mark.parametrize("sizes", [(), (0,), (8,), (15,), (8, 7), (8, 9), (16, 1), (16, 16), (17, -1), (-1, 17)])
def test_sizes_that_do_not_fill_the_body(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"belong to no tensor|no number of bytes"):
        read({"inputs": [tensor(size, datatype="INT8") for size in sizes]})


def test_a_tensor_with_data_twice() -> None:
    for data in ([1, 2, 3, 4], [], None):
        with pytest.raises(ValueError, match="twice"):
            read({"inputs": [tensor(16, data=data)]})


def test_a_size_in_a_body_that_is_all_json() -> None:
    for size in (0, 16):
        with pytest.raises(ValueError, match="all JSON"):
            Tensors().decode(json.dumps({"inputs": [tensor(size)]}).encode(), Headers([]))


@pytest.mark.parametrize("document", [[], "x", 1, None, {}, {"inputs": {}}, {"inputs": [1]}, {"inputs": None}])
def test_bytes_behind_a_document_without_tensors(document: Any) -> None:
    with pytest.raises(ValueError, match="belong to no tensor"):
        read(document)


def test_json_behind_the_json() -> None:
    with pytest.raises(ValueError, match="trailing"):
        read(json.dumps({"inputs": [tensor(16)]}).encode() + b" {}")


@pytest.mark.parametrize(
    "raw",
    [
        b"\0",
        b"\0\0\0",
        b"\1\0\0\0",
        b"\xff\xff\xff\xff",
        b"\xff\xff\xff\xffabc",
        b"\2\0\0\0a",
        b"\1\0\0\0a\0\0\0",
        b"\0\0\0\0\xff\xff\xff\x7f",
    ],
)
def test_texts_that_do_not_fill_their_tensor(raw: bytes) -> None:
    with pytest.raises(ValueError, match="longer than the tensor"):
        read({"inputs": [tensor(len(raw), datatype="BYTES")]}, raw)


def test_of_a_million_empty_texts_few_are_read() -> None:
    raw = bytes(4 * 1_000_000)
    with pytest.raises(ValueError, match=f"over {TEXTS_MAX} texts"):
        read({"inputs": [tensor(len(raw), datatype="BYTES")]}, raw)


def test_what_came_as_bytes_cannot_be_written_anew() -> None:
    codec = Tensors()
    assert codec.encode({"inputs": [{"name": "x", "data": ["a"]}]}) == b'{"inputs":[{"name":"x","data":["a"]}]}'
    with pytest.raises(ValueError, match="anew"):
        codec.encode(read({"inputs": [tensor(16)]}))


@given(st.lists(st.lists(st.binary(max_size=20), max_size=5), max_size=4))
def test_texts_are_read_as_they_were_written(tensors: list[list[bytes]]) -> None:
    raws = [b"".join(struct.pack("<I", len(text)) + text for text in texts) for texts in tensors]
    document = read({"inputs": [tensor(len(raw), datatype="BYTES") for raw in raws]}, b"".join(raws))
    found = [item["data"] for item in document["inputs"]]
    assert [[text.encode() if isinstance(text, str) else text for text in texts] for texts in found] == tensors


@given(st.binary(max_size=200), st.integers(-3, 210), st.lists(st.integers(-2, 60), max_size=4))
def test_any_body_is_read_or_refused(tail: bytes, shift: int, sizes: list[int]) -> None:
    head = json.dumps({"inputs": [tensor(size, datatype="BYTES" if size % 2 else "INT8") for size in sizes]}).encode()
    try:
        document = read(head, tail, length=str(max(1, len(head) + shift - 3)))
    except ValueError:
        return
    assert sum(sizes) == len(tail)
    assert len(document["inputs"]) == len(sizes)
