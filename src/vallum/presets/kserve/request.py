"""What may come in for inference by tensors.  What a schema cannot say of them is the check `tensors`'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.content import Passage, Voice
from vallum.presets.preset import Bound, Bounds, Input, RequestForm
from vallum.presets.shape import FLAG, REFUSED, Shape, either, listed, number, one_of, record, text, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

DATATYPES = (
    "BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FP16 BF16 FP32 FP64 BYTES"  # exactly so, in capitals
).split()
# How MLServer is to read a tensor.  None of these runs code of the caller's; pickles, which would, are not among them.
CONTENT_TYPE = one_of("base64", "datetime", "np", "pd", "str")
LENGTH_MAX = 2**31 - 1  # of one dimension: no product of a few overflows 64 bits unseen, for `elements` bounds it
NAME = {"minLength": 1, "pattern": r"^[^\x00-\x1f\x7f]+$"}
SHARED = "makes the server read and write its own memory where the caller points"
REFUSED_MEMBERS = {
    "shared_memory_region": SHARED,
    "shared_memory_offset": SHARED,
    "shared_memory_byte_size": SHARED,
    "sequence_id": "joins a sequence of requests, which may be another caller's",
    "sequence_start": "begins such a sequence",
    "sequence_end": "ends such a sequence",
    "priority": "overtakes other callers; a route's `priority` is the owner's to give",
    "timeout": "keeps a request waiting as long as the caller likes",
}
NO_MEMORY = dict.fromkeys((name for name in REFUSED_MEMBERS if name.startswith("shared_")), REFUSED)
NO_ORDER = dict.fromkeys((name for name in REFUSED_MEMBERS if not name.startswith("shared_")), REFUSED)

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


def _infer(bounds: Bounds, *, binary: bool) -> Shape:
    name = {**text(bounds["name_chars"]), **NAME}
    as_bytes = FLAG if binary else one_of(False)  # Triton's client always says which it wants
    size = {"binary_data_size": whole(0, LENGTH_MAX)} if binary else {}
    tensor = record(
        "name shape datatype data",
        name=name,
        shape=listed(whole(0, LENGTH_MAX), bounds["rank"]),
        datatype=one_of(*DATATYPES),
        parameters=record(content_type=CONTENT_TYPE, **size, **NO_MEMORY),
        # Of a binary tensor it is no JSON, so a binary body's schema leaves all of it to the check.
        data=True if binary else {"type": "array"},
    )
    asked = record(binary_data=as_bytes, classification=whole(0, 1000), content_type=CONTENT_TYPE, **NO_MEMORY)
    return record(
        "inputs",
        id=name,
        inputs=listed(tensor, bounds["inputs"], 1),
        outputs=listed(record("name", name=name, parameters=asked), bounds["outputs"]),
        parameters=record(binary_data_output=as_bytes, content_type=CONTENT_TYPE, **NO_ORDER),
    )


def infer(bounds: Bounds) -> Shape:
    """Return the schema of a request whose tensors may be binary."""
    return _infer(bounds, binary=True)


def infer_json(bounds: Bounds) -> Shape:
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
    refused=REFUSED_MEMBERS,
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
    refused=REFUSED_MEMBERS,
    checks=("tensors",),
    passages=texts,
    inputs=INPUTS,
)

# --- Triton's generate extension --------------------------------------------------------------------------------------

SEED_MAX = 2**63 - 1
GENERATE_BOUNDS = {
    "text_chars": Bound(100_000, "length of the prompt"),
    "max_tokens": Bound(32_768, "most tokens of an answer that may be asked for"),
    "stops": Bound(16, "words that end or may not stand in an answer"),
}


def generate(bounds: Bounds) -> Shape:
    """Return the schema of a request to generate text, with settings at its top (TensorRT-LLM) or apart (vLLM)."""
    tokens, word = bounds["max_tokens"], text(200)
    words = either(word, listed(word, bounds["stops"]))
    settings: dict[str, Shape] = {
        "stream": FLAG,
        "max_tokens": whole(1, tokens),
        "min_tokens": whole(0, tokens),
        "min_length": whole(0, tokens),
        "temperature": number(0, 10),
        "top_p": number(0, 1),
        "top_k": whole(-1, 10_000),
        "min_p": number(0, 1),
        "repetition_penalty": number(0, 10),
        "presence_penalty": number(-2, 2),
        "frequency_penalty": number(-2, 2),
        "length_penalty": number(-10, 10),
        "beam_width": whole(1, 8),
        "seed": whole(0, SEED_MAX),
        "random_seed": whole(0, SEED_MAX),
        "end_id": whole(0, LENGTH_MAX),
        "pad_id": whole(0, LENGTH_MAX),
        "stop": words,
        "stop_words": words,
        "bad_words": words,
        "ignore_eos": FLAG,
        "exclude_input_in_output": FLAG,
        "return_log_probs": FLAG,
        "return_context_logits": FLAG,
        "return_generation_logits": FLAG,
    }
    return record(
        "text_input",
        id={**text(128), **NAME},
        text_input=text(bounds["text_chars"], 1),
        parameters=record(**settings),
        **settings,
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
