"""TorchServe."""

from vallum.presets.preset import Preset
from vallum.presets.torchserve.answer import ANSWERS

PRESETS = tuple(Preset(name=name, answer=answer) for name, answer in ANSWERS.items())
