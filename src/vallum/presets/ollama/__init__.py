"""Ollama's own API.  What it speaks of OpenAI's and Anthropic's is met by their presets."""

from vallum.core.problem import ErrorFormat
from vallum.presets.ollama.amounts import METERS
from vallum.presets.ollama.answer import ANSWERS
from vallum.presets.ollama.passages import passages
from vallum.presets.ollama.request import (
    CHAT_BOUNDS,
    CHAT_IMAGES,
    CHAT_INPUTS,
    EMBED_BOUNDS,
    EMBED_INPUTS,
    EMBEDDINGS_BOUNDS,
    EMBEDDINGS_INPUTS,
    GENERATE_BOUNDS,
    GENERATE_IMAGES,
    GENERATE_INPUTS,
    GENERATE_REFUSALS,
    LOADING_REFUSALS,
    REFUSALS,
    chat,
    embed,
    embeddings,
    generate,
)
from vallum.presets.preset import Preset, RequestForm
from vallum.presets.shape import NULL

FORMS = {
    "ollama.chat": RequestForm(
        bounds=CHAT_BOUNDS,
        schema=chat,
        refused=REFUSALS,
        passages=passages,
        inputs=CHAT_INPUTS,
        attachments=CHAT_IMAGES,
    ),
    "ollama.generate": RequestForm(
        bounds=GENERATE_BOUNDS,
        schema=generate,
        refused=GENERATE_REFUSALS,
        passages=passages,
        inputs=GENERATE_INPUTS,
        attachments=GENERATE_IMAGES,
    ),
    "ollama.embed": RequestForm(
        bounds=EMBED_BOUNDS, schema=embed, refused=LOADING_REFUSALS, passages=passages, inputs=EMBED_INPUTS
    ),
    "ollama.embeddings": RequestForm(
        bounds=EMBEDDINGS_BOUNDS,
        schema=embeddings,
        refused=LOADING_REFUSALS,
        passages=passages,
        inputs=EMBEDDINGS_INPUTS,
    ),
    "ollama.tags": RequestForm(schema=lambda _: NULL),  # no body
}
VERSIONS = dict.fromkeys(("ollama.chat", "ollama.generate"), 2)
PRESETS = tuple(
    Preset(
        name=name,
        version=VERSIONS.get(name, 1),
        request=FORMS[name],
        answer=answer,
        meter=METERS.get(name),
        error_format=ErrorFormat.PLAIN,
    )
    for name, answer in ANSWERS.items()
)
