"""What leaves of answers in OpenAI's formats, and what is withheld.

The members are those of OpenAI's API reference; what its SDKs read is among them.  Servers of open models (vLLM,
SGLang, llama.cpp) add members of their own to the same formats: what is not named here never leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets.preset import AnswerForm, Withheld, asks, asks_by, asks_over, between, under

if TYPE_CHECKING:
    from collections.abc import Mapping

LOGPROBS_WHY = (
    "Log-probabilities of tokens are linear in the last layer: with them its width, and with logit_bias the layer"
    " itself, is computed for some dollars (Carlini et al. 2024; Finlayson et al. 2024)."
)
SAMPLES = Withheld(
    (),
    "Several answers to one question measure the distribution they are drawn from, for one request's price.",
    asks_over(1, "n", "best_of", "use_beam_search"),
)
ECHO = Withheld(
    (*under("choices", "prompt_logprobs prompt_text"), "prompt_logprobs"),
    "A prompt sent back with the score of each token makes the model a scorer of any text (Carlini et al. 2021).",
    asks("echo", "prompt_logprobs"),
)
FINGERPRINTS = Withheld(
    ("system_fingerprint",),
    "Tells when weights or settings changed, which an attacker waits for (Chen, Zaharia and Zou 2023).",
)
ROUTING = Withheld(("service_tier", "provider"), "Tells who serves the model, and how loaded it is: reconnaissance.")
CACHE = Withheld(
    ("usage.prompt_tokens_details.cached_tokens",),
    "A cache that callers share tells whether somebody else has sent this beginning (Gu et al. 2025).",
)
TOKEN_IDS = Withheld(
    (
        *under("choices", "token_ids prompt_token_ids stop_reason"),
        *("prompt_token_ids", "token_ids", "kv_transfer_params"),
    ),
    "Token ids give the vocabulary away, with which a student is aligned to the model.",
    asks("return_token_ids", "return_tokens_as_token_ids", "logprob_token_ids", "kv_transfer_params"),
)
HIDDEN = Withheld(
    ("choices.hidden_states", "hidden_states", "meta_info"),
    "Hidden states are the model's inside: a few thousand give the last layer (Carlini et al. 2024).",
    asks("return_hidden_states", "return_meta_info"),
)
REASONING_WHY = (
    "Hidden reasoning is what distillation wants most: students trained on it come close to the model (DeepSeek-AI"
    " 2025), so that providers hide it."
)

# By which a caller says what token comes next, whatever the model would say.  Beside log-probabilities that is the
# score of any token at all, and beside a nudge the measure of any two: the last layer (Carlini et al. 2024).
BIAS = asks("logit_bias")
NUDGES = asks_over(-100, "logit_bias.*")
CHOOSING = asks_by("response_format.type", "json_schema", "structural_tag") + asks_by("tool_choice", "required")
STEERING = BIAS + CHOOSING

USAGE = under(
    "usage",
    "prompt_tokens completion_tokens total_tokens prompt_tokens_details.audio_tokens"
    " completion_tokens_details.reasoning_tokens completion_tokens_details.audio_tokens"
    " completion_tokens_details.accepted_prediction_tokens completion_tokens_details.rejected_prediction_tokens",
)
HEAD = ("id", "object", "created", "model")
MESSAGE = (
    "role content refusal content.type content.text audio.id audio.data audio.expires_at audio.transcript"
    " function_call.name function_call.arguments tool_calls.index tool_calls.id tool_calls.type"
    " tool_calls.function.name tool_calls.function.arguments tool_calls.custom.name tool_calls.custom.input"
    " annotations.type annotations.url_citation.start_index annotations.url_citation.end_index"
    " annotations.url_citation.title annotations.url_citation.url"
)
SPOKEN = ("message", "delta")  # an answer's, and its pieces'


def _spoken(names: str) -> tuple[str, ...]:
    return tuple([path for member in SPOKEN for path in under(f"choices.{member}", names)])


CHAT = AnswerForm(
    values=(*HEAD, *under("choices", "index finish_reason"), *_spoken(MESSAGE), *USAGE),
    withheld={
        "logprobs": Withheld(("choices.logprobs",), LOGPROBS_WHY, asks("logprobs") + asks_over(0, "top_logprobs")),
        "samples": SAMPLES,
        "echo": ECHO,
        "reasoning": Withheld(_spoken("reasoning reasoning_content reasoning_details thinking"), REASONING_WHY),
        "fingerprints": FINGERPRINTS,
        "routing": ROUTING,
        "cache": CACHE,
        "token_ids": TOKEN_IDS,
        "hidden_states": HIDDEN,
    },
    writes_text=True,
    scores=("choices.logprobs.content.logprob", "choices.logprobs.content.top_logprobs.logprob"),
    apart=(*between(STEERING, asks("logprobs", "top_logprobs")), *between(CHOOSING, NUDGES)),
)

COMPLETIONS = AnswerForm(
    values=(*HEAD, *under("choices", "index finish_reason text"), *USAGE),
    withheld={
        "logprobs": Withheld(("choices.logprobs",), LOGPROBS_WHY, asks("logprobs")),
        **{name: CHAT.withheld[name] for name in CHAT.withheld if name not in ("logprobs", "reasoning")},
    },
    writes_text=True,
    scores=("choices.logprobs.token_logprobs", "choices.logprobs.top_logprobs.*"),
    apart=between(BIAS, asks("logprobs")),
)

EMBEDDINGS = AnswerForm(
    values=("object", "model", *under("data", "object index embedding"), *USAGE),
    members=("data.embedding",),
    withheld={"fingerprints": FINGERPRINTS, "cache": CACHE},
)

MODELS = AnswerForm(
    values=(*HEAD, "owned_by", *under("data", "id object created owned_by")),
    withheld={
        "details": Withheld(
            (
                *("root", "parent", "max_model_len", "permission", "meta"),
                *under("data", "root parent max_model_len permission meta"),
            ),
            "Tells which open model this one was made from, and where it lies on the server's disk.",
        )
    },
)

ITEM = (
    "id type status role call_id name arguments input output namespace phase"
    " content.type content.text content.refusal content.annotations.type content.annotations.url"
    " content.annotations.title content.annotations.start_index content.annotations.end_index"
    " content.annotations.file_id content.annotations.filename content.annotations.index"
    " summary.type summary.text action.type action.query action.url result queries"
)
RESPONSE = (
    *"id object created_at completed_at status model parallel_tool_calls previous_response_id store".split(),
    *"temperature top_p truncation user max_output_tokens max_tool_calls background".split(),
    *"safety_identifier prompt_cache_key".split(),
    *("incomplete_details.reason", "reasoning.effort", "reasoning.summary", "error.code", "tool_choice"),
    *under("output", ITEM),
    *under("usage", "input_tokens output_tokens total_tokens output_tokens_details.reasoning_tokens"),
    "usage.input_tokens_details.cached_tokens",
)
RESPONSE_OPEN = ("tools", "tool_choice", "text", "metadata")  # what the caller sent, sent back
EVENT = (
    "type sequence_number output_index content_index summary_index annotation_index item_id delta text refusal"
    " arguments input name code part.type part.text part.refusal obfuscation partial_image_b64 partial_image_index"
    " annotation.type annotation.url annotation.title annotation.start_index annotation.end_index annotation.index"
    " annotation.file_id annotation.filename"
)
PLACES = ("output", "response.output", "item")  # of an item: in an answer, in an event that holds all of it, alone
RESPONSES = AnswerForm(
    values=(*RESPONSE, *under("response", " ".join(RESPONSE)), *under("item", ITEM), *EVENT.split()),
    members=(
        *RESPONSE_OPEN,
        *under("response", " ".join(RESPONSE_OPEN)),
        *("logprobs", "part.logprobs", "part.annotations"),
        *[path for place in PLACES for path in under(place, "content.logprobs encrypted_content")],
    ),
    withheld={
        "logprobs": Withheld(
            (),
            LOGPROBS_WHY,
            asks_over(0, "top_logprobs") + asks_by("include.*", "message.output_text.logprobs"),
            emptied=("logprobs", "part.logprobs", *[f"{place}.content.logprobs" for place in PLACES]),
        ),
        "reasoning": Withheld(
            (),
            REASONING_WHY,
            emptied=tuple(
                [
                    path
                    for place in PLACES
                    for path in under(f"{place}.type=reasoning", "content summary encrypted_content")
                ]
            ),
            events=("response.reasoning",),
        ),
        "instructions": Withheld(
            ("instructions", "response.instructions", "prompt", "response.prompt"),
            "The operator's own prompt, sent back to whoever asks (Zhang, Carlini and Ippolito 2024).",
        ),
        "routing": Withheld(("service_tier", "response.service_tier"), ROUTING.why),
        "cache": Withheld(
            (),
            CACHE.why,
            emptied=under("usage.input_tokens_details", "cached_tokens")
            + under("response.usage.input_tokens_details", "cached_tokens"),
        ),
    },
    writes_text=True,
    apart=between(
        asks_by("text.format.type", "json_schema") + asks_by("tool_choice", "required"),
        asks_over(0, "top_logprobs") + asks_by("include.*", "message.output_text.logprobs"),
    ),
)

IMAGES = AnswerForm(
    values=(
        *("created", "background", "output_format", "quality", "size", "type", "b64_json", "created_at"),
        *("partial_image_index", *under("data", "b64_json revised_prompt")),
        *under("usage", "input_tokens output_tokens total_tokens"),
        *under("usage.input_tokens_details", "text_tokens image_tokens"),
    ),
    withheld={
        "urls": Withheld(
            ("data.url",),
            "An address on the host that made the image: an inner name, and a door around the gateway.",
            asks_by("response_format", "url"),
        ),
        "seeds": Withheld(
            ("seed", "data.seed", "data.finish_reason", "info", "parameters"),
            "With the seed an image is made again elsewhere and compared, which tells what model it was.",
        ),
    },
    writes_text=True,
)

AUDIO = AnswerForm(
    values=(
        *("text", "language", "duration", "task", "type", "delta", "id", "speaker", "start", "end"),
        *under("segments", "id start end text speaker type"),
        *under("words", "word start end"),
        *under("usage", "type seconds input_tokens output_tokens total_tokens"),
        *under("usage.input_token_details", "text_tokens audio_tokens"),
    ),
    withheld={
        "logprobs": Withheld(
            ("logprobs", *under("segments", "avg_logprob no_speech_prob compression_ratio"), "words.probability"),
            LOGPROBS_WHY,
            asks_by("include.*", "logprobs") + asks_by("include[].*", "logprobs") + asks_by("include[]", "logprobs"),
        ),
        "token_ids": Withheld(under("segments", "tokens seek temperature"), TOKEN_IDS.why),
    },
    writes_text=True,
    scores=("logprobs.logprob", "segments.avg_logprob", "segments.no_speech_prob"),
    media_types=frozenset(
        "application/octet-stream application/x-subrip audio/aac audio/flac audio/l16 audio/mpeg audio/ogg audio/opus"
        " audio/pcm audio/wav audio/x-wav text/plain text/vtt".split()
    ),
)

ANSWERS: Mapping[str, AnswerForm] = {
    "openai.audio.speech": AUDIO,
    "openai.audio.transcriptions": AUDIO,
    "openai.audio.translations": AUDIO,
    "openai.chat": CHAT,
    "openai.completions": COMPLETIONS,
    "openai.embeddings": EMBEDDINGS,
    "openai.images": IMAGES,
    "openai.images.edits": IMAGES,
    "openai.images.variations": IMAGES,
    "openai.models": MODELS,
    "openai.responses": RESPONSES,
}
