"""Plain predictors: rows of numbers and short texts, in JSON or as comma-separated values."""

from vallum.presets.predict.request import CSV, JSON
from vallum.presets.preset import Preset

PRESETS = (Preset(name="predict.json", request=JSON), Preset(name="predict.csv", request=CSV))
