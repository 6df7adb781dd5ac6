"""The driver: runs the engine's steps and performs the effects they yield.

The only place where the core's questions meet the world.  An effect that fails is thrown into the steps, so that the
route's `on_error` decides in the engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from vallum.adapters.ledger import Ledger
from vallum.core.effects import (
    Classify,
    Effect,
    FetchKeys,
    FindCredential,
    FindCredentialById,
    FindRecord,
    Introspect,
    NoteSighting,
    ReadStanding,
    ReadVerdict,
    RememberProof,
    RenewQuota,
    SettleQuota,
    Steps,
    TakeQuota,
    WithdrawCredentials,
)
from vallum.core.errors import DependencyError
from vallum.core.extraction import CLEAR
from vallum.stores.proofs import MemoryProofs
from vallum.stores.sightings import MemorySightings
from vallum.stores.standings import MemoryStandings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vallum.adapters.slow_lane import SlowLane
    from vallum.core.extraction import Verdict
    from vallum.core.protocols import Counters, Issuers, Proofs, Records, Registry, Sightings, Standings, Watcher
    from vallum.core.standing import Footing

T = TypeVar("T")


class Driver:
    """Performs effects on one set of stores."""

    def __init__(
        self,
        counters: Counters,
        registry: Registry,
        issuers: Issuers | None = None,
        *,
        proofs: Proofs | None = None,
        sightings: Sightings | None = None,
        standings: Standings | None = None,
        records: Records | None = None,
        watcher: Watcher | None = None,
        slow_lane: SlowLane | None = None,
    ) -> None:
        """Answer quotas from `counters`, credentials from `registry` and tokens by `issuers`.

        Proofs, sightings and standings are kept in this process unless they have stores of their own.  Without a
        `slow_lane` models are asked in place: where nobody else is served.
        """
        seen = proofs or MemoryProofs()
        habits = sightings or MemorySightings()
        kept = standings or MemoryStandings()

        async def read(effect: ReadStanding) -> Footing:
            return kept.read(effect.whose)

        async def judge(effect: ReadVerdict) -> Verdict:
            return CLEAR if watcher is None else watcher.judge(effect.model, effect.account, effect.now)

        async def classify(effect: Classify) -> float:
            return effect.classifier.classify(effect.text)

        self._performers: dict[type[Effect[Any]], Callable[[Any], Awaitable[Any]]] = {
            FindCredential: lambda effect: registry.find(effect.digest),
            FindCredentialById: lambda effect: registry.find_id(effect.id),
            RememberProof: lambda effect: seen.set_once(effect.key, effect.ttl_ms),
            NoteSighting: lambda effect: habits.note(effect.credential_id, effect.sighting),
            WithdrawCredentials: lambda effect: registry.withdraw(effect.digests, effect.now, effect.quarantine),
            TakeQuota: lambda effect: counters.take(effect.demands, effect.id),
            SettleQuota: lambda effect: counters.settle(effect.demands, effect.id),
            ReadStanding: read,
            ReadVerdict: judge,
            Classify: classify if slow_lane is None else slow_lane.ask,
            RenewQuota: lambda effect: counters.renew(effect.demands, effect.id),
        }
        self.ledger = Ledger(self)
        if records is not None:
            self._performers[FindRecord] = lambda effect: records.find(effect.request_id)
        if issuers is not None:
            self._performers[FetchKeys] = lambda effect: issuers.fetch_keys(effect.issuer, effect.newer_than)
            self._performers[Introspect] = lambda effect: issuers.introspect(effect.issuer, effect.token)

    async def run(self, steps: Steps[T]) -> T:
        """Run `steps` to their end and return what they decided."""
        try:
            effect = next(steps)
            while True:
                try:
                    reply = await self._performers[type(effect)](effect)
                except DependencyError as error:
                    effect = steps.throw(error)
                else:
                    effect = steps.send(reply)
        except StopIteration as stop:
            decided: T = stop.value
            return decided
        finally:
            steps.close()  # a cancelled task would leave the steps suspended
