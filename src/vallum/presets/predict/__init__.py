"""Plain predictors: rows of numbers and short texts, in JSON or as comma-separated values."""

from vallum.presets.predict.answer import ANSWERS
from vallum.presets.predict.request import CSV, JSON
from vallum.presets.preset import Preset

FORMS = {"predict.csv": CSV, "predict.json": JSON}
PRESETS = tuple(Preset(name=name, version=2, request=form, answer=ANSWERS[name]) for name, form in FORMS.items())
