"""TensorFlow Serving's REST API.

Only inference has a preset.  Status and metadata (`GET /v1/models/...`) are read with the preset `json`; the server's
configuration is reloaded over gRPC alone, for which there is no route.
"""

from vallum.core.problem import ErrorFormat
from vallum.presets.preset import Preset
from vallum.presets.tf_serving.answer import ANSWERS
from vallum.presets.tf_serving.request import EXAMPLES, PREDICT

FORMS = {"tf_serving.classify": EXAMPLES, "tf_serving.predict": PREDICT, "tf_serving.regress": EXAMPLES}
PRESETS = tuple(
    Preset(name=name, version=2, request=form, answer=ANSWERS[name], error_format=ErrorFormat.PLAIN)
    for name, form in FORMS.items()
)
