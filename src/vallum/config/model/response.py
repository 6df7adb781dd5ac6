"""The structs of what may go out on a route."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from vallum.config.model.base import Base, Positive
from vallum.core.policy import OnOverrun


class ConfidenceConfig(Base, frozen=True):
    """How a confidence is made coarser."""

    field: Annotated[str, Meta(description="path of the number, such as confidence or predictions.*.score")]
    bands: Annotated[dict[str, float] | None, Meta(description="a label for each lower bound")] = None
    round: Annotated[int, Meta(ge=0, le=15, description="decimal places to keep")] | None = None

    def __post_init__(self) -> None:
        """Hold that one of the two is given."""
        if (self.bands is None) == (self.round is None):
            raise ValueError("give either bands or round")


class ResponseConfig(Base, frozen=True):
    """What may go out."""

    fields: Annotated[list[str] | None, Meta(description="members to keep; all others are dropped")] = None
    drop_fields: Annotated[list[str], Meta(description="members to remove, by name or dotted path")] = []
    confidence: ConfidenceConfig | None = None
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
