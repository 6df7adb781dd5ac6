"""Anthropic's Messages API."""

from vallum.presets.preset import Preset
from vallum.presets.anthropic.answer import ANSWERS

PRESETS = tuple(Preset(name=name, answer=answer) for name, answer in ANSWERS.items())
