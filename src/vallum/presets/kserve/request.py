"""What may come in for inference by tensors.  What a schema cannot say of them is the check `tensors`'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.content import Passage, Voice
from vallum.presets.preset import Bound, Bounds, Input, RequestForm

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DATATYPES = (
    "BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FP16 BF16 FP32 FP64 BYTES"  # exactly so, in capitals
).split()
# How MLServer is to read a tensor.  None of these runs code of the caller's; pickles, which would, are not among them.
CONTENT_TYPES = ["base64", "datetime", "np", "pd", "str"]
LENGTH_MAX = 2**31 - 1  # of one dimension: no product of a few overflows 64 bits unseen, for `elements` bounds it
NAME = r"^[^\x00-\x1f\x7f]+$"
# Shared memory (`shared_memory_region`, `_offset`, `_byte_size`) makes the server read its own memory where a caller
# points, and write there: no parameter here names it.  Nor `sequence_id`, which joins another caller's sequence, nor
# `priority` and `timeout`, which are the owner's to give.
CONTENT_TYPE = {"content_type": {"enum": CONTENT_TYPES}}
SIZE = {"binary_data_size": {"type": "integer", "minimum": 0, "maximum": LENGTH_MAX}}
OUTPUT_PARAMETERS = {
    "classification": {"type": "integer", "minimum": 0, "maximum": 1000},
    **CONTENT_TYPE,
}

JSON_BOUNDS = {
    "inputs": Bound(16, "tensors in a request"),
    "outputs": Bound(16, "outputs asked for"),
    "rank": Bound(8, "dimensions of a tensor"),
    "elements": Bound(1_048_576, "elements of all tensors together"),
    "name_chars": Bound(128, "length of a tensor's name, and of a request's id"),
    "text_bytes": Bound(65_536, "length of one text of a BYTES tensor"),
    "empty": Bound(0, "tensors that have no elements"),
}
BOUNDS = JSON_BOUNDS | {
    "not_finite": Bound(0, "numbers of binary tensors that are NaN or infinite"),
    "not_text": Bound(0, "elements of binary BYTES tensors that are not UTF-8, which no check reads"),
}


def _object(members: Mapping[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(members),
        "required": list(required),
        "additionalProperties": False,
    }


def _infer(bounds: Bounds, *, binary: bool) -> dict[str, Any]:
    name = {"type": "string", "maxLength": bounds["name_chars"], "pattern": NAME}
    as_bytes = {"type": "boolean"} if binary else {"const": False}  # Triton's client always says which it wants
    tensor = {
        "name": name,
        "shape": {
            "type": "array",
            "maxItems": bounds["rank"],
            "items": {"type": "integer", "minimum": 0, "maximum": LENGTH_MAX},
        },
        "datatype": {"enum": DATATYPES},
        "parameters": _object(SIZE | CONTENT_TYPE if binary else CONTENT_TYPE),
        # Of a binary tensor it is no JSON, so a binary body's schema leaves all of it to the check.
        "data": True if binary else {"type": "array"},
    }
    return _object(
        {
            "id": {"type": "string", "maxLength": bounds["name_chars"], "pattern": NAME},
            "inputs": {
                "type": "array",
                "minItems": 1,
                "maxItems": bounds["inputs"],
                "items": _object(tensor, "name", "shape", "datatype", "data"),
            },
            "outputs": {
                "type": "array",
                "maxItems": bounds["outputs"],
                "items": _object(
                    {"name": name, "parameters": _object({"binary_data": as_bytes} | OUTPUT_PARAMETERS)}, "name"
                ),
            },
            "parameters": _object({"binary_data_output": as_bytes} | CONTENT_TYPE),
        },
        "inputs",
    )


def infer(bounds: Bounds) -> dict[str, Any]:
    """Return the schema of a request whose tensors may be binary."""
    return _infer(bounds, binary=True)


def infer_json(bounds: Bounds) -> dict[str, Any]:
    """Return the schema of a request that is JSON alone, and so is its answer."""
    return _infer(bounds, binary=False)


def texts(document: Any) -> Iterator[Passage]:
    """Yield the texts of BYTES tensors."""
    tensors = document.get("inputs") if isinstance(document, dict) else None
    for index, tensor in enumerate(tensors if isinstance(tensors, list) else ()):
        if isinstance(tensor, dict) and tensor.get("datatype") == "BYTES":
            waiting = [(f"/inputs/{index}/data", tensor.get("data"))]
            while waiting:
                where, item = waiting.pop()
                if isinstance(item, str):
                    yield Passage(Voice.USER, where, item)
                elif isinstance(item, list):
                    waiting.extend([(f"{where}/{at}", item[at]) for at in reversed(range(len(item)))])


INPUTS = (Input("inputs.*.data", "vector"), Input("inputs.*.data", "text"))
# Triton's own clients name no type, or the one that their library names.
MEDIA_TYPES = ("application/json", "application/octet-stream", "")
INFER = RequestForm(
    media_types=(*MEDIA_TYPES, "application/vnd.sagemaker-triton.binary+json"),
    codec="tensors",
    rewritable=False,
    bounds=BOUNDS,
    schema=infer,
    checks=("tensors",),
    passages=texts,
    inputs=INPUTS,
    headers=frozenset({"inference-header-content-length"}),
)
INFER_JSON = RequestForm(
    media_types=MEDIA_TYPES,
    codec="tensors",
    bounds=JSON_BOUNDS,
    schema=infer_json,
    checks=("tensors",),
    passages=texts,
    inputs=INPUTS,
)

# --- Triton's generate extension --------------------------------------------------------------------------------------

GENERATE_BOUNDS = {
    "text_chars": Bound(100_000, "length of the prompt"),
    "max_tokens": Bound(32_768, "most tokens of an answer that may be asked for"),
    "stops": Bound(16, "words that end or may not stand in an answer"),
}


def generate(bounds: Bounds) -> dict[str, Any]:
    """Return the schema of a request to generate text, with settings at its top (TensorRT-LLM) or apart (vLLM)."""
    words = {"type": ["string", "array"], "maxLength": 200, "maxItems": bounds["stops"],
             "items": {"type": "string", "maxLength": 200}}  # fmt: skip
    settings = {
        "stream": {"type": "boolean"},
        "max_tokens": {"type": "integer", "minimum": 1, "maximum": bounds["max_tokens"]},
        "min_tokens": {"type": "integer", "minimum": 0, "maximum": bounds["max_tokens"]},
        "min_length": {"type": "integer", "minimum": 0, "maximum": bounds["max_tokens"]},
        "temperature": {"type": "number", "minimum": 0, "maximum": 10},
        "top_p": {"type": "number", "minimum": 0, "maximum": 1},
        "top_k": {"type": "integer", "minimum": -1, "maximum": 10_000},
        "min_p": {"type": "number", "minimum": 0, "maximum": 1},
        "repetition_penalty": {"type": "number", "minimum": 0, "maximum": 10},
        "presence_penalty": {"type": "number", "minimum": -2, "maximum": 2},
        "frequency_penalty": {"type": "number", "minimum": -2, "maximum": 2},
        "length_penalty": {"type": "number", "minimum": -10, "maximum": 10},
        "beam_width": {"type": "integer", "minimum": 1, "maximum": 8},
        "seed": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
        "random_seed": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
        "end_id": {"type": "integer", "minimum": 0, "maximum": LENGTH_MAX},
        "pad_id": {"type": "integer", "minimum": 0, "maximum": LENGTH_MAX},
        "stop": words,
        "stop_words": words,
        "bad_words": words,
        "ignore_eos": {"type": "boolean"},
        "exclude_input_in_output": {"type": "boolean"},
        "return_log_probs": {"type": "boolean"},
        "return_context_logits": {"type": "boolean"},
        "return_generation_logits": {"type": "boolean"},
    }
    text = {"type": "string", "minLength": 1, "maxLength": bounds["text_chars"]}
    return _object(
        settings
        | {
            "id": {"type": "string", "maxLength": 128, "pattern": NAME},
            "text_input": text,
            "parameters": _object(settings),
        },
        "text_input",
    )


def prompt(document: Any) -> Iterator[Passage]:
    """Yield the prompt."""
    text = document.get("text_input") if isinstance(document, dict) else None
    if isinstance(text, str):
        yield Passage(Voice.USER, "/text_input", text)


GENERATE = RequestForm(
    bounds=GENERATE_BOUNDS,
    schema=generate,
    passages=prompt,
    inputs=(Input("text_input", "text"),),
)
