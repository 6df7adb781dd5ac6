"""Hugging Face's Text Generation Inference.  Its chat endpoint speaks OpenAI's format, and is met by that preset."""

from typing import Any

from vallum.core.content import Passage, Voice
from vallum.core.problem import ErrorFormat
from vallum.presets.passages import members, spoken
from vallum.presets.preset import Preset, RequestForm, counts
from vallum.presets.tgi.amounts import METER
from vallum.presets.tgi.answer import ANSWERS
from vallum.presets.tgi.request import BOUNDS, INPUTS, REFUSALS, generate


def passages(document: Any) -> list[Passage]:
    """Return the prompt, and what a grammar says."""
    request = members(document)
    grammar = members(request.get("parameters")).get("grammar")
    return [
        *spoken(Voice.USER, "/inputs", request.get("inputs")),
        *spoken(Voice.OPERATOR, "/parameters/grammar", grammar, frozenset({"type"})),
    ]


FORM = RequestForm(
    bounds=BOUNDS,
    schema=generate,
    refused=REFUSALS,
    passages=passages,
    inputs=INPUTS,
    weights=(counts("parameters.best_of"),),
)
PRESETS = tuple(
    Preset(name=name, version=2, request=FORM, answer=ANSWERS[name], meter=METER, error_format=ErrorFormat.PLAIN)
    for name in ("tgi.generate", "tgi.generate_stream")
)
