"""TensorFlow Serving's REST API.

Only inference has a preset.  Status and metadata (`GET /v1/models/...`) are read with the preset `json`; the server's
configuration is reloaded over gRPC alone, for which there is no route.
"""

from vallum.presets.preset import Preset
from vallum.presets.tf_serving.request import EXAMPLES, PREDICT

PRESETS = (
    Preset(name="tf_serving.classify", request=EXAMPLES),
    Preset(name="tf_serving.predict", request=PREDICT),
    Preset(name="tf_serving.regress", request=EXAMPLES),
)
