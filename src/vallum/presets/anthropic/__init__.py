"""Anthropic's Messages API, and the count of a request's tokens that belongs to it."""

from vallum.core.problem import ErrorFormat
from vallum.presets.anthropic.amounts import METER
from vallum.presets.anthropic.answer import ANSWERS
from vallum.presets.anthropic.passages import passages
from vallum.presets.anthropic.request import (
    ATTACHMENTS,
    BOUNDS,
    COUNTED_BOUNDS,
    HEADERS,
    INPUTS,
    QUERY,
    REFUSALS,
    count_tokens,
    messages,
)
from vallum.presets.preset import Preset, RequestForm

MESSAGES = Preset(
    name="anthropic.messages",
    request=RequestForm(
        bounds=BOUNDS,
        schema=messages,
        refused=REFUSALS,
        passages=passages,
        inputs=INPUTS,
        attachments=ATTACHMENTS,
        headers=HEADERS,
        query=QUERY,
    ),
    answer=ANSWERS["anthropic.messages"],
    meter=METER,
    error_format=ErrorFormat.ANTHROPIC,
)
COUNT_TOKENS = Preset(
    name="anthropic.count_tokens",  # no meter: nothing is generated
    request=RequestForm(
        bounds=COUNTED_BOUNDS,
        schema=count_tokens,
        refused=REFUSALS,
        passages=passages,
        inputs=INPUTS,
        attachments=ATTACHMENTS,
        headers=HEADERS,
        query=QUERY,
    ),
    answer=ANSWERS["anthropic.count_tokens"],
    error_format=ErrorFormat.ANTHROPIC,
)
PRESETS = (MESSAGES, COUNT_TOKENS)
