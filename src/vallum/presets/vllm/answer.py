"""What leaves of vLLM's answers: as of OpenAI's, whose groups know the members that vLLM adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets.openai.answer import CHAT, COMPLETIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.presets.preset import AnswerForm

ANSWERS: Mapping[str, AnswerForm] = {"vllm.chat": CHAT, "vllm.completions": COMPLETIONS}
