"""The structs of what a route does about copies of its model.  What each key costs honest callers is in its doc."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from vallum.config.model.base import Base, Positive, Seconds
from vallum.core.extraction import Respond

Kind = Literal["text", "image", "vector", "table"]
GradeName = Literal["alert", "coarser", "budget", "proof", "refused"]
Days = Annotated[float, Meta(gt=0, le=365)]
Share = Annotated[float, Meta(gt=0, le=10)]


class FeaturesConfig(Base, frozen=True):
    """Where the model's input lies in a request, for whatever compares inputs."""

    path: Annotated[str, Meta(description="dotted, such as `input` or `instances.*`; a list of lists is a batch")]
    kind: Annotated[Kind, Meta(description="text, image (a file, base64 or pixels), vector, or table (rows of cells)")]


class SweepConfig(Base, frozen=True):
    """When accounts are compared, off the request path."""

    every_s: Annotated[Seconds, Meta(description="longest time between two sweeps")] = 60.0
    queries: Annotated[Positive, Meta(le=1_000_000, description="of untrusted accounts, after which one is due")] = 50
    in_a_row: Annotated[
        int, Meta(ge=1, le=100, description="sweeps that must name an account before anything is done to it")
    ] = 2
    sensitivity: Annotated[
        Share,
        Meta(description="2: half the distance is enough, and false alarms are more"),
    ] = 1.0


class CalibrationConfig(Base, frozen=True):
    """What is ordinary here: until it is known, accounts are named to operators and nothing is done."""

    sample: Annotated[
        str | None,
        Meta(
            description="file beside the policy of recorded ordinary requests, a JSON object a line: `at`, `subject`, "
            "`body`, and perhaps `answer` and `created`; what it spans need not be waited for"
        ),
    ] = None
    days: Annotated[Days, Meta(description="of traffic that calibration takes, without a sample")] = 7.0


class WorkConfig(Base, frozen=True):
    """Proof of work: what an answer costs a suspect.  Clients that do not know of it are refused with 428."""

    bits: Annotated[
        int,
        Meta(ge=1, le=32, description="for one input; 18 is a tenth of a second of a core in Python, 20 half of one"),
    ] = 18
    most_bits: Annotated[int, Meta(ge=1, le=32, description="for a cluster that holds most of the model by now")] = 24
    expires_s: Annotated[float, Meta(ge=10, le=3600, description="time in which a challenge is to be met")] = 120.0
    after_days: Annotated[Days, Meta(description="in which an account is still named after its first grade")] = 1.0
    probation: Annotated[
        bool,
        Meta(
            description="asked of all untrusted accounts of a cohort that stands out, new customers among them; of a "
            "wave, of those that came with it"
        ),
    ] = False

    def __post_init__(self) -> None:
        """Hold that the price rises."""
        if self.bits > self.most_bits:
            raise ValueError("bits is over most_bits")


class VerifiedConfig(Base, frozen=True):
    """Whom an operator knows: never more than coarser answers."""

    subjects: Annotated[list[str], Meta(description="by subject")] = []
    tenants: Annotated[list[str], Meta(description="by tenant, all their subjects")] = []
    bound: Annotated[
        bool, Meta(description="also whoever holds a bound credential; only where callers cannot bind one themselves")
    ] = False
    answers_a_day: Annotated[Positive | None, Meta(description="a meter of its own for each of them; absent: none")] = (
        None
    )


class ExtractionConfig(Base, frozen=True):
    """What is done about copies of the model, by one account or by many together."""

    watch: Annotated[bool, Meta(description="false: nothing is remembered of inputs, and nobody is named")] = True
    respond: Annotated[
        Respond,
        Meta(
            description="observe: record what would be done; graduated: by grade; deny: refuse untrusted accounts once "
            "they are named"
        ),
    ] = Respond.OBSERVE
    model: (
        Annotated[
            str,
            Meta(
                pattern="^[A-Za-z0-9_.-]{1,64}$",
                description="what is watched: routes to one model name the same, and their callers are judged as one; "
                "the route's name by default",
            ),
        ]
        | None
    ) = None
    seed: (
        Annotated[
            str,
            Meta(
                min_length=16,
                description="secret of at least 16 characters, as `${NAME}` or `file:...`, the same on every node: "
                "callers cannot foresee what is compared; else one that the nodes share by the registry",
            ),
        ]
        | None
    ) = None
    established_days: Annotated[
        Days, Meta(description="age from which an account is trusted: until then its answers may end in a budget")
    ] = 14.0
    grades: Annotated[
        list[GradeName],
        Meta(
            description="what may be done to a named account: `coarser` costs it decimals, `budget` waiting, `proof` a "
            "client that can work, `refused` its business; `alert` is always there"
        ),
    ] = msgspec.field(default_factory=lambda: ["alert", "coarser", "budget"])
    lasts_days: Annotated[
        Days, Meta(description="of a grade, after the last sweeps that named the account; then it is one lower")
    ] = 1.0
    coarsen: Annotated[
        int, Meta(ge=0, le=3, description="of named accounts: 1 a decimal, 2 a band, 3 the best class alone")
    ] = 3
    coarsen_established: Annotated[
        int, Meta(ge=0, le=3, description="of established and verified accounts that are named")
    ] = 2
    answers_a_day: Annotated[
        Positive,
        Meta(le=1_000_000, description="of a whole cluster, in inputs: who is named by mistake shares them too"),
    ] = 20
    refuse_after_days: Annotated[Days, Meta(description="of being named, where `refused` is among the grades")] = 7.0
    sweep: SweepConfig = SweepConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    work: WorkConfig = WorkConfig()
    verified: VerifiedConfig = VerifiedConfig()
