"""What leaves of answers in Ollama's formats, whole and one a line, and what is withheld."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets.preset import AnswerForm, Withheld, asks, asks_by, asks_over, between, under

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAD = ("model", "created_at", "done", "done_reason", "prompt_eval_count", "eval_count")
TIMINGS = Withheld(
    ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"),
    "Times to the nanosecond tell the hardware, the model's size and who else is asking (Song et al. 2024).",
)
LOGPROBS = Withheld(
    ("logprobs",),
    "Log-probabilities of tokens are linear in the last layer: its width, and more, is computed from them (Carlini et"
    " al. 2024).",
    asks("logprobs") + asks_over(0, "top_logprobs"),
)
# A schema says what token comes next: beside log-probabilities that is the score of any token at all.
APART = between(asks_by("format"), LOGPROBS.asked_by)
REASONING_WHY = (
    "Hidden reasoning is what distillation wants most: students trained on it come close to the model (DeepSeek-AI"
    " 2025)."
)
TOKEN_IDS = Withheld(
    ("context",),
    "Token ids give the vocabulary away, with which a student is aligned to the model.",
)
DEBUG = Withheld(("_debug_info",), "Shows the template and the operator's prompt.", asks("_debug_render_only"))
SCORES = ("logprobs.logprob", "logprobs.top_logprobs.logprob")

GENERATE = AnswerForm(
    values=(*HEAD, "response"),
    withheld={
        "reasoning": Withheld(("thinking",), REASONING_WHY),
        "logprobs": LOGPROBS,
        "token_ids": TOKEN_IDS,
        "timings": TIMINGS,
        "debug": DEBUG,
    },
    writes_text=True,
    scores=SCORES,
    apart=APART,
)
CHAT = AnswerForm(
    values=(
        *HEAD,
        *under("message", "role content tool_name tool_calls.id tool_calls.type tool_calls.function.index"),
        *("message.tool_calls.function.name",),
    ),
    members=("message.tool_calls.function.arguments", "message.images"),
    withheld={
        "reasoning": Withheld(("message.thinking",), REASONING_WHY),
        "logprobs": LOGPROBS,
        "timings": TIMINGS,
        "debug": DEBUG,
    },
    writes_text=True,
    scores=SCORES,
    apart=APART,
)
EMBED = AnswerForm(
    values=("model", "prompt_eval_count"), members=("embedding", "embeddings"), withheld={"timings": TIMINGS}
)
DETAILS = "size digest details modified_at expires_at size_vram context_length remote_host remote_model"
TAGS = AnswerForm(
    values=under("models", "name model"),
    withheld={
        "details": Withheld(
            under("models", DETAILS),
            "Tells which open model this one was made from, to the digest of its file.",
        )
    },
)

ANSWERS: Mapping[str, AnswerForm] = {
    "ollama.chat": CHAT,
    "ollama.embed": EMBED,
    "ollama.embeddings": EMBED,
    "ollama.generate": GENERATE,
    "ollama.tags": TAGS,
}
