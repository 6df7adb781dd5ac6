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
from vallum.core.problem import ErrorFormat

Bounds = Mapping[str, int]


class Bound(NamedTuple):
    """A bound that a policy may set anew: `request.bounds`."""

    default: int
    description: str


class Input(NamedTuple):
    """Where the model's input lies in a request, for whoever compares inputs."""

    path: str  # dotted, as in a policy: `inputs.*.data`
    kind: str  # text, image, vector


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
    headers: frozenset[str] = frozenset()  # fields that the upstream needs besides the usual
    query: frozenset[str] = frozenset()  # parameters that the API takes


class Withheld(NamedTuple):
    """Members of answers that leave only where the policy grants them by the group's name (`response.disclose`)."""

    paths: tuple[str, ...]  # dotted, as in `drop_fields`; a plain name is meant wherever it stands
    why: str  # what it gives away, with the paper
    asked_by: tuple[str, ...] = ()  # members of requests that ask for it: refused where it is withheld


@dataclass(frozen=True, kw_only=True)
class AnswerForm:
    """What is withheld of an answer."""

    withheld: Mapping[str, Withheld] = field(default_factory=dict)  # by the group's name
    media_types: frozenset[str] = frozenset()  # what the API answers that is not JSON and passes unread: audio, images


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One API format.  `version` rises when what it refuses or withholds changes; a policy may say which it expects."""

    name: str
    version: int = 1
    request: RequestForm = field(default_factory=RequestForm)
    answer: AnswerForm = field(default_factory=AnswerForm)
    meter: Meter | None = None
    error_format: ErrorFormat | None = None
