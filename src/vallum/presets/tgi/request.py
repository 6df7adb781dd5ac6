"""Requests of Hugging Face's Text Generation Inference (TGI): /generate and /generate_stream.

What it stops
    Members and parameters that the API does not have; numbers out of their range; more work than the bounds.
    Refused although the API has them:
    - a link to a picture in the prompt, `![](http://...)`: the server would fetch any address that it names.  One with
      the picture's own bytes (`![](data:image/png;base64,...)`) passes.
    - `best_of` over the bound, 1 unless it is raised: each is a whole answer that nobody sees.
    - `grammar` of the type `regex`, unless `regex_chars` is raised: twenty characters can take the server minutes to
      compile.
    - `adapter_id`: weights that may be another customer's.
Config
    `request.bounds`: see BOUNDS.
Cost
    About 4 us.
Misses
    `grammar` of the type `json` is compiled by the server too: its patterns are kept short and its references inside,
    but a wide schema is work.
Example
    preset: tgi.generate
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets.preset import Bound, Input
from vallum.presets.shapes import (
    FLAG,
    SCHEMA,
    by,
    closed,
    listed,
    nullable,
    number,
    text,
    whole,
    whole_of,
)

if TYPE_CHECKING:
    from vallum.presets.preset import Bounds
    from vallum.presets.shapes import Shape

BOUNDS = {
    "chars": Bound(1_000_000, "characters of the prompt"),
    "max_tokens": Bound(32_768, "tokens of an answer that may be asked for: parameters.max_new_tokens"),
    "best_of": Bound(1, "answers that are generated, of which one is sent"),
    "top_n_tokens": Bound(5, "alternatives to each token that may be asked for"),
    "stop_sequences": Bound(4, "texts that end an answer"),
    "regex_chars": Bound(0, "characters of a pattern that an answer is held to; 0: none"),
}
INPUTS = (Input("inputs", "text"),)
# How the server finds a picture in a prompt, and what it would fetch.
REMOTE_PICTURE = r"!\[\]\(\s*[hH][tT][tT][pP]"
TINY = 1e-6  # where the API says: over 0


def _grammar(bounds: Bounds) -> Shape:
    json = closed(["type", "value"], type={"enum": ["json", "json_schema"]}, value=SCHEMA)
    kinds = {"json": json, "json_schema": json}
    if bounds["regex_chars"]:
        kinds["regex"] = closed(["type", "value"], type={"const": "regex"}, value=text(bounds["regex_chars"], 1))
    return nullable(by("type", kinds))


def _parameters(bounds: Bounds) -> Shape:
    return closed(
        best_of=nullable(whole(1, bounds["best_of"])),
        decoder_input_details=FLAG,
        details=FLAG,
        do_sample=FLAG,
        frequency_penalty=nullable(number(-2, 2)),
        grammar=_grammar(bounds),
        max_new_tokens=nullable(whole(1, bounds["max_tokens"])),
        repetition_penalty=nullable(number(TINY, 100)),
        return_full_text=nullable(FLAG),
        seed=nullable(whole(0, 2**64 - 1)),
        stop=listed(text(256, 1), bounds["stop_sequences"]),
        temperature=nullable(number(TINY, 100)),
        top_k=nullable(whole(1, 1_000_000)),
        top_n_tokens=nullable(whole(0, bounds["top_n_tokens"])),
        top_p=nullable(number(TINY, 1)),
        truncate=nullable(whole(1, 2**31 - 1)),
        typical_p=nullable(number(TINY, 1)),
        watermark=FLAG,
    )


def generate(bounds: Bounds) -> Shape:
    """Return the schema of POST /generate, /generate_stream and, with `stream`, of POST /."""
    body = closed(
        ["inputs"],
        inputs=text(bounds["chars"], 1) | {"not": {"pattern": REMOTE_PICTURE}},
        parameters=nullable(_parameters(bounds)),
        stream=FLAG,
    )
    return whole_of(body, bounds["chars"])
