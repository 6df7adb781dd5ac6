"""Who says what in a request, as far as trust goes: the operator, the user, or what was brought in from outside.

What is trusted, the operator's own messages unless the policy says otherwise, is not judged.  What tools and documents
say is judged apart, against thresholds of its own: they were found on honest documents, which name files, commands and
instructions more often than people do, so that the same sensitivity refuses the same share of either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from vallum.core.content import Voice
from vallum.core.reading import Reading, read

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from vallum.core.content import Content

Standing = Literal["user", "document"]
BROUGHT_IN = frozenset((Voice.TOOL, Voice.DOCUMENT))


class Speech(NamedTuple):
    """All that was said with one standing, in every reading."""

    standing: Standing
    readings: tuple[Reading, ...]


def hear(content: Content, trust: Container[str] = (Voice.OPERATOR,)) -> Iterator[Speech]:
    """Yield what is to be judged; messages of one standing are joined, so that an attack cut over them is whole."""
    if content.is_one_voice:
        yield Speech("user", content.readings)
        return
    passages = content.passages
    trusted = {passage.text for passage in passages if passage.voice in trust}
    brought = dict.fromkeys(
        passage.text for passage in passages if passage.voice in BROUGHT_IN and passage.voice not in trust
    )
    # What no passage names is the user's: a string is judged unless somebody else is known to have said it.
    said = [text for text in (*content.values, *content.keys) if text not in trusted and text not in brought]
    yield Speech("user", read("\n".join(said)))
    if brought:
        yield Speech("document", read("\n".join(brought)))
