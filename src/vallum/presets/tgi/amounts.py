"""Tokens in TGI's format: the details of an answer state them, where the caller asked for details.

Of a stream without details every event is a token; of a whole answer without them the text is counted from above.
"""

from __future__ import annotations

from typing import Any

from vallum.presets.amounts import Format, FormatMeter


def _details(document: Any) -> dict[str, Any]:
    details = document.get("details") if isinstance(document, dict) else None
    return details if isinstance(details, dict) else {}


def _texts(document: Any) -> list[Any]:
    """Return the text of an event's token, or of a whole answer, with the answers that were generated beside it."""
    if not isinstance(document, dict):
        return []
    token = document.get("token")
    if isinstance(token, dict):  # the last event of a stream repeats all of it
        return [token.get("text")]
    others = _details(document).get("best_of_sequences")
    if not isinstance(others, list):
        return [document.get("generated_text")]
    return [
        document.get("generated_text"),
        *(other.get("generated_text") for other in others if isinstance(other, dict)),
    ]


def _is_all(document: Any) -> bool:
    """Say whether the details count all that was generated: of several answers they count the one that is sent."""
    return not _details(document).get("best_of_sequences")


def _end(document: Any, tokens: int) -> list[tuple[str, Any]]:
    index = document.get("index", 0) if isinstance(document, dict) else 0
    token = {"id": 0, "text": "", "logprob": 0.0, "special": True}
    details = {"finish_reason": "length", "generated_tokens": tokens, "seed": None}
    return [("", {"index": index, "token": token, "generated_text": "", "details": details})]


GENERATE = Format(
    prompt=("inputs",),
    output=("parameters.max_new_tokens",),
    choices=("parameters.best_of",),
    usage=(("details",),),
    counted=(("input_length", "generated_tokens"),),
    stated=_is_all,
    texts=_texts,
    end=_end,
)
METER = FormatMeter(GENERATE)
