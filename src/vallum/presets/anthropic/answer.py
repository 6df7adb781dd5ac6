"""What leaves of answers in Anthropic's format, and what is withheld.

A stream numbers its blocks, and SDKs look them up by number: a block of thinking stays where it is, without its words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets.preset import AnswerForm, Withheld, under

if TYPE_CHECKING:
    from collections.abc import Mapping

BLOCK = (
    "type text id name thinking signature data tool_use_id content.type content.title content.url content.page_age"
    " citations.type citations.cited_text citations.document_index citations.document_title citations.title"
    " citations.url citations.start_char_index citations.end_char_index citations.start_page_number"
    " citations.end_page_number citations.start_block_index citations.end_block_index"
)
CITATION = BLOCK[BLOCK.index("citations") :].replace("citations.", "citation.")
USAGE = "input_tokens output_tokens"
MESSAGE = (
    *"id type role model stop_reason stop_sequence".split(),
    *under("content", BLOCK),
    *under("usage", USAGE),
)
BLOCKS = ("content", "message.content", "content_block")  # in a message, in the event that begins one, alone
HIDDEN = "thinking signature data"

MESSAGES = AnswerForm(
    values=(
        *MESSAGE,
        *under("message", " ".join(MESSAGE)),
        *under("content_block", BLOCK),
        *under("delta", f"type text partial_json thinking signature stop_reason stop_sequence {CITATION}"),
        *("index", "error.type"),
    ),
    members=tuple([f"{place}.input" for place in BLOCKS]),  # of a tool: whatever its schema says
    withheld={
        "reasoning": Withheld(
            (),
            "Thinking is what distillation wants most: students trained on it come close to the model (DeepSeek-AI"
            " 2025).  Its signature is made by the server alone and says nothing to a customer.",
            emptied=tuple(
                [
                    path
                    for place in BLOCKS
                    for path in (*under(f"{place}.type=thinking", HIDDEN), f"{place}.type=redacted_thinking.data")
                ]
            ),
            events=("thinking_delta", "signature_delta"),
        ),
        "routing": Withheld(
            tuple(
                [
                    path
                    for place in ("usage", "message.usage")
                    for path in under(place, "service_tier inference_geo speed")
                ]
            ),
            "Tells where and how the model is served, and how loaded it is: reconnaissance.",
        ),
        "cache": Withheld(
            tuple(
                [
                    path
                    for place in ("usage", "message.usage")
                    for path in under(place, "cache_creation_input_tokens cache_read_input_tokens cache_creation")
                ]
            ),
            "A cache that callers share tells whether somebody else has sent this beginning (Gu et al. 2025).",
        ),
        "container": Withheld(
            ("container", "message.container", "context_management", "delta.container"),
            "Names what runs behind the model, on a host of the owner's.",
        ),
    },
    writes_text=True,
)

COUNT_TOKENS = AnswerForm(values=("input_tokens",))

ANSWERS: Mapping[str, AnswerForm] = {"anthropic.count_tokens": COUNT_TOKENS, "anthropic.messages": MESSAGES}
