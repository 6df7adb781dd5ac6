"""vLLM's own additions to OpenAI's API: other ways to choose tokens, and doors into the server that stay shut."""

from vallum.core.problem import ErrorFormat
from vallum.presets.openai.amounts import METERS
from vallum.presets.preset import Preset, RequestForm
from vallum.presets.vllm.answer import ANSWERS
from vallum.presets.vllm.request import FORMS

PRESETS = tuple(
    Preset(
        name=name,
        request=FORMS.get(name, RequestForm()),
        answer=answer,
        meter=METERS.get(f"openai.{name.partition('.')[2]}"),
        error_format=ErrorFormat.OPENAI,
    )
    for name, answer in ANSWERS.items()
)
