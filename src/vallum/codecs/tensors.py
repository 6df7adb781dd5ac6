"""The Open Inference Protocol's bodies: JSON, or JSON with the bytes of tensors behind it.

Rule: a server believes the length of the JSON part, so it is given exactly once, and every byte of the body belongs
to that part or to one tensor; what two servers could divide in two ways is not read at all.

In the document the `data` of a tensor that came as bytes is an array of its datatype, which is a view of the body and
copies nothing (but for BF16, which becomes FP32), or the list of its texts where that is BYTES (bytes in the place of a
text that is not UTF-8).  Such a body cannot be written anew: the length of its JSON part stands in a header field.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from vallum.codecs.json import Json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vallum.core.exchange import Headers

JSON_BYTES = "inference-header-content-length"  # the field that says how long the JSON part is
SAGEMAKER = "application/vnd.sagemaker-triton.binary+json"  # which says it in a parameter instead
MEDIA_TYPES = ("application/json", "application/octet-stream", SAGEMAKER, "")
LENGTH = re.compile(r"[1-9][0-9]{0,9}")
PREFIX_BYTES = 4  # before each text of a BYTES tensor: its length, little-endian
# As numbers lie in a body: little-endian, row by row.
LAYOUTS = {
    "BOOL": "u1",
    "FP16": "<f2",
    "BF16": "<u2",
    "FP32": "<f4",
    "FP64": "<f8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
}
TEXTS_MAX = 65_536  # of one tensor: each costs a step


class Tensors(Json):
    """Reads requests for inference."""

    def decode(self, body: bytes, headers: Headers | None = None) -> Any:
        """Parse `body`; raise ValueError, which quotes nothing, where its parts do not fill it exactly."""
        length = _json_bytes(headers)
        if length is not None and length > len(body):
            raise ValueError("the JSON part is longer than the body")
        at = len(body) if length is None else length
        document = super().decode(body[:at])
        for tensor, size in _sized(document):
            if length is None:
                raise ValueError("a tensor is to be binary in a body that is all JSON")
            if type(size) is not int or not 0 <= size <= len(body) - at:
                raise ValueError("binary_data_size is no number of bytes that are there")
            if "data" in tensor:
                raise ValueError("a tensor has data twice, in JSON and as bytes")
            tensor["data"] = _read_data(memoryview(body)[at : at + size], tensor.get("datatype"))
            at += size
        if at != len(body):
            raise ValueError("bytes that belong to no tensor")
        return document

    def encode(self, document: Any) -> bytes:
        """Serialise a document that came as JSON alone; raise ValueError for any other."""
        if any(True for _ in _sized(document)):
            raise ValueError("binary tensors cannot be written anew")
        return super().encode(document)


def _json_bytes(headers: Headers | None) -> int | None:
    """Return the length of the JSON part; None where all of the body is JSON."""
    if headers is None:
        return None
    given = headers.all(JSON_BYTES)
    media_type, *parameters = (headers.get("content-type") or "").split(";")
    if media_type.strip().lower() == SAGEMAKER:
        if given:
            raise ValueError("the length of the JSON part is given for two servers")
        pairs = [parameter.strip().partition("=") for parameter in parameters]
        given = [value for name, _, value in pairs if name.lower() == "json-header-size"]
    if not given:
        return None
    if len(given) > 1 or not LENGTH.fullmatch(given[0]):
        raise ValueError("the length of the JSON part is no number, or given twice")
    return int(given[0])


def _sized(document: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield the tensors that say how many bytes are theirs, in the order of those bytes."""
    tensors = document.get("inputs") if isinstance(document, dict) else None
    for tensor in tensors if isinstance(tensors, list) else ():
        parameters = tensor.get("parameters") if isinstance(tensor, dict) else None
        if isinstance(parameters, dict) and "binary_data_size" in parameters:
            yield tensor, parameters["binary_data_size"]


def _read_data(part: memoryview, datatype: Any) -> Any:
    """Read what lies in a tensor's bytes; no bytes of an unknown datatype are read at all."""
    if datatype == "BYTES":
        return _read_texts(part)
    layout = LAYOUTS.get(datatype) if isinstance(datatype, str) else None
    if layout is None:
        raise ValueError("a binary tensor without a datatype")
    try:
        numbers: Any = np.frombuffer(part, layout) if part.nbytes else np.empty(0, layout)
    except ValueError as error:
        raise ValueError("a binary tensor that ends within an element") from error
    if datatype == "BF16":  # FP32 without its lower half
        return (numbers.astype("<u4") << 16).view("<f4")
    return numbers


def _read_texts(part: memoryview) -> list[str | bytes]:
    """Walk the texts of a BYTES tensor, which fill it exactly."""
    raw = bytes(part)
    texts: list[str | bytes] = []
    at = 0
    while at < len(raw):
        start = at + PREFIX_BYTES
        at = start + int.from_bytes(raw[at:start], "little")
        if at > len(raw) or start > len(raw):
            raise ValueError("a text of a BYTES tensor is longer than the tensor")
        if len(texts) >= TEXTS_MAX:
            raise ValueError(f"a BYTES tensor has over {TEXTS_MAX} texts")
        text = raw[start:at]
        try:
            texts.append(text.decode())
        except UnicodeDecodeError:
            texts.append(text)
    return texts
