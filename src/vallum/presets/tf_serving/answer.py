"""What leaves of TensorFlow Serving's answers, by row, by column, and of its classify and regress calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets.predict.answer import PROBABILITIES
from vallum.presets.preset import AnswerForm, Withheld, asks_by

if TYPE_CHECKING:
    from collections.abc import Mapping

PREDICT = AnswerForm(
    members=("predictions", "outputs"),
    searched=True,
    withheld={
        "logits": Withheld(
            ("logit", "logits", "raw_logits", "logprobs", "log_probs", "pre_softmax"),
            "Raw values before the softmax are equations about the weights: as many of them as there are parameters"
            " solve a linear model exactly (Tramer et al. 2016).",
            never=True,
        ),
        "probabilities": PROBABILITIES,
        "embeddings": Withheld(
            ("embedding", "embeddings", "features", "hidden_state", "hidden_states", "attention", "attentions"),
            "Inner values give a student what it would have to learn, at a fraction of the questions (Orekondy et al."
            " 2019; Liu et al. 2022).",
        ),
        "signatures": Withheld(
            ("model_spec", "metadata"),
            "Tells the model's version and the form of its graph.",
            asks_by("signature_name", "logits", "raw", "embeddings", "features"),
        ),
    },
    scores=(
        *("predictions.scores", "predictions.score", "predictions.probabilities", "predictions.confidence"),
        *("outputs.scores", "outputs.probabilities"),
    ),
)

CLASSIFY = AnswerForm(members=("results", "result"), withheld=PREDICT.withheld, searched=True)

ANSWERS: Mapping[str, AnswerForm] = {
    "tf_serving.classify": CLASSIFY,
    "tf_serving.predict": PREDICT,
    "tf_serving.regress": CLASSIFY,
}
