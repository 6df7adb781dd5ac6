"""What vLLM adds to OpenAI's API."""

from vallum.presets.preset import Preset
from vallum.presets.vllm.answer import ANSWERS

PRESETS = tuple(Preset(name=name, answer=answer) for name, answer in ANSWERS.items())
