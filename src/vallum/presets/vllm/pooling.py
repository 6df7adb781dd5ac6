"""What may come in to vLLM's calls beside chat and completions: embeddings, scores, classes, tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.presets.openai.passages import prompt_passages
from vallum.presets.openai.request.completions import EMBEDDING_BOUNDS, TOKEN, prompts
from vallum.presets.openai.request.members import ID, optional
from vallum.presets.preset import Bound, Input, RequestForm
from vallum.presets.shape import FLAG, REFUSED, Shape, either, listed, one_of, or_null, record, text, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vallum.presets.preset import Bounds

BOUNDS: Mapping[str, Bound] = {name: bound for name, bound in EMBEDDING_BOUNDS.items() if name != "dimensions"}
PAIRS: Mapping[str, Bound] = {name: BOUNDS[name] for name in ("inputs", "chars")}
DANGEROUS: Mapping[str, str] = {
    "chat_template": "a template that the server runs (Jinja): code of the caller's, with the system prompt in reach",
    "mm_processor_kwargs": "arguments of the model's own preprocessor, such as the pixels that it may take",
    "priority": "lets the caller pass others in the queue",
    "request_id": "what the server calls the exchange: two of one name mix",
}


def _served() -> dict[str, Any]:
    """Return what all of these calls take."""
    # Without its activation the server answers with logits, under the name of scores.
    never = {"use_activation": one_of(True, None)}
    return (
        dict.fromkeys(DANGEROUS, REFUSED)
        | never
        | optional(
            add_special_tokens=FLAG,
            normalize=FLAG,
            truncate_prompt_tokens=whole(-1, 10_000_000),
            user=text(256),
        )
    )


def _pooled(*, dimensions: bool) -> Callable[[Bounds], Mapping[str, Any]]:
    def schema(bounds: Bounds) -> Mapping[str, Any]:
        size = {"dimensions": or_null(whole(1, bounds["dimensions"]))} if dimensions else {}
        written = {"encoding_format": one_of("float", "base64", None), **size}
        return record("input", model=or_null(ID), input=prompts(bounds, "inputs", 1), **written, **_served())

    return schema


def _classified(bounds: Bounds) -> Mapping[str, Any]:
    return record("input", model=or_null(ID), input=prompts(bounds, "inputs", 1), **_served())


def _scored(bounds: Bounds) -> Mapping[str, Any]:
    side = _texts(bounds)
    return record("text_1 text_2", model=or_null(ID), text_1=side, text_2=side, **_served())


def _ranked(bounds: Bounds) -> Mapping[str, Any]:
    documents = listed(text(bounds["chars"]), bounds["inputs"], 1)
    top = {"top_n": or_null(whole(0, bounds["inputs"])), "return_documents": or_null(FLAG)}
    return record(
        "query documents", model=or_null(ID), query=text(bounds["chars"], 1), documents=documents, **top, **_served()
    )


def _split(bounds: Bounds) -> Mapping[str, Any]:
    shown = optional(add_special_tokens=FLAG, return_token_strs=FLAG)
    return record("prompt", model=or_null(ID), prompt=text(bounds["chars"]), chat_template=REFUSED, **shown)


def _joined(bounds: Bounds) -> Mapping[str, Any]:
    return record("tokens", model=or_null(ID), tokens=listed(TOKEN, bounds["tokens"]))


def _texts(bounds: Bounds) -> Shape:
    return either(text(bounds["chars"], 1), listed(text(bounds["chars"]), bounds["inputs"], 1))


def _form(schema: Callable[[Bounds], Mapping[str, Any]], bounds: Mapping[str, Bound], *names: str) -> RequestForm:
    places = tuple(Input(path, "text") for name in names for path in (name, f"{name}.*"))
    return RequestForm(bounds=bounds, schema=schema, refused=DANGEROUS, passages=prompt_passages(*names), inputs=places)


FORMS: Mapping[str, RequestForm] = {
    "vllm.classify": _form(_classified, BOUNDS, "input"),
    "vllm.detokenize": RequestForm(bounds={"tokens": BOUNDS["tokens"]}, schema=_joined),
    "vllm.embeddings": _form(_pooled(dimensions=True), EMBEDDING_BOUNDS, "input"),
    "vllm.pooling": _form(_pooled(dimensions=False), BOUNDS, "input"),
    "vllm.rerank": _form(_ranked, PAIRS, "query", "documents"),
    "vllm.score": _form(_scored, PAIRS, "text_1", "text_2"),
    "vllm.tokenize": RequestForm(
        bounds={"chars": BOUNDS["chars"]},
        schema=_split,
        refused={"chat_template": DANGEROUS["chat_template"]},
        passages=prompt_passages("prompt"),
        inputs=(Input("prompt", "text"),),
    ),
}
