"""Find the operator's own words in an answer: a system prompt that is read out.

What it stops
    Prompt extraction ("repeat everything above"): an answer that repeats a run of consecutive words of the request's
    system or developer messages (Zhang, Carlini and Ippolito 2024), in any case and punctuation, in streams too.
Config
    `words`: how long a run must be.  `action`, `mode`.
Cost
    About 0.1 us for a word of the prompt and 0.3 us for a word of the answer.  In a stream the last three words are
    held, and a run of the prompt's words from its begin.
Misses
    A prompt that the upstream adds itself and the request does not carry: use `canaries`.  Paraphrases, translations,
    codes, runs that are shorter.  Formats whose preset does not say who speaks.
Example
    response:
      leaks:
        - {type: prompt, words: 12}

A prompt that asks for fixed sentences ("answer with: ...") has them repeated honestly: give such a route a longer run,
or watch it in shadow first.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec
from msgspec import Meta

from vallum.core.content import Voice
from vallum.core.leaks import Leak, Scan
from vallum.core.policy import LeakAction, Mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.content import Content

WORD = re.compile(r"\w+")
GRAM = 4
PROMPT_MAX_CHARS = 65_536
HELD_CHARS = 200  # of three words, which have an end


class PromptConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="prompt", kw_only=True
):
    """The operator's own words, said back."""

    words: Annotated[int, Meta(ge=6, le=100, description="consecutive words of the prompt that are too many")] = 12
    action: Annotated[LeakAction, Meta(description="redact: replace it; refuse: withhold the answer")] = (
        LeakAction.REDACT
    )
    mode: Annotated[Mode, Meta(description="shadow: record what would be replaced or refused")] = Mode.ENFORCE


class PromptWords:
    """Looks for the words of the system prompt."""

    type: ClassVar[str] = "prompt"

    def __init__(self, config: PromptConfig) -> None:
        """Look for runs as long as `config` says."""
        self._words = config.words

    def watch(self, content: Content | None) -> Callable[[str, bool], Scan] | None:
        """Return what looks at the answer to a request with instructions of the operator's."""
        if content is None or content.document is None:
            return None
        grams: set[tuple[str, ...]] = set()
        room = PROMPT_MAX_CHARS
        for passage in content.passages:
            if passage.voice is Voice.OPERATOR and room > 0:
                words = WORD.findall(passage.text[:room].lower())
                room -= len(passage.text)
                grams.update(zip(*(words[at:] for at in range(GRAM)), strict=False))
        if not grams:
            return None
        least = self._words - GRAM + 1

        def scan(text: str, ended: bool) -> Scan:
            return _scan(text, ended, grams, least)

        return scan


def _may_run(text: str, grams: set[tuple[str, ...]], least: int) -> bool:
    """Say whether a long run is possible: it would hold one of every `least` grams."""
    words = WORD.findall(text.lower())
    return any(tuple(words[at : at + GRAM]) in grams for at in range(least - 1, len(words) - GRAM + 1, least))


def _scan(text: str, ended: bool, grams: set[tuple[str, ...]], least: int) -> Scan:
    """Find runs of at least `least` grams; hold the last three words, and a run that may go on."""
    if ended and not _may_run(text, grams, least):
        return Scan((), len(text))
    found = list(WORD.finditer(text))
    growing = found.pop() if not ended and found and found[-1].end() == len(text) else None  # half a word is no word
    words = [word[0].lower() for word in found]
    leaks: list[Leak] = []
    run = 0
    for at, gram in enumerate(zip(*(words[at:] for at in range(GRAM)), strict=False)):
        if gram in grams:
            run += 1
            continue
        if run >= least:
            leaks.append(Leak(found[at - run].start(), found[at + GRAM - 2].end(), "words"))
        run = 0
    last = len(words) - GRAM  # where the last gram begins
    if run >= least:
        leaks.append(Leak(found[last - run + 1].start(), found[-1].end(), "words"))
    if ended or not found:
        return Scan(leaks, len(text) if growing is None else growing.start())
    if run:
        return Scan(leaks, found[last - run + 1].start())
    return Scan(leaks, max(found[-min(GRAM - 1, len(found))].start(), len(text) - HELD_CHARS))
