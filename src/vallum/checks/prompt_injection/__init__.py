"""Refuse text that tries to redirect the model: overrides, role tokens, prompt extraction, personas, exfiltration.

What it stops
    "Ignore all previous instructions" and its kin in some thirty languages, chat-template tokens in user text, requests
    for the system prompt or for a secret the model holds, well-known jailbreak personas, instructions hidden in
    documents and in invisible characters; also when encoded, spelled apart, written in look-alikes or cut over fields.
Config
    `sensitivity: strict | balanced | permissive`: by what share of honest requests it may refuse, 1, 0.1 and 0.03 % of
    those it was calibrated on.  `mode: enforce | shadow`.
Cost
    TODO
Misses
    TODO
Example
    checks:
      - {type: prompt_injection, sensitivity: balanced}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from vallum.checks.patterns import MOST_PLACES
from vallum.checks.prompt_injection.judge import Judge, Judgement
from vallum.checks.prompt_injection.voices import Standing, hear
from vallum.core.decision import Finding
from vallum.core.policy import Mode
from vallum.core.reading import read

if TYPE_CHECKING:
    from vallum.core.content import Content

Sensitivity = Literal["strict", "balanced", "permissive"]


class PromptInjectionConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="prompt_injection", kw_only=True
):
    """How likely an attack must be to be refused."""

    mode: Annotated[Mode, Meta(description="shadow: record what would be refused")] = Mode.ENFORCE
    sensitivity: Annotated[
        Sensitivity,
        Meta(description="by the share of honest requests it refused in calibration: 1 %, 0.1 % or 0.03 %"),
    ] = "balanced"


class PromptInjection:
    """The check; pure and reentrant."""

    type: ClassVar[str] = "prompt_injection"

    def __init__(self, config: PromptInjectionConfig) -> None:
        """Get ready: two seconds, once."""
        self.config = config
        self._judge = Judge()

    def inspect(self, content: Content) -> Finding | None:
        """Judge what was said with each standing; the first that reaches its threshold is the finding."""
        for standing, readings in hear(content):
            judgement = self._judge.judge(readings)
            if self._refuses(standing, judgement):
                where = self._locate(content, standing)
                return Finding(self.type, where, f"{standing}: {judgement.detail}", judgement.probability)
        return None

    def _refuses(self, standing: Standing, judgement: Judgement) -> bool:
        thresholds = self._judge.model.user if standing == "user" else self._judge.model.document
        least: float = getattr(thresholds, self.config.sensitivity)
        return judgement.logit >= least

    def _locate(self, content: Content, standing: Standing) -> str:
        if len(content.values) + len(content.keys) > MOST_PLACES:
            return ""
        return content.locate(lambda text: self._refuses(standing, self._judge.judge(read(text))))
