"""What may come in to vLLM: OpenAI's chat and completions, and the members that vLLM takes besides.

Which of them are refused, and why, follows what was found in vLLM itself: several of its security advisories are about
members that carry code, templates or tensors into the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.content import Attachment, Takes
from vallum.presets.openai.passages import chat_passages, prompt_passages
from vallum.presets.openai.request import chat, completions
from vallum.presets.openai.request.members import optional
from vallum.presets.preset import Bound, Input, RequestForm
from vallum.presets.shape import (
    ANY_OBJECT,
    FLAG,
    REFUSED,
    Shape,
    by_kind,
    either,
    listed,
    named,
    nested,
    number,
    or_null,
    record,
    text,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.presets.preset import Bounds

SAMPLING_BOUNDS: Mapping[str, Bound] = {
    "choices": Bound(256, "texts of which the answer must be one"),
    "grammar": Bound(8192, "characters of a grammar or regular expression that the answer must follow"),
    "prompt_logprobs": Bound(20, "alternatives shown for each token of the prompt"),
    "stop_token_ids": Bound(64, "token ids that end an answer, and words that it may not hold"),
    "allowed_token_ids": Bound(1024, "token ids of which the answer must be made"),
}
CHAT_BOUNDS = {**chat.BOUNDS, **SAMPLING_BOUNDS, "documents": Bound(64, "documents that the template writes out")}
COMPLETION_BOUNDS = {
    **completions.COMPLETION_BOUNDS,
    **SAMPLING_BOUNDS,
    "schema_depth": Bound(16, "levels of free JSON"),
}

DANGEROUS: Mapping[str, str] = {
    "chat_template": "a template that the server runs (Jinja): code of the caller's, with the system prompt in reach",
    "guided_decoding_backend": "chooses the library that reads the caller's grammar, and with it that library's holes",
    "ignore_eos": "makes every answer as long as it may be",
    "kv_transfer_params": "names hosts and blocks that the server exchanges its memory with",
    "logits_processors": "names Python code that the server imports and runs",
    "media_io_kwargs": "arguments of the server's media readers",
    "mm_processor_kwargs": "arguments of the model's own preprocessor, such as the pixels that it may take",
    "priority": "lets the caller pass others in the queue",
    "prompt_embeds": "a serialised tensor that the server loads",
    "request_id": "what the server calls the exchange: two of one name mix",
    "vllm_xargs": "arguments of the server's extensions",
}
TOKEN_IDS: Shape = whole(0, 10_000_000)


def chat_schema(bounds: Bounds) -> Mapping[str, Any]:
    """Write the schema of a chat."""
    members = chat.members(bounds)
    words = text(bounds["chars"])
    members |= _sampling(bounds) | optional(
        add_generation_prompt=FLAG,
        continue_final_message=FLAG,
        documents=listed(named(words, 16), bounds["documents"]),
        echo=FLAG,
        # Only what templates of well-known models ask: any other word could be one of the template engine's own.
        chat_template_kwargs=record(enable_thinking=FLAG, thinking=FLAG, reasoning_effort=text(16)),
        include_reasoning=FLAG,
    )
    members["response_format"] = _format(bounds)
    address = record("url", url=text(bounds["data_chars"], 1))
    more = {"video_url": record("video_url", video_url=address), "audio_url": record("audio_url", audio_url=address)}
    return {"$defs": chat.definitions(bounds, more), **record("messages model", **members)}


def completion_schema(bounds: Bounds) -> Mapping[str, Any]:
    """Write the schema of a completion."""
    members = completions.completion_members(bounds) | _sampling(bounds)
    members["response_format"] = _format(bounds)
    return {"$defs": nested(bounds["schema_depth"]), **record("model prompt", **members)}


def _sampling(bounds: Bounds) -> dict[str, Any]:
    ids = listed(TOKEN_IDS, bounds["stop_token_ids"])
    rule = text(bounds["grammar"])
    choice = listed(text(1024), bounds["choices"], 1)
    structure = {"json": either({"type": "string", "maxLength": 65_536}, ANY_OBJECT)}
    return dict.fromkeys(DANGEROUS, REFUSED) | optional(
        add_special_tokens=FLAG,
        allowed_token_ids=listed(TOKEN_IDS, bounds["allowed_token_ids"]),
        bad_words=listed(text(128), bounds["stop_token_ids"]),
        cache_salt=text(256, 1),
        guided_choice=choice,
        guided_grammar=rule,
        guided_json=structure["json"],
        guided_regex=rule,
        guided_whitespace_pattern=text(64),
        include_stop_str_in_output=FLAG,
        length_penalty=number(-10, 10),
        min_p=number(0, 1),
        min_tokens=whole(0, bounds["max_tokens"]),
        prompt_logprobs=whole(0, bounds["prompt_logprobs"]),
        repetition_penalty=number(0.01, 10),
        return_token_ids=FLAG,
        return_tokens_as_token_ids=FLAG,
        skip_special_tokens=FLAG,
        spaces_between_special_tokens=FLAG,
        stop_token_ids=ids,
        structured_outputs=record(
            **structure,
            choice=choice,
            disable_additional_properties=FLAG,
            disable_any_whitespace=FLAG,
            grammar=rule,
            json_object=FLAG,
            regex=rule,
            structural_tag=rule,
            whitespace_pattern=text(64),
        ),
        top_k=whole(-1, 100_000),
        truncate_prompt_tokens=whole(-1, 10_000_000),
        use_beam_search=FLAG,
    )


def _format(bounds: Bounds) -> Shape:
    described = {"name": text(64, 1), "description": or_null(text(bounds["chars"])), "strict": or_null(FLAG)}
    return by_kind(
        "type",
        {
            "text": record(),
            "json_object": record(),
            "json_schema": record("json_schema", json_schema=record("name", **described, schema=ANY_OBJECT)),
            "structural_tag": record(
                structures=listed(ANY_OBJECT, 64), triggers=listed(text(256), 64), format=ANY_OBJECT
            ),
        },
    )


FORMS: Mapping[str, RequestForm] = {
    "vllm.chat": RequestForm(
        bounds=CHAT_BOUNDS,
        schema=chat_schema,
        refused={**chat.DANGEROUS, **DANGEROUS},
        weights=chat.WEIGHTS,
        passages=chat_passages,
        inputs=chat.CHAT.inputs,
        attachments=(
            *chat.ATTACHMENTS,
            Attachment(f"{chat.PART}.video_url.url", "video", Takes.URL),
            Attachment(f"{chat.PART}.audio_url.url", "audio", Takes.URL),
        ),
    ),
    "vllm.completions": RequestForm(
        bounds=COMPLETION_BOUNDS,
        schema=completion_schema,
        refused=DANGEROUS,
        weights=completions.WEIGHTS,
        passages=prompt_passages("prompt", "suffix"),
        inputs=(Input("prompt", "text"), Input("prompt.*", "text")),
    ),
}
