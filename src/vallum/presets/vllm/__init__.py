"""vLLM's own additions to OpenAI's API: other ways to choose tokens, and doors into the server that stay shut."""

from vallum.core.problem import ErrorFormat
from vallum.presets.openai.amounts import METERS
from vallum.presets.preset import Preset
from vallum.presets.vllm.request import FORMS

PRESETS = tuple(
    Preset(name=name, request=form, meter=METERS[f"openai.{name.partition('.')[2]}"], error_format=ErrorFormat.OPENAI)
    for name, form in FORMS.items()
)
