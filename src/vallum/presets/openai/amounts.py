"""OpenAI's formats: chat, completions, embeddings, responses.  Facts of the API, as tables; nothing is decided here.

Members are those of the published API and the aliases that servers of open models take beside them.
"""

from __future__ import annotations

from typing import Any

from vallum.presets.amounts import Format, FormatMeter

OUTPUT = ("max_tokens", "max_completion_tokens", "max_new_tokens", "n_predict")
IMAGE_TOKENS = 1500  # a large picture in full detail
SOUND_TOKENS = 1500  # two and a half minutes of speech
FILE_TOKENS = 8000
MEDIA = {
    "image_url": ("image_url", IMAGE_TOKENS),
    "input_image": ("image_url", IMAGE_TOKENS),
    "input_audio": ("input_audio", SOUND_TOKENS),
    "file": ("file", FILE_TOKENS),
    "input_file": ("file_data", FILE_TOKENS),
}
USAGE = (("usage",),)
COUNTED = (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens"))
SILENT = frozenset({"id", "index", "logprobs", "object", "role", "status", "type"})
DONE = b"data: [DONE]\n\n"


def _choices(document: Any) -> list[Any]:
    choices = document.get("choices") if isinstance(document, dict) else None
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def _messages(document: Any) -> list[Any]:
    return [choice.get("delta") or choice.get("message") for choice in _choices(document)]


def _texts(document: Any) -> list[Any]:
    return [choice.get("text") for choice in _choices(document)]


def _head(document: Any) -> dict[str, Any]:
    names = ("id", "object", "created", "model")
    return {name: document[name] for name in names if name in document} if isinstance(document, dict) else {}


def _end_chat(document: Any, _: int) -> list[tuple[str, Any]]:
    choices = [
        {"index": choice.get("index", 0), "delta": {}, "finish_reason": "length"} for choice in _choices(document)
    ]
    return [("", _head(document) | {"choices": choices})]


def _end_completion(document: Any, _: int) -> list[tuple[str, Any]]:
    choices = [
        {"index": choice.get("index", 0), "text": "", "finish_reason": "length"} for choice in _choices(document)
    ]
    return [("", _head(document) | {"choices": choices})]


# Of the many events of a response these hold what the model says; the ones that end a part repeat it whole.
DELTAS = frozenset(
    f"response.{kind}.delta"
    for kind in (
        "output_text",
        "refusal",
        "reasoning_text",
        "reasoning_summary_text",
        "function_call_arguments",
        "custom_tool_call_input",
        "audio.transcript",
    )
)


def _outputs(document: Any) -> list[Any]:
    if not isinstance(document, dict):
        return []
    kind = document.get("type")
    if isinstance(kind, str):
        return [document.get("delta")] if kind in DELTAS else []
    return [document.get("output")]


def _end_response(_: Any, __: int) -> list[tuple[str, Any]]:
    response = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    return [("response.incomplete", {"type": "response.incomplete", "response": response})]


CHAT = Format(
    prompt=("messages", "tools", "functions", "response_format", "prediction", "documents"),
    output=OUTPUT,
    choices=("n", "best_of"),
    media=MEDIA,
    asks_usage=("stream_options", "include_usage"),
    usage=USAGE,
    counted=COUNTED,
    texts=_messages,
    silent=SILENT,
    end=_end_chat,
    done=DONE,
)
COMPLETIONS = Format(
    prompt=("prompt", "suffix"),
    output=OUTPUT,
    choices=("n", "best_of"),
    prompts="prompt",
    asks_usage=("stream_options", "include_usage"),
    usage=USAGE,
    counted=COUNTED,
    texts=_texts,
    silent=SILENT,
    end=_end_completion,
    done=DONE,
)
EMBEDDINGS = Format(prompt=("input",), usage=USAGE, counted=COUNTED)
RESPONSES = Format(
    prompt=("input", "instructions", "tools", "text"),
    output=("max_output_tokens",),
    media=MEDIA,
    usage=(("usage",), ("response", "usage")),
    counted=COUNTED,
    texts=_outputs,
    silent=SILENT,
    end=_end_response,
)

METERS = {
    "openai.chat": FormatMeter(CHAT),
    "openai.completions": FormatMeter(COMPLETIONS),
    "openai.embeddings": FormatMeter(EMBEDDINGS),
    "openai.responses": FormatMeter(RESPONSES),
}
