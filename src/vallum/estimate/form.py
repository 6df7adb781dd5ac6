"""What the answers of a route disclose: found by sending a made-up answer through the route's own transforms.

The answer has what a model may say of one input: a label, its score, the scores of ten classes, logits.  What is left
of it, and how exact, is what a thief gets.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from vallum.core.fieldpath import parse_path
from vallum.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vallum.config.model import RouteConfig
    from vallum.core.policy import Outlet

# Of ten classes, no two of which are the same to two places.
SCORES = (0.3819661, 0.1748312, 0.1211397, 0.0934771, 0.0715283, 0.0548619, 0.0421937, 0.0331846, 0.0178253, 0.0089821)
BEST = SCORES[0]
LABEL = "class-0"
CLASSES = tuple(f"class-{number}" for number in range(len(SCORES)))
MANY = re.compile(r"probability|probabilities|probs|scores|classes|distribution|^\*$", re.IGNORECASE)
LOGITS = [9.25 - number for number in range(len(SCORES))]

TEXT = re.compile(r"\.(chat|completions|responses|messages|generate|generate_stream)$")
VECTOR = re.compile(r"\.(embeddings?|embed|pooling)$")
NOT_ESTIMATED = re.compile(r"\.(audio\..*|images.*|models|tags|tokenize|detokenize|count_tokens)$")


def kind_of(preset: str) -> str:
    """Say what a model of this format sells: classes, text, vectors, or something that is not estimated."""
    for kind, pattern in (("text", TEXT), ("vector", VECTOR), ("none", NOT_ESTIMATED)):
        if pattern.search(preset):
            return kind
    return "classes"


def form_of(route: RouteConfig, outlet: Outlet) -> str:
    """Return which form of answer leaves, by its name in costs.json: of several, the one that tells most."""
    if not PRESETS[route.preset].request.media_types:
        return "all"  # unread
    document = copy.deepcopy(made_up(route))
    for step in outlet.transforms:
        document = step.apply(document, set())
    numbers = list(_numbers(document))
    if any(number in LOGITS for number in numbers):
        return "all"
    told: dict[int, int] = {}  # class -> decimals
    for number in numbers:
        if 0 < number < 1:
            nearest = min(range(len(SCORES)), key=lambda index: abs(SCORES[index] - number))
            told[nearest] = max(told.get(nearest, 0), _decimals(number))
    others = max([decimals for index, decimals in told.items() if index], default=0)
    if others > 1:
        return "all" if others > 2 else "all, 2 decimals"
    if told.get(0, 0) > 1:
        return "score" if told[0] > 2 else "score, 2 decimals"
    if others:
        return "all, 1 decimal"
    return "band" if told or _has_band(document) else "label"


def made_up(route: RouteConfig) -> Any:
    """Return an answer in the route's format, with all that a model may say and all that the policy names."""
    preset = route.preset
    everything = dict(zip(CLASSES, SCORES, strict=True))
    if preset.startswith("kserve."):
        return {"model_name": "m", "outputs": list(_tensors(_named(route)))}
    scored = {"index": 0, "score": BEST, "relevance_score": BEST}
    known: dict[str, Any] = {
        "tf_serving.predict": {
            "predictions": [{"label": LABEL, "confidence": BEST, "probabilities": [*SCORES], "logits": LOGITS}]
        },
        "tf_serving.classify": {"results": [[list(pair) for pair in everything.items()]]},
        "torchserve.predict": everything,
        "vllm.classify": {"data": [{"index": 0, "label": LABEL, "probs": [*SCORES], "num_classes": len(SCORES)}]},
        "vllm.score": {"data": [scored]},
        "vllm.rerank": {"results": [scored]},
    }
    return known[preset] if preset in known else _plain(route, everything)


def _tensors(named: list[str]) -> Iterator[dict[str, Any]]:
    names = " ".join(named)
    tensors: dict[str, list[Any]] = {"label": [LABEL], "logits": LOGITS}
    if not named or "confidence" in names:
        tensors["confidence"] = [BEST]
    if not named or MANY.search(names):
        tensors["probabilities"] = [*SCORES]
    for name, data in tensors.items():
        yield {"name": name, "datatype": "FP32", "shape": [1, len(data)], "data": data}


def _plain(route: RouteConfig, everything: dict[str, float]) -> dict[str, Any]:
    document: dict[str, Any] = {"prediction": LABEL, "probabilities": everything, "logits": LOGITS}
    response, named = route.response, _named(route)
    if not named or "confidence" in (response.fields or ()):
        document["confidence"] = BEST
    for path in named:
        _place(document, path, everything if MANY.search(path.rpartition(".")[2]) else BEST)
    for path in response.fields or ():
        _place(document, path, LABEL)
    return document


def _named(route: RouteConfig) -> list[str]:
    """Return where the policy says that scores lie; without it, they lie where they usually do."""
    return [] if route.response.confidence is None else route.response.confidence.fields


def _place(document: dict[str, Any], path: str, value: Any) -> None:
    """Put a value at a path, unless something stands there; a star is one item of a list."""
    *above, last = parse_path(path)
    holder: Any = document
    for name, below in zip(above, [*above[1:], last], strict=False):
        if name == "*" or "=" in name:
            if isinstance(holder, list) and not holder:
                holder.append({})
            holder = holder[0] if isinstance(holder, list) else holder
        elif isinstance(holder, dict):
            holder = holder.setdefault(name, [] if below == "*" else {})
    if isinstance(holder, dict) and last != "*":
        holder.setdefault(last, value)


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _numbers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


def _decimals(number: float) -> int:
    return next((places for places in range(16) if round(number, places) == number), 16)


def _has_band(value: Any) -> bool:
    """Say whether a label stands where a score was."""
    if isinstance(value, dict):
        return any(
            (isinstance(inner, str) and inner != LABEL and (MANY.search(key) or key in CLASSES or "conf" in key))
            or (isinstance(inner, str) and "score" in key.lower())
            or _has_band(inner)
            for key, inner in value.items()
        )
    return isinstance(value, list) and any(_has_band(inner) for inner in value)
