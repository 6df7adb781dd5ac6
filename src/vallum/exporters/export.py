"""What an exporter returns: files that an engineer would commit, and what was lost on the way.

Rule 1: what a policy says is either in the text or in the losses.  `features.py` lists all that a policy can say, and
        an exporter answers for each feature; a test holds every exporter to the whole list.
Rule 2: no secret is written: where one is needed there is a parameter, a reference or a comment that says so.
Rule 3: the same policy gives the same bytes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.config.model import Config
    from vallum.core.policy import Policy
    from vallum.exporters.features import Feature


class Kind(StrEnum):
    """How much of a feature an export keeps."""

    APPROXIMATE = "approximate"  # it is there, and means a little less or other
    LOST = "lost"  # it is not there
    VALLUM = "vallum"  # it holds where the export asks Vallum itself


class Loss(NamedTuple):
    """Something of the policy that the export does not say as the policy says it."""

    feature: str
    where: str  # the place in the policy, as `routes.predict.quotas`
    kind: Kind
    detail: str  # one sentence: what is different
    remedy: str  # one sentence: what to put in front or behind
    default: bool = False  # the policy's file does not say it: Vallum does it by itself


class Export(NamedTuple):
    """An export: its files by name, the first of which is the main one, and the losses in the order of the policy."""

    files: Mapping[str, str]
    losses: tuple[Loss, ...]


class Exporter(Protocol):
    """Writes a policy for one gateway."""

    @property
    def name(self) -> str:
        """What the command line calls it."""

    @property
    def answers(self) -> Mapping[Feature, Answer]:
        """What becomes of every feature there is."""

    def write(self, config: Config, policy: Policy) -> Export:
        """Return the export.  Raises ExportError for a policy that cannot be exported at all."""


class Answer(NamedTuple):
    """What becomes of one feature in an export."""

    kind: Kind | None  # None: it is kept, exactly
    detail: str = ""
    remedy: str = ""


class ExportError(Exception):
    """A policy that this gateway cannot hold at all."""
