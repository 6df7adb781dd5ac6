"""TensorFlow Serving's REST API.

Only inference has a preset.  Status and metadata (`GET /v1/models/...`) are read with the preset `json`; the server's
configuration is reloaded over gRPC alone, for which there is no route.
"""

from vallum.core.problem import ErrorFormat
from vallum.presets.preset import Preset
from vallum.presets.tf_serving.request import EXAMPLES, PREDICT

PRESETS = tuple(
    Preset(name=f"tf_serving.{name}", request=form, error_format=ErrorFormat.PLAIN)
    for name, form in {"classify": EXAMPLES, "predict": PREDICT, "regress": EXAMPLES}.items()
)
