"""Requests of Hugging Face's Text Generation Inference (TGI): /generate and /generate_stream.

What it stops
    Members and parameters that the API does not have; numbers out of their range; more work than the bounds.
    Refused although the API has them, besides REFUSALS:
    - a link to a picture in the prompt, `![](http://...)`: the server would fetch any address that it names.  One with
      the picture's own bytes (`![](data:image/png;base64,...)`) passes.
    - `best_of` over the bound, 1 unless it is raised: each is a whole answer that nobody sees.
    - `grammar` of the type `regex`, unless `regex_chars` is raised: twenty characters can take the server minutes to
      compile.
Config
    `request.bounds`: BOUNDS.
Cost
    Under 1 us.
Misses
    `grammar` of the type `json` is compiled by the server too: its patterns are kept short and its references inside,
    but a wide schema is work.  Where `best_of` is raised, what is not sent is counted only of answers with `details`.
Example
    preset: tgi.generate
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets.preset import Bound, Input
from vallum.presets.shape import (
    COMPILED_SCHEMA,
    FLAG,
    REFUSED,
    Shape,
    by_kind,
    compiled_schema,
    listed,
    number,
    or_null,
    record,
    text,
    whole,
)

if TYPE_CHECKING:
    from vallum.presets.preset import Bounds

BOUNDS = {
    "chars": Bound(1_000_000, "characters of the prompt"),
    "max_tokens": Bound(32_768, "tokens of an answer that may be asked for: parameters.max_new_tokens"),
    "best_of": Bound(1, "answers that are generated, of which one is sent"),
    "top_n_tokens": Bound(5, "alternatives to each token that may be asked for"),
    "stop_sequences": Bound(4, "texts that end an answer"),
    "regex_chars": Bound(0, "characters of a pattern that an answer is held to; 0: none"),
}
REFUSALS = {
    "adapter_id": "names weights that may be another customer's",
    "add_special_tokens": "lets a prompt begin without the marks that the model was trained with",
}
INPUTS = (Input("inputs", "text"),)
# How the server finds a picture in a prompt, and what it would fetch.
REMOTE_PICTURE = r"!\[\]\(\s*[hH][tT][tT][pP]"
TINY = 1e-6  # where the API says: over 0


def _grammar(bounds: Bounds) -> Shape:
    json = record("value", value=COMPILED_SCHEMA)
    kinds = {"json": json, "json_schema": json}
    if bounds["regex_chars"]:
        kinds["regex"] = record("value", value=text(bounds["regex_chars"], 1))
    return or_null(by_kind("type", kinds))


def _parameters(bounds: Bounds) -> Shape:
    return record(
        adapter_id=REFUSED,
        best_of=or_null(whole(1, bounds["best_of"])),
        decoder_input_details=FLAG,
        details=FLAG,
        do_sample=FLAG,
        frequency_penalty=or_null(number(-2, 2)),
        grammar=_grammar(bounds),
        max_new_tokens=or_null(whole(1, bounds["max_tokens"])),
        repetition_penalty=or_null(number(TINY, 100)),
        return_full_text=or_null(FLAG),
        seed=or_null(whole(0, 2**64 - 1)),
        stop=listed(text(256, 1), bounds["stop_sequences"]),
        temperature=or_null(number(TINY, 100)),
        top_k=or_null(whole(1, 1_000_000)),
        top_n_tokens=or_null(whole(0, bounds["top_n_tokens"])),
        top_p=or_null(number(TINY, 1)),
        truncate=or_null(whole(1, 2**31 - 1)),
        typical_p=or_null(number(TINY, 1)),
        watermark=FLAG,
    )


def generate(bounds: Bounds) -> Shape:
    """Return the schema of POST /generate, /generate_stream and, with `stream`, of POST /."""
    body = record(
        "inputs",
        inputs={**text(bounds["chars"], 1), "not": {"pattern": REMOTE_PICTURE}},
        parameters=or_null(_parameters(bounds)),
        stream=FLAG,
        add_special_tokens=REFUSED,
    )
    return {"$defs": compiled_schema(bounds["chars"]), **body}
