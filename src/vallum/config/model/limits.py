"""The structs of limits: quotas, prices, overload and throttling."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from vallum.config.model.base import Base, Positive, Seconds
from vallum.core.policy import Mode
from vallum.core.quota import OnStoreFailure, Per

PriorityName = Literal["high", "normal", "low"]


class ConcurrencyConfig(Base, frozen=True):
    """How many requests an upstream is given at once; the others wait, and are shed when they waited too long."""

    max: Annotated[Positive, Meta(description="requests at once, at most")]
    min: Annotated[Positive, Meta(description="requests at once, at least, however late it answers")] = 1
    target_ttfb_s: (
        Annotated[float, Meta(gt=0, description="time to the first byte over which it is given less; absent: never")]
        | None
    ) = None
    signal: Annotated[
        Literal["answers", "streams"], Meta(description="answers whose first byte is timed: all, or event streams only")
    ] = "answers"
    room: Annotated[int, Meta(ge=0, le=100_000, description="requests that may wait")] = 100
    wait_s: Annotated[Seconds, Meta(description="longest wait")] = 1.0
    mode: Annotated[Mode, Meta(description="shadow: record what would be shed")] = Mode.ENFORCE

    def __post_init__(self) -> None:
        """Hold that the bounds leave something between them, and that there is a use for them."""
        if self.min > self.max:
            raise ValueError("min is over max")
        if self.target_ttfb_s is None and (self.signal == "streams" or self.min != 1):
            raise ValueError("min and signal are for a limit that adapts: give target_ttfb_s")


class PriceConfig(Base, frozen=True):
    """What calls cost, in a currency of your own: what quotas of `unit: money` count."""

    per_call: Annotated[float, Meta(ge=0, le=1e6, description="for each call that the upstream answers")] = 0.0
    per_million_input_tokens: Annotated[float, Meta(ge=0, le=1e6, description="for what goes into the model")] = 0.0
    per_million_output_tokens: Annotated[float, Meta(ge=0, le=1e6, description="for what comes out of it")] = 0.0


class BlockConfig(Base, frozen=True):
    """The last step: a caller whose factor has fallen this far is refused altogether for a time."""

    at: Annotated[float, Meta(ge=0.1, le=0.5, description="factor at which it begins")] = 0.2
    for_s: Annotated[float, Meta(gt=0, le=86_400, description="how long")] = 600.0


class ThrottleConfig(Base, frozen=True):
    """What becomes of the limits of callers who do what they should not.  In shadow unless it says otherwise."""

    mode: Annotated[Mode, Meta(description="shadow: record by how much limits would be lowered")] = Mode.SHADOW
    grace: Annotated[
        float, Meta(ge=1, le=1000, description="refused requests, more than usual for the caller, that change nothing")
    ] = 3.0
    half_life_s: Annotated[float, Meta(ge=1, le=86_400, description="time in which half is forgiven")] = 600.0
    floor: Annotated[float, Meta(ge=0.1, le=0.9, description="lowest factor")] = 0.1
    block: BlockConfig | None = None


class PrioritiesConfig(Base, frozen=True):
    """Whom an upstream with `concurrency` serves first, whatever the route's priority.  A subject's comes first."""

    subjects: Annotated[dict[str, PriorityName], Meta(description="high, normal or low by subject")] = {}
    tenants: Annotated[dict[str, PriorityName], Meta(description="high, normal or low by tenant")] = {}


class QuotaConfig(Base, frozen=True):
    """A quota in mapping form."""

    limit: Annotated[
        str | int,
        Meta(description="N per [K] second|minute|hour|day|month, or N/minute; a number alone of what is concurrent"),
    ]
    per: Annotated[Per, Meta(description="whose bucket it is")] = Per.PRINCIPAL
    unit: Annotated[
        str,
        Meta(
            pattern="^[a-z][a-z0-9_-]{0,19}$",
            description="requests, tokens, bytes, money, concurrent, or one that the upstream counts",
        ),
    ] = "requests"
    strategy: Annotated[
        Literal["strict", "smooth", "calendar"],
        Meta(
            description="strict: never more than N in any span of the window's length; smooth: a steady rate with a "
            "burst; calendar: windows that begin with the minute, the day, the month in UTC"
        ),
    ] = "strict"
    burst_credit: Annotated[
        int, Meta(ge=0, description="unused quota that is kept, at most, and may be spent above the limit")
    ] = 0
    burst: Annotated[int | float | None, Meta(description="of smooth: what may come at once; a tenth by default")] = (
        None
    )
    lease_s: Annotated[
        Seconds | None, Meta(description="of concurrent: how long one counts that ended unseen; 60 by default")
    ] = None
    on_store_failure: Annotated[
        OnStoreFailure,
        Meta(description="while the shared store is down. local: this node's share of the limit; deny; allow"),
    ] = OnStoreFailure.LOCAL
    mode: Annotated[Mode, Meta(description="shadow: record what would be refused")] = Mode.ENFORCE
    name: Annotated[str, Meta(description="what the RateLimit fields call it", pattern="^[a-z0-9-]{1,40}$")] | None = (
        None
    )
