"""What is withheld of a vision service's answers: any JSON, in which only the usual names are known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vallum.presets.predict.answer import PREDICT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.presets.preset import AnswerForm

VISION = replace(PREDICT, media_types=frozenset({"image/jpeg", "image/png", "image/webp"}))  # masks, edited images

ANSWERS: Mapping[str, AnswerForm] = dict.fromkeys(("image.json", "image.multipart", "image.raw"), VISION)
