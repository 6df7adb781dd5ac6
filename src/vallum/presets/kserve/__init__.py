"""KServe's inference protocol, version 2: Triton, MLServer."""

from vallum.presets.preset import Preset
from vallum.presets.kserve.answer import ANSWERS

PRESETS = tuple(Preset(name=name, answer=answer) for name, answer in ANSWERS.items())
