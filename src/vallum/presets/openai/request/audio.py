"""Audio: POST /v1/audio/speech, and the fields of the forms that transcriptions and translations are sent as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.presets.openai.passages import prompt_passages
from vallum.presets.openai.request.members import ID, optional
from vallum.presets.preset import Bound, Input, RequestForm
from vallum.presets.shape import Shape, either, number, one_of, record, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.presets.preset import Bounds

SPEECH_BOUNDS: Mapping[str, Bound] = {"characters": Bound(4096, "characters to be spoken, and of the instructions")}
FORM_BOUNDS: Mapping[str, Bound] = {"characters": Bound(4096, "characters of the prompt")}
TEMPERATURE: Shape = {"type": "string", "pattern": "^(0(\\.[0-9]{1,6})?|1(\\.0{1,6})?)$"}


def schema(bounds: Bounds) -> Mapping[str, Any]:
    """Write the schema of a request for speech."""
    return record(
        "input model voice",
        input=text(bounds["characters"], 1),
        model=ID,
        voice=either(text(64, 1), record("id", id=ID)),
        **optional(
            instructions=text(bounds["characters"]),
            response_format=one_of("mp3", "opus", "aac", "flac", "wav", "pcm"),
            speed=number(0.25, 4),
            stream_format=one_of("sse", "audio"),
        ),
    )


def transcription_fields(bounds: Bounds) -> Mapping[str, Any]:
    """Write the schema of the text fields of a form for transcriptions; its file is `file`."""
    return record("model", **_fields(bounds), **{
        "language": text(16),
        "stream": one_of("true", "false"),
        "include[]": one_of("logprobs"),
        "timestamp_granularities[]": one_of("word", "segment"),
        "chunking_strategy": one_of("auto"),
    })  # fmt: skip


def translation_fields(bounds: Bounds) -> Mapping[str, Any]:
    """Write the schema of the text fields of a form for translations; its file is `file`."""
    return record("model", **_fields(bounds))


def _fields(bounds: Bounds) -> dict[str, Any]:
    return {
        "model": ID,
        "prompt": text(bounds["characters"]),
        "response_format": one_of("json", "text", "srt", "verbose_json", "vtt", "diarized_json"),
        "temperature": TEMPERATURE,
    }


SPEECH = RequestForm(
    bounds=SPEECH_BOUNDS,
    schema=schema,
    passages=prompt_passages("input", "instructions"),
    inputs=(Input("input", "text"),),
)
