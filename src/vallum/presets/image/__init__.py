"""Images for vision services: as the whole body, as a part of a form, or in JSON."""

from vallum.presets.image.answer import ANSWERS
from vallum.presets.image.request import JSON, MULTIPART, RAW
from vallum.presets.preset import Preset

PRESETS = (
    Preset(name="image.json", version=2, request=JSON, answer=ANSWERS["image.json"]),
    Preset(name="image.multipart", version=2, request=MULTIPART, answer=ANSWERS["image.multipart"]),
    Preset(name="image.raw", version=2, request=RAW, answer=ANSWERS["image.raw"]),
)
