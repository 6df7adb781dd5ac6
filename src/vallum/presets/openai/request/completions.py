"""Completions and embeddings: POST /v1/completions and /v1/embeddings, which take prompts in four shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.presets.openai.passages import prompt_passages
from vallum.presets.openai.request.members import (
    ANSWERS,
    BIAS_BOUNDS,
    CHARACTERS,
    ECHOED,
    ID,
    NUDGED,
    OUTPUT_TOKENS,
    STOPS,
    common,
    optional,
    sampling,
)
from vallum.presets.preset import Bound, Input, RequestForm, counts
from vallum.presets.shape import FLAG, Shape, one_of, or_null, record, text, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.presets.preset import Bounds

TOKEN: Shape = whole(0, 10_000_000)

COMPLETION_BOUNDS: Mapping[str, Bound] = {
    "prompts": Bound(16, "prompts of one request"),
    "tokens": Bound(131_072, "ids of tokens of one prompt"),
    "chars": CHARACTERS,
    "max_tokens": OUTPUT_TOKENS,
    "n": ANSWERS,
    "best_of": Bound(8, "answers of which the best is chosen"),
    "stop": STOPS,
    **BIAS_BOUNDS,
}
EMBEDDING_BOUNDS: Mapping[str, Bound] = {
    "inputs": Bound(2048, "texts of one request"),
    "tokens": Bound(8192, "ids of tokens of one text"),
    "chars": Bound(32_768, "characters of one text"),
    "dimensions": Bound(16_384, "numbers of one embedding"),
}


def prompts(bounds: Bounds, many: str, least: int = 0) -> Shape:
    """Take a text, a list of texts, a list of token ids, or a list of such lists."""
    tokens = {"type": "array", "items": TOKEN, "minItems": 1, "maxItems": bounds["tokens"]}
    several = {"items": {**tokens, "type": ["string", "array"], "maxLength": bounds["chars"], "minLength": least}}
    return {
        "type": ["string", "array"],
        "maxLength": bounds["chars"],
        "minLength": least,
        "minItems": 1,
        "if": {"type": "array", "prefixItems": [{"type": "integer"}]},
        "then": {"maxItems": bounds["tokens"], "items": TOKEN},
        "else": {"maxItems": bounds[many], **several},
    }


def completion_members(bounds: Bounds) -> dict[str, Any]:
    """Return all members of a completion."""
    known = common({**bounds, "metadata": 0})
    return {
        "model": ID,
        "prompt": prompts(bounds, "prompts"),
        **{name: known[name] for name in ("stream", "temperature", "top_p", "user")},
        **sampling(bounds),
        **optional(
            best_of=whole(1, bounds["best_of"]),
            echo=FLAG,
            logprobs=whole(0, 5),
            suffix=text(bounds["chars"]),
        ),
    }


def completion(bounds: Bounds) -> Mapping[str, Any]:
    """Write the schema of a completion."""
    return record("model prompt", **completion_members(bounds))


def embedding(bounds: Bounds) -> Mapping[str, Any]:
    """Write the schema of a request for embeddings."""
    return record(
        "model input",
        model=ID,
        input=prompts(bounds, "inputs", 1),
        dimensions=or_null(whole(1, bounds["dimensions"])),
        encoding_format=one_of("float", "base64", None),
        user=or_null(text(256)),
    )


WEIGHTS = (counts("prompt"), counts("n", "best_of"), NUDGED, ECHOED)
COMPLETIONS = RequestForm(
    bounds=COMPLETION_BOUNDS,
    schema=completion,
    weights=WEIGHTS,
    passages=prompt_passages("prompt", "suffix"),
    inputs=(Input("prompt", "text"), Input("prompt.*", "text")),
)
EMBEDDINGS = RequestForm(
    bounds=EMBEDDING_BOUNDS,
    schema=embedding,
    passages=prompt_passages("input"),
    inputs=(Input("input", "text"), Input("input.*", "text")),
)
