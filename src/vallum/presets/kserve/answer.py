"""What leaves of answers in KServe's version 2 of the inference protocol (Triton, MLServer), and what is withheld.

An output is an item of a list, known by its name.  The names are a model's own; the usual ones of raw values are here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vallum.presets.preset import AnswerForm, Withheld, asks, asks_by, between, under

if TYPE_CHECKING:
    from collections.abc import Mapping

LOGITS = ("logit", "logits", "raw_logits", "logprobs", "log_probs", "log_softmax", "pre_softmax", "raw_scores")
EMBEDDINGS = ("embedding", "embeddings", "features", "hidden_state", "hidden_states", "last_hidden_state")
PROBABILITIES = ("probabilities", "probs", "class_probabilities", "all_scores", "softmax")
HIDDEN = (*EMBEDDINGS, "pooler_output", "attention", "attentions", "activations")


def _outputs(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple([f"outputs.name={name}" for name in names])


INFER = AnswerForm(
    values=("id", "model_name", *under("outputs", "name datatype")),
    members=("outputs.shape", "outputs.data"),
    divided=True,
    headers=frozenset({"inference-header-content-length"}),
    searched=True,
    withheld={
        "logits": Withheld(
            _outputs(LOGITS),
            "Raw values before the softmax are equations about the weights: as many of them as there are parameters"
            " solve a linear model exactly (Tramer et al. 2016), and a network's last layer (Carlini et al. 2024).",
            asks_by("outputs.*.name", *LOGITS),
            never=True,
        ),
        "embeddings": Withheld(
            _outputs(HIDDEN),
            "Inner values give a student what it would have to learn, at a fraction of the questions (Orekondy et al."
            " 2019; Liu et al. 2022).",
            asks_by("outputs.*.name", *HIDDEN),
        ),
        "probabilities": Withheld(
            _outputs(PROBABILITIES),
            "The scores of all classes are as many equations for one question; the best class is the answer (Tramer et"
            " al. 2016).",
            asks_by("outputs.*.name", *PROBABILITIES),
        ),
        "version": Withheld(
            ("model_version",),
            "Tells when weights changed, which an attacker waits for (Chen, Zaharia and Zou 2023).",
        ),
        "parameters": Withheld(
            ("parameters", "outputs.parameters"), "Whatever a backend writes there: timings, hosts, sequence numbers."
        ),
    },
    scores=(
        *("outputs.name=confidence.data", "outputs.name=probabilities.data", "outputs.name=probability.data"),
        *("outputs.name=probs.data", "outputs.name=scores.data", "outputs.name=score.data"),
    ),
)

# What is said of outputs holds for bytes only where somebody reads them, and nobody does.
BINARY = Withheld(
    (),
    "Outputs as bytes leave unread: no group is withheld of them and no number made coarser. Triton's client asks for"
    " them unless told not to (`binary_data=False`).",
    asks("parameters.binary_data_output", "outputs.*.parameters.binary_data"),
    media_types=("application/octet-stream",),
)
INFER_BINARY = replace(
    INFER,
    withheld={**INFER.withheld, "binary": BINARY},
    headers=frozenset({"inference-header-content-length"}),
)

SCORED = asks("return_log_probs", "parameters.return_log_probs", "logprobs", "parameters.logprobs")
# By which a caller says what token comes next: beside log-probabilities that is the score of any token at all.
STEERING = asks("bad_words", "parameters.bad_words")
GENERATE = AnswerForm(
    values=("id", "model_name", "text_output", "finish_reason"),
    withheld={
        "logprobs": Withheld(
            ("cum_log_probs", "output_log_probs"),
            "Log-probabilities of tokens are linear in the last layer: its width, and more, is computed from them"
            " (Carlini et al. 2024).",
            SCORED,
        ),
        "logits": Withheld(
            ("context_logits", "generation_logits"),
            INFER.withheld["logits"].why,
            asks(
                *("return_context_logits", "return_generation_logits"),
                *("parameters.return_context_logits", "parameters.return_generation_logits"),
            ),
            never=True,
        ),
        "version": INFER.withheld["version"],
        "parameters": Withheld(
            ("sequence_id", "sequence_start", "sequence_end", "batch_index", "sequence_index", "parameters"),
            INFER.withheld["parameters"].why,
        ),
    },
    writes_text=True,
    apart=between(STEERING, SCORED),
)

ANSWERS: Mapping[str, AnswerForm] = {
    "kserve.generate": GENERATE,
    "kserve.infer": INFER_BINARY,
    "kserve.infer_json": INFER,
}
