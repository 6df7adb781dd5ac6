"""What is withheld of TorchServe's answers: a handler writes what it likes, a map of classes to scores as a rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets.predict.answer import OPEN, PROBABILITIES
from vallum.presets.preset import AnswerForm

if TYPE_CHECKING:
    from collections.abc import Mapping

PREDICT = AnswerForm(withheld={**OPEN, "probabilities": PROBABILITIES}, scores=("*",))

ANSWERS: Mapping[str, AnswerForm] = {"torchserve.predict": PREDICT}
