"""TorchServe's inference API.

Only predictions have a preset.  The management API (`/models` with POST, PUT and DELETE, which loads code from any
address it is given) and the metrics have none: they listen on ports of their own, which no upstream should name.
"""

from vallum.presets.preset import Preset
from vallum.presets.torchserve.answer import ANSWERS
from vallum.presets.torchserve.request import PREDICT

PRESETS = (Preset(name="torchserve.predict", version=2, request=PREDICT, answer=ANSWERS["torchserve.predict"]),)
