"""Where pictures and documents lie in Anthropic's messages: in a message, in a tool's result, in a document's parts."""

from __future__ import annotations

from vallum.core.content import Attachment, Takes

BLOCKS = tuple(f"messages.*.content.*.{deeper}source" for deeper in ("", "content.*.", "source.content.*."))
ATTACHMENTS = (
    *(Attachment(f"{block}.data", "declared", Takes.BASE64) for block in BLOCKS),
    *(Attachment(f"{block}.url", "file", Takes.URL) for block in BLOCKS),
)
