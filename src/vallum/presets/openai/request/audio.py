"""Audio: POST /v1/audio/speech, and the forms that transcriptions and translations are sent as."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vallum.core.content import Attachment, Takes
from vallum.presets.openai.passages import prompt_passages
from vallum.presets.openai.request.members import ID, optional
from vallum.presets.preset import Bound, Input, RequestForm
from vallum.presets.shape import UPLOAD, Shape, either, listed, number, one_of, record, text, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.presets.preset import Bounds

SPEECH_BOUNDS: Mapping[str, Bound] = {"chars": Bound(4096, "characters to be spoken, and of the instructions")}
FORM_BOUNDS: Mapping[str, Bound] = {
    "chars": Bound(4096, "characters of the prompt"),
    "file_bytes": Bound(26_214_400, "size of the sound"),
}
TEMPERATURE: Shape = {"type": "string", "pattern": "^(0(\\.[0-9]{1,6})?|1(\\.0{1,6})?)$"}


def schema(bounds: Bounds) -> Mapping[str, Any]:
    """Write the schema of a request for speech."""
    return record(
        "input model voice",
        input=text(bounds["chars"], 1),
        model=ID,
        voice=either(text(64, 1), record("id", id=ID)),
        **optional(
            instructions=text(bounds["chars"]),
            response_format=one_of("mp3", "opus", "aac", "flac", "wav", "pcm"),
            speed=number(0.25, 4),
            stream_format=one_of("sse", "audio"),
        ),
    )


def transcription_fields(bounds: Bounds) -> Mapping[str, Any]:
    """Write the schema of a form for transcriptions: a sound, and texts."""
    return record(
        "file model",
        **_fields(bounds),
        **{
            "language": text(16),
            "stream": one_of("true", "false"),
            "include[]": listed(one_of("logprobs"), 1),
            "timestamp_granularities[]": listed(one_of("word", "segment"), 2),
            "chunking_strategy": one_of("auto"),
            "known_speaker_names[]": listed(text(64), 4),
        },
    )


def translation_fields(bounds: Bounds) -> Mapping[str, Any]:
    """Write the schema of a form for translations: a sound, and texts."""
    return record("file model", **_fields(bounds))


def _fields(bounds: Bounds) -> dict[str, Any]:
    sound = {**UPLOAD["properties"], "bytes": whole(1, bounds["file_bytes"])}
    return {
        "file": {**UPLOAD, "properties": sound},
        "model": ID,
        "prompt": text(bounds["chars"]),
        "response_format": one_of("json", "text", "srt", "verbose_json", "vtt", "diarized_json"),
        "temperature": TEMPERATURE,
    }


SPEECH = RequestForm(
    bounds=SPEECH_BOUNDS,
    schema=schema,
    passages=prompt_passages("input", "instructions"),
    inputs=(Input("input", "text"),),
)
TRANSCRIPTIONS = RequestForm(
    media_types=("multipart/form-data",),
    bounds=FORM_BOUNDS,
    schema=transcription_fields,
    passages=prompt_passages("prompt"),
    inputs=(Input("file", "audio"),),
    attachments=(Attachment("file", "audio", Takes.UPLOAD),),
)
TRANSLATIONS = replace(TRANSCRIPTIONS, schema=translation_fields)
