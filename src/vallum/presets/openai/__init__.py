"""OpenAI's API, which most servers of open models speak as well."""

from vallum.core.problem import ErrorFormat
from vallum.presets.openai.amounts import METERS
from vallum.presets.openai.answer import ANSWERS
from vallum.presets.openai.request import FORMS
from vallum.presets.preset import Preset

VERSIONS = dict.fromkeys(("openai.chat", "openai.completions", "openai.responses"), 2)
PRESETS = tuple(
    Preset(
        name=name,
        version=VERSIONS.get(name, 1),
        request=form,
        answer=ANSWERS[name],
        meter=METERS.get(name),
        error_format=ErrorFormat.OPENAI,
    )
    for name, form in FORMS.items()
)
