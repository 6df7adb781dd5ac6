"""What leaves of answers of Text Generation Inference, whole and streamed, and what is withheld.

Clients fail without `id` and `logprob` of a token in a stream: these stay, without their content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets.preset import AnswerForm, Withheld, asks, asks_over, under

if TYPE_CHECKING:
    from collections.abc import Mapping

GENERATE = AnswerForm(
    values=(
        *("generated_text", "index"),
        *under("token", "id text logprob special"),
        *under("details", "finish_reason generated_tokens input_length"),
    ),
    withheld={
        "logprobs": Withheld(
            ("top_tokens", *under("details", "tokens top_tokens prefill")),
            "Log-probabilities of tokens are linear in the last layer: its width, and more, is computed from them"
            " (Carlini et al. 2024).",
            asks("parameters.decoder_input_details") + asks_over(0, "parameters.top_n_tokens"),
            emptied=("token.logprob",),
            # It says what token comes next; every event of a stream, and `details`, would hold that token's score.
            against=asks("parameters.grammar"),
        ),
        "token_ids": Withheld(
            (),
            "Token ids give the vocabulary away, with which a student is aligned to the model.",
            emptied=("token.id",),
        ),
        "samples": Withheld(
            ("details.best_of_sequences",),
            "Several answers to one question measure the distribution they are drawn from, for one request's price.",
            asks_over(1, "parameters.best_of"),
        ),
        "seeds": Withheld(
            ("details.seed",), "With the seed a sampled answer is drawn again, and small changes to it are measured."
        ),
    },
    writes_text=True,
    scores=("token.logprob", "details.tokens.logprob", "details.prefill.logprob", "top_tokens.logprob"),
)

ANSWERS: Mapping[str, AnswerForm] = {"tgi.generate": GENERATE, "tgi.generate_stream": GENERATE}
