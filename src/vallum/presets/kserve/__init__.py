"""The Open Inference Protocol (version 2), as Triton, KServe and MLServer speak it, and Triton's extension for text.

Only inference has a preset.  What manages a server (`/v2/repository/...`, `/v2/systemsharedmemory/...`,
`/v2/cudasharedmemory/...`, `/v2/trace/setting`, `/v2/logging`) has none: a caller who reaches it owns the server.
Health and metadata are read with GET and the preset `json`.
"""

from vallum.presets.kserve.request import GENERATE, INFER, INFER_JSON
from vallum.presets.preset import Preset

PRESETS = (
    Preset(name="kserve.infer", request=INFER),
    Preset(name="kserve.infer_json", request=INFER_JSON),
    Preset(name="kserve.generate", request=GENERATE),
)
