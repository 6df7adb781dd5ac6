"""The Open Inference Protocol (version 2), as Triton, KServe and MLServer speak it, and Triton's extension for text.

Only inference has a preset.  What manages a server (`/v2/repository/...`, `/v2/systemsharedmemory/...`,
`/v2/cudasharedmemory/...`, `/v2/trace/setting`, `/v2/logging`) has none: a caller who reaches it owns the server.
Health and metadata are read with GET and the preset `json`.
"""

from vallum.core.problem import ErrorFormat
from vallum.presets.kserve.answer import ANSWERS
from vallum.presets.kserve.request import GENERATE, INFER, INFER_JSON
from vallum.presets.preset import Preset

FORMS = {"kserve.generate": GENERATE, "kserve.infer": INFER, "kserve.infer_json": INFER_JSON}
PRESETS = tuple(
    Preset(name=name, version=2, request=form, answer=ANSWERS[name], error_format=ErrorFormat.PLAIN)
    for name, form in FORMS.items()
)
