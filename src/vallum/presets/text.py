"""How many tokens a text is: the core's estimate, for the presets' meters."""

from vallum.core.text import tokens_of

__all__ = ["tokens_of"]
