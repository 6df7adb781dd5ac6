"""A watch that has lived through recorded requests before it serves: what they span need not be waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.extraction.shared_watch import SharedWatch
from vallum.extraction.watchers import read_inputs

if TYPE_CHECKING:
    from vallum.core.extraction import Extraction

PAUSE_S = 7200.0  # between two sweeps: what a week comes to takes seconds


def live_through(rule: Extraction, now: float) -> bytes:
    """Return all that a watch knows after a rule's sample, as if that had ended `now` (Unix seconds).

    It takes seconds, for a week of many accounts half a minute: call it in a thread.
    """
    watch = SharedWatch(rule.seed(), kind=rule.kind, shared=False)
    watch.govern(rule)
    late_s = now - rule.sample[-1].at
    swept = rule.sample[0].at + late_s
    for query in rule.sample:
        at, created = query.at + late_s, query.account.created
        account = query.account._replace(created=None if created is None else created + late_s)
        watch.note(
            query._replace(account=account, at=at, inputs=read_inputs(rule.kind, query.inputs, query.request_id))
        )
        if at - swept >= PAUSE_S and watch.sweep_due(at):
            watch.sweep(at)
            swept = at
    return watch.capture()()
