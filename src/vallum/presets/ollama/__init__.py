"""Ollama's own API."""

from vallum.presets.preset import Preset
from vallum.presets.ollama.answer import ANSWERS

PRESETS = tuple(Preset(name=name, answer=answer) for name, answer in ANSWERS.items())
