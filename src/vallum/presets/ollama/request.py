"""Requests of Ollama's own API: chat, generate, embed and the older embeddings.

What it stops
    Members and options that the API does not have, in any other spelling as well: Ollama reads `KEEP_ALIVE` as
    `keep_alive`.  An answer without end (`num_predict` -1 and -2), a context that no memory holds (`num_ctx`).
    A `keep_alive` of 0, of less than a minute, without end, or over the bound: a stranger unloads the model that others
    use, or keeps it loaded for ever; a request without messages or prompt does nothing but that.
    Refused although the API has them: REFUSALS, and the options by which a model is loaded.
    What manages models (`/api/pull`, `push`, `delete`, `create`, `copy`, `blobs`, `show`, `ps`) has no preset, so no
    route of these presets ever reaches it.
Config
    `request.bounds`: CHAT_BOUNDS, GENERATE_BOUNDS, EMBED_BOUNDS.
Cost
    About 3 us for a conversation of ten messages.
Misses
    `system`, and a message of the role, takes the place of the system prompt in the owner's Modelfile: deny the field
    where that must stand.  A `num_ctx` that differs from call to call makes the server load the model anew: bound it to
    the one that the model is served with.  What is in a picture.
Example
    preset: ollama.chat
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.content import Attachment, Takes
from vallum.presets.preset import Bound, Input
from vallum.presets.shape import (
    ANY_OBJECT,
    COMPILED_SCHEMA,
    FLAG,
    REFUSED,
    Shape,
    by_kind,
    compiled_schema,
    either,
    listed,
    nested,
    number,
    one_of,
    or_null,
    record,
    text,
    whole,
)

if TYPE_CHECKING:
    from vallum.presets.preset import Bounds

KEEP_ALIVE_LEAST_S = 60  # less, and the model is gone before the next caller comes
COMMON = {
    "chars": Bound(1_000_000, "characters of one text"),
    "schema_depth": Bound(16, "levels of a call's arguments"),
    "keep_alive_s": Bound(600, "seconds for which a model may be kept loaded"),
    "num_ctx": Bound(32_768, "tokens of context that may be asked for"),
}
ANSWERED = {
    "max_tokens": Bound(32_768, "tokens of an answer that may be asked for: options.num_predict"),
    "images": Bound(16, "pictures in one message"),
    "data_chars": Bound(14_000_000, "characters of one picture in base64"),
    "stop_sequences": Bound(16, "texts that end an answer"),
}
CHAT_BOUNDS = {
    "messages": Bound(1000, "messages in a conversation"),
    "tools": Bound(128, "tools that are offered"),
    "tool_calls": Bound(128, "calls of tools in one message"),
    **COMMON,
    **ANSWERED,
}
GENERATE_BOUNDS = {**COMMON, **ANSWERED}
EMBEDDINGS_BOUNDS = {name: COMMON[name] for name in ("chars", "keep_alive_s", "num_ctx")}
EMBED_BOUNDS = {"inputs": Bound(512, "texts in one call"), **EMBEDDINGS_BOUNDS}

LOADS = "makes the server load the model anew, for everybody"
LOADING = (
    "embedding_only",
    "f16_kv",
    "logits_all",
    "low_vram",
    "main_gpu",
    "num_batch",
    "num_gpu",
    "num_thread",
    "numa",
    "use_mlock",
    "use_mmap",
    "vocab_only",
)
LOADING_REFUSALS = dict.fromkeys(LOADING, LOADS)
REFUSALS = {
    "_debug_render_only": "shows the owner's template and system prompt",
    **LOADING_REFUSALS,
}
PICTURES = "an experiment in making pictures, of any size"
GENERATE_REFUSALS = {
    **REFUSALS,
    "context": "text as numbers of tokens: no check can read it, and it may hold marks that only templates set",
    "height": PICTURES,
    "raw": "leaves out the owner's template and system prompt",
    "steps": PICTURES,
    "template": "a program that the server runs in the place of the owner's template",
    "width": PICTURES,
}

CHAT_IMAGES = (Attachment("messages.*.images", "image", Takes.BASE64),)
GENERATE_IMAGES = (Attachment("images", "image", Takes.BASE64),)
CHAT_INPUTS = (Input("messages.*.content", "text"), Input("messages.*.images.*", "image"))
GENERATE_INPUTS = (Input("prompt", "text"), Input("images.*", "image"))
EMBED_INPUTS = (Input("input", "text"), Input("input.*", "text"))
EMBEDDINGS_INPUTS = (Input("prompt", "text"),)

NAME: Shape = {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,128}$"}  # of a tool, a call
MODEL: Shape = {"type": "string", "pattern": "^[!-~]{1,256}$"}
SEED = whole(-(2**31), 2**32)
THINK = one_of(True, False, "low", "medium", "high", "max", None)


def _keep_alive(most_s: int) -> Shape:
    """Describe a bounded time: seconds as a number, or a number of one unit, as clients write it."""
    units = {"s": 1, "m": 60, "h": 3600}
    steps = {unit: max(30, size) for unit, size in units.items()}  # whole half minutes
    texts = [
        f"{seconds // size}{unit}"
        for unit, size in units.items()
        for seconds in range(KEEP_ALIVE_LEAST_S, most_s + 1, 30)
        if seconds % steps[unit] == 0
    ]
    return {
        "type": ["number", "string", "null"],
        "minimum": KEEP_ALIVE_LEAST_S,
        "maximum": most_s,
        "if": {"type": "string"},
        "then": {"enum": texts},
    }


def _loading(bounds: Bounds) -> dict[str, Shape]:
    """Describe the members that every call shares."""
    return {"model": MODEL, "keep_alive": _keep_alive(bounds["keep_alive_s"])}


def _sampling(bounds: Bounds) -> dict[str, Any]:
    """Describe the options of a call that generates."""
    chance, weight = or_null(number(0, 1)), or_null(number(-2, 2))
    return {
        "num_predict": or_null(whole(1, bounds["max_tokens"])),
        "num_ctx": or_null(whole(1, bounds["num_ctx"])),
        "num_keep": or_null(whole(-1, bounds["num_ctx"])),
        "repeat_last_n": or_null(whole(-1, bounds["num_ctx"])),
        "seed": or_null(SEED),
        "temperature": or_null(number(0, 5)),
        "top_k": or_null(whole(0, 1_000_000)),
        "top_p": chance,
        "min_p": chance,
        "typical_p": chance,
        "tfs_z": or_null(number(0, 100)),
        "repeat_penalty": or_null(number(0, 100)),
        "presence_penalty": weight,
        "frequency_penalty": weight,
        "mirostat": or_null(one_of(0, 1, 2)),
        "mirostat_tau": or_null(number(0, 100)),
        "mirostat_eta": or_null(number(0, 1)),
        "penalize_newline": or_null(FLAG),
        "stop": or_null(either(text(256), listed(text(256, 1), bounds["stop_sequences"]))),
        **dict.fromkeys(LOADING, REFUSED),
    }


def _answering(bounds: Bounds) -> dict[str, Any]:
    """Describe the members that a chat and a generation share."""
    return {
        **_loading(bounds),
        "options": or_null(record(**_sampling(bounds))),
        "stream": or_null(FLAG),
        "format": {"if": {"type": "object"}, "then": COMPILED_SCHEMA, "else": one_of("", "json", None)},
        "think": THINK,
        "truncate": or_null(FLAG),
        "shift": or_null(FLAG),
        "logprobs": or_null(FLAG),
        "top_logprobs": or_null(whole(0, 20)),
        "_debug_render_only": REFUSED,
    }


def _definitions(bounds: Bounds) -> dict[str, Any]:
    return nested(bounds["schema_depth"], chars=bounds["chars"]) | compiled_schema(bounds["chars"])


def _images(bounds: Bounds) -> Shape:
    return or_null(listed(text(bounds["data_chars"], 1), bounds["images"]))


def _messages(bounds: Bounds) -> Shape:
    said = text(bounds["chars"])
    call = record(
        "function",
        id=NAME,
        type=one_of("function"),
        function=record("name", name=NAME, index=whole(0, 1024), description=said, arguments=or_null(ANY_OBJECT)),
    )
    shared: dict[str, Shape] = {"content": or_null(said), "images": _images(bounds)}
    roles: dict[str, dict[str, Shape]] = {
        "system": {},
        "user": {},
        "assistant": {"thinking": or_null(said), "tool_calls": or_null(listed(call, bounds["tool_calls"]))},
        "tool": {"tool_name": NAME, "tool_call_id": NAME},
    }
    shapes = {role: record(**shared, **own) for role, own in roles.items()}
    return listed(by_kind("role", shapes), bounds["messages"], 1)


def _tool(chars: int) -> Shape:
    function = record(
        "name", name=NAME, description=or_null(text(chars)), parameters=or_null(COMPILED_SCHEMA), strict=FLAG
    )
    return record("function", type=one_of("function"), function=function)


def chat(bounds: Bounds) -> Shape:
    """Return the schema of POST /api/chat."""
    tools = or_null(listed(_tool(bounds["chars"]), bounds["tools"]))
    body = record("model messages", messages=_messages(bounds), tools=tools, **_answering(bounds))
    return {"$defs": _definitions(bounds), **body}


def generate(bounds: Bounds) -> Shape:
    """Return the schema of POST /api/generate."""
    body = record(
        "model prompt",
        prompt=text(bounds["chars"], 1),
        suffix=or_null(text(bounds["chars"])),
        system=or_null(text(bounds["chars"])),
        images=_images(bounds),
        **{name: REFUSED for name in GENERATE_REFUSALS if name not in REFUSALS},
        **_answering(bounds),
    )
    return {"$defs": _definitions(bounds), **body}


def _embedding(bounds: Bounds) -> dict[str, Any]:
    options: dict[str, Any] = {
        "num_ctx": or_null(whole(1, bounds["num_ctx"])),
        "seed": or_null(SEED),
        **dict.fromkeys(LOADING, REFUSED),
    }
    return {**_loading(bounds), "options": or_null(record(**options))}


def embed(bounds: Bounds) -> Shape:
    """Return the schema of POST /api/embed."""
    one = text(bounds["chars"], 1)
    texts = either(one, listed(one, bounds["inputs"], 1))
    return record(
        "model input",
        input=texts,
        truncate=or_null(FLAG),
        dimensions=or_null(whole(1, 65_536)),
        **_embedding(bounds),
    )


def embeddings(bounds: Bounds) -> Shape:
    """Return the schema of POST /api/embeddings."""
    return record("model prompt", prompt=text(bounds["chars"], 1), **_embedding(bounds))
