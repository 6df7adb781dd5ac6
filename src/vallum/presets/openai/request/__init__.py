"""What may come in to OpenAI's API: one file an endpoint or two, hung up here by the preset's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets.openai.request import audio, chat, completions, images, responses
from vallum.presets.preset import RequestForm
from vallum.presets.shape import NULL

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMS: Mapping[str, RequestForm] = {
    "openai.audio.speech": audio.SPEECH,
    "openai.audio.transcriptions": audio.TRANSCRIPTIONS,
    "openai.audio.translations": audio.TRANSLATIONS,
    "openai.chat": chat.CHAT,
    "openai.completions": completions.COMPLETIONS,
    "openai.embeddings": completions.EMBEDDINGS,
    "openai.images": images.GENERATIONS,
    "openai.images.edits": images.EDITS,
    "openai.images.variations": images.VARIATIONS,
    "openai.models": RequestForm(schema=lambda _: NULL),  # no body
    "openai.responses": responses.RESPONSES,
}
