"""Where pictures, sounds and files lie in requests of OpenAI's API and of servers that speak it."""

from __future__ import annotations

from vallum.core.content import Attachment, Takes

CHAT = (Attachment("messages.*.content.*.image_url", "image", Takes.URL),)
# vLLM takes what it calls multimodal parts beside OpenAI's own, each by its address too.
SERVED_CHAT = (
    *CHAT,
    Attachment("messages.*.content.*.audio_url", "audio", Takes.URL),
    Attachment("messages.*.content.*.video_url", "video", Takes.URL),
)
RESPONSES = (
    Attachment("input.*.content.*.image_url", "image", Takes.URL),
    Attachment("input.*.output.image_url", "image", Takes.URL),  # a screenshot, or the parts that a tool returned
    Attachment("tools.*.input_image_mask.image_url", "image", Takes.URL),
    Attachment("input.*.content.*.file_url", "file", Takes.URL),
    Attachment("input.*.output.file_url", "file", Takes.URL),
)
