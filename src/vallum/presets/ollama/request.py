"""Requests of Ollama's own API: chat, generate, embed and the older embeddings.

What it stops
    Members and options that the API does not have, in any other spelling as well: Ollama reads `KEEP_ALIVE` as
    `keep_alive`.  An answer without end (`num_predict` -1 and -2), a context that no memory holds (`num_ctx`).
    Refused although the API has them:
    - `keep_alive` of 0, of less than a minute, without end, or over the bound: a stranger unloads the model that others
      use, or keeps it loaded for ever.  A request without messages or prompt does nothing but that.
    - `template` is a program that the server runs in the place of the owner's: it can leave out the system prompt and
      write whatever it likes around the rest; `raw` leaves out both; `_debug_render_only` shows what they make.
    - `context` is text as numbers of tokens: no check can read it, and it may hold the marks that only templates set.
    - options by which a model is loaded (`num_gpu`, `num_thread`, `num_batch`, `use_mmap`, ...): a stranger makes the
      server load it anew, for everybody.
    - `width`, `height` and `steps`: an experiment in making pictures.
    What manages models (`/api/pull`, `push`, `delete`, `create`, `copy`, `blobs`, `show`, `ps`) has no preset, so no
    route of these presets ever reaches it.
Config
    `request.bounds`: see BOUNDS.
Cost
    About 10 us for a conversation of ten messages.
Misses
    `system`, and a message of the role, takes the place of the system prompt in the owner's Modelfile: deny the field
    where that must stand.  A `num_ctx` that differs from call to call makes the server load the model anew: bound it to
    the one that the model is served with.  What is in a picture.
Example
    preset: ollama.chat
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets.preset import Bound, Input
from vallum.presets.shapes import (
    FLAG,
    FREE,
    MODEL,
    NAME,
    SCHEMA,
    by,
    closed,
    listed,
    nullable,
    number,
    one_of,
    text,
    text_or,
    whole,
    whole_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.presets.preset import Bounds
    from vallum.presets.shapes import Shape

KEEP_ALIVE_LEAST_S = 60  # less, and the model is gone before the next caller comes
COMMON = {
    "chars": Bound(1_000_000, "characters of one text"),
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
EMBED_BOUNDS = {"inputs": Bound(512, "texts in one call"), **COMMON}
EMBEDDINGS_BOUNDS = COMMON

CHAT_INPUTS = (Input("messages.*.content", "text"), Input("messages.*.images.*", "image"))
GENERATE_INPUTS = (Input("prompt", "text"), Input("images.*", "image"))
EMBED_INPUTS = (Input("input", "text"), Input("input.*", "text"))
EMBEDDINGS_INPUTS = (Input("prompt", "text"),)

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


def _sampling(bounds: Bounds) -> Shape:
    """Describe the options of a call that generates."""
    chance, weight = nullable(number(0, 1)), nullable(number(-2, 2))
    options: Mapping[str, Shape] = {
        "num_predict": nullable(whole(1, bounds["max_tokens"])),
        "num_ctx": nullable(whole(1, bounds["num_ctx"])),
        "num_keep": nullable(whole(-1, bounds["num_ctx"])),
        "repeat_last_n": nullable(whole(-1, bounds["num_ctx"])),
        "seed": nullable(whole(-(2**31), 2**32)),
        "temperature": nullable(number(0, 5)),
        "top_k": nullable(whole(0, 1_000_000)),
        "top_p": chance,
        "min_p": chance,
        "typical_p": chance,
        "tfs_z": nullable(number(0, 100)),
        "repeat_penalty": nullable(number(0, 100)),
        "presence_penalty": weight,
        "frequency_penalty": weight,
        "mirostat": nullable(one_of(0, 1, 2)),
        "mirostat_tau": nullable(number(0, 100)),
        "mirostat_eta": nullable(number(0, 1)),
        "penalize_newline": nullable(FLAG),
        "stop": nullable(text_or(listed(text(256, 1), bounds["stop_sequences"]), 256)),
    }
    return nullable(closed(**options))


def _answering(bounds: Bounds) -> dict[str, Shape]:
    """Describe the members that a chat and a generation share."""
    return {
        **_loading(bounds),
        "options": _sampling(bounds),
        "stream": nullable(FLAG),
        "format": {"if": {"type": "object"}, "then": SCHEMA, "else": one_of("", "json", None)},
        "think": THINK,
        "truncate": nullable(FLAG),
        "shift": nullable(FLAG),
        "logprobs": nullable(FLAG),
        "top_logprobs": nullable(whole(0, 20)),
    }


def _images(bounds: Bounds) -> Shape:
    return nullable(listed(text(bounds["data_chars"], 1), bounds["images"]))


def _messages(bounds: Bounds) -> Shape:
    said = text(bounds["chars"])
    call = closed(
        ["function"],
        id=NAME,
        type=one_of("function"),
        function=closed(["name"], name=NAME, index=whole(0, 1024), description=said, arguments=nullable(FREE)),
    )
    shared = {"content": nullable(said), "images": _images(bounds)}
    roles = {
        "system": {},
        "user": {},
        "assistant": {"thinking": nullable(said), "tool_calls": nullable(listed(call, bounds["tool_calls"]))},
        "tool": {"tool_name": NAME, "tool_call_id": NAME},
    }
    shapes = {role: closed(["role"], role={"const": role}, **shared, **own) for role, own in roles.items()}
    return listed(by("role", shapes), bounds["messages"], least=1)


def _tool(chars: int) -> Shape:
    function = closed(["name"], name=NAME, description=nullable(text(chars)), parameters=nullable(SCHEMA), strict=FLAG)
    return closed(["function"], type=one_of("function"), function=function)


def chat(bounds: Bounds) -> Shape:
    """Return the schema of POST /api/chat."""
    tools = nullable(listed(_tool(bounds["chars"]), bounds["tools"]))
    body = closed(["model", "messages"], messages=_messages(bounds), tools=tools, **_answering(bounds))
    return whole_of(body, bounds["chars"])


def generate(bounds: Bounds) -> Shape:
    """Return the schema of POST /api/generate."""
    body = closed(
        ["model", "prompt"],
        prompt=text(bounds["chars"], 1),
        suffix=nullable(text(bounds["chars"])),
        system=nullable(text(bounds["chars"])),
        images=_images(bounds),
        **_answering(bounds),
    )
    return whole_of(body, bounds["chars"])


def _embedding(bounds: Bounds) -> dict[str, Shape]:
    options = nullable(closed(num_ctx=nullable(whole(1, bounds["num_ctx"])), seed=nullable(whole(-(2**31), 2**32))))
    return {**_loading(bounds), "options": options}


def embed(bounds: Bounds) -> Shape:
    """Return the schema of POST /api/embed."""
    one = text(bounds["chars"], 1)
    texts = text_or(listed(one, bounds["inputs"], least=1), bounds["chars"]) | {"minLength": 1}
    return closed(
        ["model", "input"],
        input=texts,
        truncate=nullable(FLAG),
        dimensions=nullable(whole(1, 65_536)),
        **_embedding(bounds),
    )


def embeddings(bounds: Bounds) -> Shape:
    """Return the schema of POST /api/embeddings."""
    return closed(["model", "prompt"], prompt=text(bounds["chars"], 1), **_embedding(bounds))
