from __future__ import annotations
from typing import ClassVar, Literal
import msgspec
from vallum.core.policy import Mode


class PromptInjectionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="prompt_injection", kw_only=True):
    mode: Mode = Mode.ENFORCE
    sensitivity: Literal["strict", "balanced", "permissive"] = "balanced"


class PromptInjection:
    type: ClassVar[str] = "prompt_injection"
    def __init__(self, config): pass
    def inspect(self, content): 
        from vallum.core.decision import Finding
        return Finding("prompt_injection","","x") if "ignore all previous" in content.text.lower() else None
