"""The structs of what may go out on a route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from vallum.config.model.base import Base, Positive
from vallum.core.policy import OnOverrun
from vallum.leaks.canaries import CanariesConfig
from vallum.leaks.keys import KeysConfig
from vallum.leaks.personal import PersonalConfig
from vallum.leaks.prompt import PromptConfig

if TYPE_CHECKING:
    LeakConfig = Any
else:
    LeakConfig = CanariesConfig | KeysConfig | PersonalConfig | PromptConfig


class ConfidenceConfig(Base, frozen=True):
    """How confidences are made coarser."""

    field: Annotated[
        str | list[str],
        Meta(description="path of the number, or of a map or list of them, such as confidence or predictions.*.score"),
    ]
    bands: Annotated[dict[str, float] | None, Meta(description="a label for each lower bound")] = None
    round: Annotated[int, Meta(ge=0, le=15, description="decimal places to keep")] | None = None
    threshold: Annotated[float | None, Meta(description="scores below it are withheld")] = None
    top_k: Annotated[int, Meta(ge=1, description="how many scores of a map or list to keep")] | None = None
    by: Annotated[str, Meta(description="member by which the objects of a list are ranked")] = "score"

    def __post_init__(self) -> None:
        """Hold that there is a way, and not two that exclude each other."""
        if self.bands is not None and self.round is not None:
            raise ValueError("give either bands or round")
        if self.bands is None and self.round is None and self.threshold is None and self.top_k is None:
            raise ValueError("give bands, round, threshold or top_k")

    @property
    def fields(self) -> list[str]:
        """The paths, one or several."""
        return [self.field] if isinstance(self.field, str) else self.field


class PrecisionConfig(Base, frozen=True):
    """How exact other numbers leave: embeddings, regressions."""

    fields: Annotated[list[str], Meta(min_length=1, description="paths of numbers or vectors")]
    digits: Annotated[int, Meta(ge=1, le=15, description="significant digits to keep")] | None = None
    dimensions: Annotated[int, Meta(ge=1, description="components of a vector to keep, from the front")] | None = None

    def __post_init__(self) -> None:
        """Hold that there is a way."""
        if self.digits is None and self.dimensions is None:
            raise ValueError("give digits or dimensions")


class ErrorsConfig(Base, frozen=True):
    """What becomes of the upstream's errors: they are rewritten, whatever stands here."""

    fields: Annotated[
        list[str],
        Meta(max_length=20, description="members of its 4xx that pass where they are names or small numbers"),
    ] = []
    inside: Annotated[
        Literal["rewrite", "pass"],
        Meta(description="errors that come as answers, whole or in a stream: rewrite them as well, or pass them"),
    ] = "rewrite"


class PaddingConfig(Base, frozen=True):
    """Sizes that leave as multiples, so that they tell less of what is said."""

    events: Annotated[Positive, Meta(le=4096, description="of each event or line of a stream, in bytes")] = 1
    answers: Annotated[Positive, Meta(le=65_536, description="of a whole JSON answer, in bytes")] = 1


class ResponseConfig(Base, frozen=True):
    """What may go out."""

    fields: Annotated[
        list[str] | None, Meta(description="members to keep, by name or dotted path; all others are dropped")
    ] = None
    allow_fields: Annotated[
        list[str], Meta(description="members to keep besides those that the preset knows, by name or dotted path")
    ] = []
    disclose: Annotated[list[str], Meta(description="groups to grant of those that the preset withholds")] = []
    drop_fields: Annotated[list[str], Meta(description="members to remove, by name or dotted path")] = []
    confidence: ConfidenceConfig | None = None
    precision: PrecisionConfig | None = None
    headers: Annotated[list[str], Meta(description="header fields that may leave besides the usual")] = []
    drop_headers: Annotated[list[str], Meta(description="header fields that may not; `x-*` for all that begin so")] = []
    max_bytes: Annotated[Positive, Meta(description="size of an answer that must be read whole")] = 8_388_608
    reserve_bytes: Annotated[
        int, Meta(ge=0, description="taken of a quota in bytes for an answer before its size is known")
    ] = 65_536
    on_overrun: Annotated[
        OnOverrun, Meta(description="cut: end a stream that is over its reservation where no more tokens are left")
    ] = OnOverrun.ALLOW
    quota_headers: Annotated[
        Literal["show", "hide"], Meta(description="hide: say nothing of how the quotas stand but Retry-After")
    ] = "show"
    errors: Annotated[
        ErrorsConfig | None, Meta(description="the upstream's errors; absent: rewritten wherever answers are read")
    ] = None
    leaks: Annotated[list[LeakConfig], Meta(description="what must not be in an answer")] = []
    padding: PaddingConfig = PaddingConfig()
    failure_slot_ms: Annotated[
        int,
        Meta(ge=0, le=5000, description="failures leave in slots of this, at a moment that chance chooses; 0: at once"),
    ] = 20
