"""What a preset is: all that Vallum knows of one API's requests and answers, as tables.

Rule: facts of a published API stand here; whether something is refused is the policy's to say, and the engine's to do.

One package a family of formats (`openai/`, `kserve/`), and in it one file a side: `request.py` (what may come in),
`answer.py` (what is withheld of what goes out), `amounts.py` (how tokens are counted).  Its `__init__` puts them
together, and `presets/__init__.py` hangs them all up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vallum.core.content import Attachment, Passage
from vallum.core.cost import Meter
from vallum.core.fieldpath import parse_path
from vallum.core.problem import ErrorFormat
from vallum.core.sidedoor import Ask
from vallum.core.weight import Factor, Weight

Bounds = Mapping[str, int]


class Bound(NamedTuple):
    """A bound that a policy may set anew: `request.bounds`."""

    default: int
    description: str


class Input(NamedTuple):
    """Where the model's input lies in a request, for whoever compares inputs."""

    path: str  # dotted, as in a policy: `inputs.*.data`
    kind: str  # text, image, audio, vector, table


@dataclass(frozen=True, kw_only=True)
class RequestForm:
    """What a request may look like, and where things lie in it."""

    # Each read by the codec of its name (config/intake.py); "" is a body that names no type.
    media_types: tuple[str, ...] = ("application/json",)
    codec: str = ""  # the name of one codec that reads them all instead
    rewritable: bool = True  # whether a body can be changed on its way
    bounds: Mapping[str, Bound] = field(default_factory=dict)
    # Makes the JSON Schema of a request under these bounds, strict: what it does not name is refused.
    schema: Callable[[Bounds], Mapping[str, Any]] | None = None
    checks: tuple[str, ...] = ()  # what no schema can say, under the same bounds; by their names in config/intake.py
    # Members that are part of the API and refused all the same, with why; `request.allow_fields` lets one through.
    refused: Mapping[str, str] = field(default_factory=dict)
    passages: Callable[[Any], Iterable[Passage]] | None = None  # the texts that reach the model, and who speaks each
    inputs: tuple[Input, ...] = ()
    attachments: tuple[Attachment, ...] = ()  # where files lie: uploads, base64, data URLs, addresses
    weights: tuple[Factor, ...] = ()  # members that make a request count as several
    headers: frozenset[str] = frozenset()  # fields that the upstream needs besides the usual
    query: frozenset[str] = frozenset()  # parameters that the API takes


class Withheld(NamedTuple):
    """Members of answers that leave only where the policy grants them by the group's name (`response.disclose`)."""

    paths: tuple[str, ...]  # dotted, as in `drop_fields`; a plain name is meant wherever it stands
    why: str  # what it gives away, with the paper
    asked_by: tuple[Ask, ...] = ()  # members of requests that ask for it: refused where it is withheld
    emptied: tuple[str, ...] = ()  # members that stay without their content, as clients fail without them
    events: tuple[str, ...] = ()  # how the types of events begin that do not leave
    media_types: tuple[str, ...] = ()  # of answers that leave, unread, only where the group is granted
    never: bool = False  # no policy grants it
    against: tuple[Ask, ...] = ()  # members of requests that are refused where it is granted


@dataclass(frozen=True, kw_only=True)
class AnswerForm:
    """What may leave of an answer, and what is withheld.

    With `values` or `members` the format is closed: a member that is not named there, nor by a granted group, never
    leaves.  Without, it is open: all leaves but what the groups name.
    """

    withheld: Mapping[str, Withheld] = field(default_factory=dict)  # by the group's name
    values: tuple[str, ...] = ()  # members that are plain values: an object or a list there does not leave
    members: tuple[str, ...] = ()  # members that leave with all that is in them
    searched: bool = False  # in those, too, the groups' names are looked for
    writes_text: bool = False  # strings are a model's words: JSON inside of them is text
    scores: tuple[str, ...] = ()  # where confidences lie, for whoever coarsens them
    divided: bool = False  # answers may be JSON with the bytes of tensors behind it
    apart: tuple[tuple[Ask, Ask], ...] = ()  # members of requests that may not stand together, whatever is granted
    headers: frozenset[str] = frozenset()  # fields of the answer that its SDKs need besides the usual
    media_types: frozenset[str] = frozenset()  # what the API answers that is not JSON and passes unread: audio, images

    @property
    def is_closed(self) -> bool:
        """Whether only named members leave."""
        return bool(self.values or self.members)


def asks(*names: str) -> tuple[Ask, ...]:
    """Say that these members of a request ask, whatever their value but null, false or empty."""
    return tuple([Ask(parse_path(name)) for name in names])


def asks_over(most: float, *names: str) -> tuple[Ask, ...]:
    """Say that these members of a request ask where their number is over `most`."""
    return tuple([Ask(parse_path(name), over=most) for name in names])


def asks_by(name: str, *words: str) -> tuple[Ask, ...]:
    """Say that the member `name` of a request asks by one of `words`."""
    return (Ask(parse_path(name), among=frozenset(words)),)


def between(ones: Iterable[Ask], others: Iterable[Ask]) -> tuple[tuple[Ask, Ask], ...]:
    """Say that none of the one may stand in a request with any of the others."""
    rest = tuple(others)
    return tuple([(one, other) for one in ones for other in rest])


def counts(*names: str) -> Factor:
    """Say that a request counts as the highest number that these members name, or as many as they list."""
    return tuple([Weight(Ask(parse_path(name))) for name in names])


def counts_as(answers: int, *members: Ask) -> Factor:
    """Say that a request in which one of these members asks counts as so many."""
    return tuple([Weight(member, answers) for member in members])


def under(place: str, names: str) -> tuple[str, ...]:
    """Return the paths of `names`, separated by blanks, under `place`."""
    return tuple([f"{place}.{name}" for name in names.split()])


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One API format.  `version` rises when what it refuses or withholds changes; a policy may say which it expects."""

    name: str
    version: int = 1
    request: RequestForm = field(default_factory=RequestForm)
    answer: AnswerForm = field(default_factory=AnswerForm)
    meter: Meter | None = None
    error_format: ErrorFormat | None = None
