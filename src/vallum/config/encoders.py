"""Finds the encoder that a policy names, and has the second tier of the prompt-injection check take it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.checks.prompt_injection import PromptInjection
from vallum.checks.prompt_injection.encoder import VOCABULARY, WEIGHTS
from vallum.checks.prompt_injection.second_tier import load_second_tier

if TYPE_CHECKING:
    from vallum.checks.prompt_injection import DeepConfig, PromptInjectionConfig
    from vallum.config.faults import Faults
    from vallum.config.source import Place

HINT = "it is the folder of all-MiniLM-L6-v2, relative to the policy file: see docs/injection.md"


def build_deep(faults: Faults, config: PromptInjectionConfig, deep: DeepConfig, place: Place) -> PromptInjection | None:
    """Build the check with its second tier; None after noting what is wrong with that."""
    files = [faults.source.resolve(f"{deep.encoder}/{name}") for name in (WEIGHTS, VOCABULARY)]
    try:
        tier = load_second_tier(files[0].parent)
    except ValueError as error:
        faults.note((*place, "deep", "encoder"), f"{deep.encoder}: {error}", HINT)
        return None
    return PromptInjection(config, tier)
