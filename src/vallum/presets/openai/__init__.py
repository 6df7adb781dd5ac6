"""OpenAI's API, which most servers of open models speak as well."""

from vallum.core.problem import ErrorFormat
from vallum.presets.openai.amounts import METERS
from vallum.presets.preset import Preset

NAMES = ("openai.chat", "openai.completions", "openai.embeddings", "openai.models", "openai.responses")
PRESETS = tuple(Preset(name=name, meter=METERS.get(name), error_format=ErrorFormat.OPENAI) for name in NAMES)
