"""The API formats that Vallum knows, by name: one package a family, hung up here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets import anthropic, image, kserve, ollama, openai, predict, tf_serving, tgi, torchserve, vllm
from vallum.presets.preset import Preset, RequestForm

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = Preset(name="json")
RAW = Preset(name="raw", request=RequestForm(media_types=()))  # bodies pass unread

FAMILIES = (anthropic, image, kserve, ollama, openai, predict, tf_serving, tgi, torchserve, vllm)
KNOWN = (JSON, RAW, *(preset for family in FAMILIES for preset in family.PRESETS))
PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in sorted(KNOWN, key=lambda preset: preset.name)}
METERED = tuple(preset.name for preset in KNOWN if preset.meter is not None)
