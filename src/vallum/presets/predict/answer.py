"""What is withheld of a plain predict endpoint's answers: any JSON, in which only the usual names are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets.preset import AnswerForm, Withheld

if TYPE_CHECKING:
    from collections.abc import Mapping

EQUATIONS = (
    "Raw values before the softmax are equations about the weights: as many of them as there are parameters solve a"
    " linear model exactly (Tramer et al. 2016), and a network's last layer (Carlini et al. 2024)."
)
OPEN: Mapping[str, Withheld] = {
    "logits": Withheld(
        ("logit", "logits", "raw_logits", "logprob", "logprobs", "log_probs", "pre_softmax", "raw_output"),
        EQUATIONS,
        never=True,
    ),
    "embeddings": Withheld(
        ("embedding", "embeddings", "features", "hidden_state", "hidden_states", "attention", "attentions"),
        "Inner values give a student what it would have to learn, at a fraction of the questions (Orekondy et al."
        " 2019; Liu et al. 2022).",
    ),
    "explanations": Withheld(
        ("explanation", "explanations", "gradients", "saliency", "shap_values", "feature_importances"),
        "A gradient is a whole row of weights where a score is one number (Milli et al. 2019).",
    ),
    "version": Withheld(
        ("model_version", "version", "model_path", "model_id", "checkpoint"),
        "Tells when weights changed, which an attacker waits for (Chen, Zaharia and Zou 2023).",
    ),
    "timings": Withheld(
        ("inference_time", "inference_time_ms", "latency", "latency_ms", "duration_ms", "timing", "timings"),
        "Exact times tell the path an input took through the model (Duddu et al. 2018).",
    ),
    "debug": Withheld(
        ("debug", "trace", "traceback", "stack", "host", "hostname", "worker", "device"),
        "Names what runs behind the gateway: reconnaissance.",
    ),
}
PROBABILITIES = Withheld(
    ("probabilities", "probability_distribution", "class_probabilities", "probs", "all_scores"),
    "The scores of all classes are as many equations for one question; the best class is the answer (Tramer et al."
    " 2016).",
)
PREDICT = AnswerForm(
    withheld={**OPEN, "probabilities": PROBABILITIES},
    scores=("confidence", "score", "predictions.confidence", "predictions.score", "probabilities"),
)

ANSWERS: Mapping[str, AnswerForm] = {"predict.csv": PREDICT, "predict.json": PREDICT}
