"""vLLM's own additions to OpenAI's API: other ways to choose tokens, and doors into the server that stay shut."""

from vallum.core.problem import ErrorFormat
from vallum.presets.openai.amounts import METERS
from vallum.presets.preset import Preset
from vallum.presets.vllm import pooling, request
from vallum.presets.vllm.answer import ANSWERS

FORMS = {**request.FORMS, **pooling.FORMS}
FIRST = frozenset({"vllm.detokenize", "vllm.tokenize"})  # are as they were
PRESETS = tuple(
    Preset(
        name=name,
        version=1 if name in FIRST else 2,
        request=FORMS[name],
        answer=answer,
        meter=METERS.get(f"openai.{name.partition('.')[2]}"),
        error_format=ErrorFormat.OPENAI,
    )
    for name, answer in ANSWERS.items()
)
