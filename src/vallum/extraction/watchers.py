"""All watches of a process, one a model: what the gateway asks for verdicts and tells of exchanges."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from vallum.core.decision import Allow
from vallum.core.extraction import CLEAR, Query
from vallum.extraction.shared_watch import SharedWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vallum.core.exchange import Exchange
    from vallum.core.extraction import Account, Change, Extraction, Grade, Pardon, Verdict
    from vallum.core.policy import Policy
    from vallum.extraction.leak_meter import Leak
    from vallum.extraction.watch import Watch

INPUTS_MAX = 256  # of one request that are looked at, evenly over all of them
TOKENS_MAX = 1024  # of a text that came as tokens' numbers: of its beginning, and of its end
FILE_MAX_CHARS = 16_777_216  # of one in base64


class Count(NamedTuple):
    """What there is to count of one watch."""

    model: str
    accounts: dict[Grade, int]
    sweeps: int
    alarms: int
    leaks: Sequence[Leak] = ()  # what the untrusted, and each cluster, could have learnt


class Watchers:
    """Watches by the name of what they watch; each lives on when the policy is swapped."""

    def __init__(
        self, make: Callable[[Extraction], Watch] = lambda rule: SharedWatch(rule.seed(), kind=rule.kind)
    ) -> None:
        """Begin with none; `make` makes one."""
        self._make = make
        self._watches: dict[str, Watch] = {}
        self._rules: dict[str, Extraction] = {}

    def keep(self, policy: Policy) -> None:
        """Watch what this policy names, and let go of the rest.  Raise DependencyError without a seed.

        A watch lives on as long as its inputs are of the same kind, and compared in the same way.
        """
        rules = [route.extraction for route in policy.routes if route.extraction is not None]
        wanted = {rule.model: rule for rule in rules if rule.watch}
        self._watches = {model: self._find(rule) for model, rule in wanted.items()}
        self._rules = wanted

    def _find(self, rule: Extraction) -> Watch:
        before = self._rules.get(rule.model)
        if before is not None and (before.kind, before.seed()) == (rule.kind, rule.seed()):
            watch = self._watches[rule.model]
        else:
            watch = self._make(rule)
        watch.govern(rule)
        return watch

    def all(self) -> Iterable[tuple[str, Watch]]:
        """Return every watch with its name."""
        return tuple(self._watches.items())

    def ruled(self) -> Iterable[tuple[Extraction, Watch]]:
        """Return every watch with the rule that it goes by."""
        return [(rule, self._watches[model]) for model, rule in self._rules.items()]

    def pardon(self, pardons: Iterable[Pardon]) -> None:
        """Put these pardons in the place of those before."""
        held = tuple(pardons)
        for watch in self._watches.values():
            watch.ladder.pardon(held)

    def take_changes(self, now: float) -> list[tuple[str, Change]]:
        """Return the changes of grades that were not fetched yet, each with its model."""
        return [(model, change) for model, watch in self._watches.items() for change in watch.ladder.take_changes(now)]

    def count(self, now: float) -> list[Count]:
        """Count what operators look at, for each model."""
        return [
            Count(model, watch.ladder.count(now), watch.ladder.sweeps, watch.ladder.alarms, watch.meter.estimates())
            for model, watch in self._watches.items()
        ]

    def judge(self, model: str, account: Account, now: float) -> Verdict:
        """Say what holds for an account now, from memory."""
        watch = self._watches.get(model)
        return CLEAR if watch is None else watch.judge(account, now)

    def note(self, x: Exchange) -> None:
        """Take note of an exchange that was answered, wholly or in part."""
        rule = x.route.extraction if x.route is not None else None
        watch = None if rule is None else self._watches.get(rule.model)
        if rule is None or watch is None or x.account is None or not x.inputs or not was_answered(x):
            return
        tokens = 0 if x.bill is None else x.bill.output_tokens
        inputs = read_inputs(rule.kind, x.inputs, x.request.id)
        watch.note(Query(x.account, x.request.now, inputs, x.answer, x.coarsen, tokens, x.request.id))


def was_answered(x: Exchange) -> bool:
    """Say whether the caller was given an answer, or some of one: who leaves early has what has left."""
    answered = x.called and x.upstream_status is not None and 200 <= x.upstream_status < 300
    # A refusal in place of an answer that was held gave nothing; a stream that was broken off has.
    return answered and x.relay is not None and (isinstance(x.decision, Allow) or not x.relay.holds)


def read_inputs(kind: str, inputs: tuple[Any, ...], request_id: str) -> tuple[Any, ...]:
    """Return inputs as featurisers take them, as many as are looked at."""
    return tuple([_read(kind, value) for value in _some(inputs, request_id)])


def _some(inputs: tuple[Any, ...], request_id: str) -> tuple[Any, ...]:
    size = len(inputs)
    if size <= INPUTS_MAX:
        return inputs
    start = crc32(request_id.encode()) % size  # nobody can tell which will be looked at
    return tuple([inputs[(start + index * size) // INPUTS_MAX] for index in range(INPUTS_MAX)])


def _read(kind: str, value: Any) -> Any:
    """Return an input as featurisers take it: an image's bytes, a table's row as a tuple, tokens as words."""
    if kind == "table" and isinstance(value, list):
        return tuple(value)
    if kind == "text" and isinstance(value, list):
        return " ".join(map(str, value if len(value) <= 2 * TOKENS_MAX else value[:TOKENS_MAX] + value[-TOKENS_MAX:]))
    if kind != "image" or not isinstance(value, str):
        return value
    _, _, data = value.rpartition(",") if value.startswith("data:") else ("", "", value)
    try:
        return b64decode(data[:FILE_MAX_CHARS], validate=True)
    except (binascii.Error, ValueError):
        return value.encode("utf-8", "replace")[:65_536]  # an address, perhaps: its bytes stand for it
