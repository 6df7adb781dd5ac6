"""What leaves of the answers of the calls that vLLM adds to OpenAI's API, and what is withheld."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vallum.presets.openai.answer import CHAT, CHOOSING, COMPLETIONS, EMBEDDINGS, FINGERPRINTS, NUDGES, STEERING, USAGE
from vallum.presets.preset import AnswerForm, Withheld, asks, asks_over, between, under

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAD = ("id", "object", "created", "model")
# vLLM has more ways to say what token comes next, and states log-probabilities as they were before any of them.
GUIDING = asks(
    *("allowed_token_ids", "bad_words", "guided_choice", "guided_grammar", "guided_json", "guided_regex"),
    *("logprob_token_ids", "structured_outputs"),
) + asks_over(0, "min_tokens")
NAMED = asks("logprobs", "top_logprobs", "prompt_logprobs")
APART = (*between(STEERING + GUIDING, NAMED), *between(CHOOSING + GUIDING, NUDGES))
VLLM_CHAT, VLLM_COMPLETIONS = replace(CHAT, apart=APART), replace(COMPLETIONS, apart=APART)
SCORE = AnswerForm(
    values=(*HEAD, *under("data", "index object score"), *USAGE),
    withheld={"fingerprints": FINGERPRINTS},
    scores=("data.score",),
)
RERANK = AnswerForm(
    values=("id", "model", *under("results", "index relevance_score document.text"), *USAGE),
    withheld={"fingerprints": FINGERPRINTS},
    scores=("results.relevance_score",),
)
CLASSIFY = AnswerForm(
    values=(*HEAD, *under("data", "index label num_classes"), *USAGE),
    withheld={
        "probabilities": Withheld(
            ("data.probs",),
            "The scores of all classes are as many equations for one question; the label is the answer (Tramer et al."
            " 2016).",
        ),
        "fingerprints": FINGERPRINTS,
    },
    scores=("data.probs",),
)
POOLING = AnswerForm(
    values=(*HEAD, *under("data", "index object"), *USAGE),
    members=("data.data",),
    withheld={"fingerprints": FINGERPRINTS},
)
TOKENIZE = AnswerForm(
    values=("count", "prompt"),
    withheld={
        "token_ids": Withheld(
            ("tokens", "token_strs", "max_model_len"),
            "Token ids give the vocabulary away, with which a student is aligned to the model.",
        )
    },
)

ANSWERS: Mapping[str, AnswerForm] = {
    "vllm.chat": VLLM_CHAT,
    "vllm.classify": CLASSIFY,
    "vllm.completions": VLLM_COMPLETIONS,
    "vllm.detokenize": TOKENIZE,
    "vllm.embeddings": EMBEDDINGS,
    "vllm.pooling": POOLING,
    "vllm.rerank": RERANK,
    "vllm.score": SCORE,
    "vllm.tokenize": TOKENIZE,
}
