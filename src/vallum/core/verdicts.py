"""The stages that act on what the watch for extraction says of a caller.

    extraction   answers become coarser, or there are none
    inputs       what the model is given is found, and counted: a body of a hundred inputs is a hundred questions
    work         each answer costs a proof of work
    quotas       all accounts of a cluster share one budget of answers (taken with the route's own, in spending.py)

Rule 1: callers learn that a quota is used up, or that work is asked for; never that, or as whom, they were named.
Rule 2: what a suspect is held to never fails open, whatever the route's `on_error` (engine.py).
Rule 3: `observe` does nothing and records all.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING
from zlib import crc32

from vallum.core import work as proofs
from vallum.core.address import network_of
from vallum.core.cost import ANSWERS
from vallum.core.decision import Challenge, Deny, Reason
from vallum.core.effects import ReadVerdict, RememberProof, Steps, TakeQuota, ask
from vallum.core.extraction import DAY_S, Account, Grade, Respond
from vallum.core.policy import Mode
from vallum.core.proof import WANTED, dpop_challenge
from vallum.core.quota import SECOND_US, Demand, Quota
from vallum.core.standing import whose
from vallum.core.theft import agent_family

if TYPE_CHECKING:
    from vallum.core.decision import Refusal
    from vallum.core.exchange import Exchange
    from vallum.core.extraction import Extraction, Verdict
    from vallum.core.policy import Route
    from vallum.core.quota import Taken

CONTROL = "extraction"
DAY_US = int(DAY_S) * SECOND_US
BUDGET, METER = "cluster budget", "verified meter"  # no quota of a policy can be called so


def mode(extraction: Extraction) -> Mode:
    """Say whether verdicts are acted on."""
    return Mode.SHADOW if extraction.respond is Respond.OBSERVE else Mode.ENFORCE


def tries(route: Route) -> bool:
    """Say whether verdicts are only observed on this route."""
    return route.extraction is not None and Mode.SHADOW in (route.mode, mode(route.extraction))


def acts(x: Exchange, route: Route) -> bool:
    """Say whether the verdict of this exchange is acted on."""
    return x.verdict is not None and not tries(route)


def is_held(x: Exchange, route: Route) -> bool:
    """Say whether something is asked of the caller that must not fail open."""
    return acts(x, route) and x.verdict is not None and x.verdict.grade >= Grade.BUDGET


def account_of(x: Exchange, extraction: Extraction) -> Account:
    """Say who asks, in the words of the watch."""
    request, who = x.request, x.principal
    verified = (
        who.subject in extraction.verified
        or who.tenant in extraction.verified_tenants
        or (extraction.bound_is_verified and who.confirmation is not None)
    )
    names = "\n".join([name for name, _ in request.headers.fields])
    return Account(
        whose(x),
        who.created,
        network_of(request.client),
        agent_family(request.headers.get("user-agent")),
        f"{crc32(names.encode('utf-8', 'replace')):08x}",
        who.tenant,
        bool(who.subject) and verified,
    )


def read(x: Exchange, route: Route) -> Steps[Refusal | None]:
    """Read what holds for the caller now; coarsen its answers, or refuse it."""
    wanted = route.extraction
    assert wanted is not None  # else this stage is not on the line
    x.account = account_of(x, wanted)
    verdict = x.verdict = yield from ask(ReadVerdict(wanted.model, x.account, x.request.now))
    if acts(x, route):
        x.coarsen = max(x.coarsen, verdict.coarsen)
    if verdict.grade is Grade.REFUSED:
        now = x.request.now
        wait_s = ceil(min(DAY_S, max(1.0, (verdict.until or now) - now)))
        return Deny(Reason.QUOTA_EXCEEDED, CONTROL, verdict.evidence, wait_s, should_retry=False)
    if _is_stolen(x, verdict) and x.principal.confirmation is None and x.principal.credential_id is not None:
        asked = dpop_challenge(x.policy.prover, "invalid_token", verdict.evidence, WANTED)
        return Challenge(asked.scheme, CONTROL, verdict.evidence)
    return None


def _is_stolen(x: Exchange, verdict: Verdict) -> bool:
    """Say whether what is asked, and the signs of theft beside it (theft.py), are too much for an owner."""
    signs = 0.0 if x.suspicion is None else x.suspicion.score
    return verdict.strange > 0 and verdict.strange + signs >= 1


def inputs(x: Exchange, route: Route) -> None:
    """Find what the model is given."""
    wanted = route.extraction
    assert wanted is not None  # else this stage is not on the line
    if x.content is not None:
        x.inputs = wanted.inputs(x.document)
    if not x.inputs:
        x.unscanned.append(f"{CONTROL} (no input where the policy says that it lies)")


def work(x: Exchange, route: Route) -> Steps[Refusal | None] | None:
    """Have each answer cost a proof of work, where the verdict says so."""
    if x.verdict is None or not x.verdict.work_bits:
        return None
    return _ask_for_work(x, route, x.verdict)


def _ask_for_work(x: Exchange, route: Route, verdict: Verdict) -> Steps[Refusal | None]:
    wanted = route.extraction
    assert wanted is not None  # else nobody had a verdict
    assert x.account is not None
    seed, request = wanted.seed(), x.request
    asked = proofs.Asked(wanted.model, x.account.name, x.body, _answers(x))
    fields = request.headers.all(proofs.FIELD)
    key, fault = "", "none came"
    if len(fields) == 1:
        key, fault = proofs.check(seed, asked, fields[0], request.now, wanted.work_s)
    if key:
        if (yield from ask(RememberProof(key, proofs.remember_ms(wanted.work_s)))):
            return None
        fault = "used before"
    token = proofs.challenge(seed, asked, verdict.work_bits, request.id, request.now)
    bits = proofs.for_inputs(verdict.work_bits, asked.inputs)
    field = f'challenge="{token}", bits={bits}, algorithm="sha-256"'
    detail = f"a proof of work of {bits} bits: {fault}; {verdict.evidence}"
    return Deny(Reason.WORK_REQUIRED, CONTROL, detail, headers=((proofs.FIELD, field),), should_retry=False)


def _answers(x: Exchange) -> int:
    """Count the answers that are asked for; a weight counts the prompts of a batch as well, so they do not multiply."""
    return max(1, len(x.inputs), x.weight)


def demands(x: Exchange, route: Route) -> tuple[Demand, ...]:
    """Return what the caller takes of its cluster's budget, or of the meter of those who are verified."""
    wanted, verdict, account = route.extraction, x.verdict, x.account
    if wanted is None or verdict is None or account is None:
        return ()
    cost = _answers(x)
    if account.verified and wanted.verified_a_day is not None:
        key = f"\x1f{CONTROL}\x1f{wanted.model}\x1fverified\x1f{account.name}"
        quota = Quota(METER, wanted.verified_a_day, DAY_US, unit=ANSWERS)
        return (Demand(quota, key, cost, None, x.principal.subject),)
    if verdict.answers_a_day is None:
        return ()
    key = f"\x1f{CONTROL}\x1f{wanted.model}\x1fcluster\x1f{verdict.cluster}"
    quota = Quota(BUDGET, max(wanted.terms.answers_a_day, verdict.answers_a_day), DAY_US, unit=ANSWERS)
    return (Demand(quota, key, cost, verdict.answers_a_day),)


def try_budget(x: Exchange, route: Route) -> Steps[Refusal | None]:
    """Take what would be taken of the budget, where verdicts are only observed."""
    wanted = demands(x, route)
    if not wanted:
        return None
    taken = yield from ask(TakeQuota(wanted))
    return None if taken.refused is None else over(wanted, taken)


def over(taking: tuple[Demand, ...], taken: Taken) -> Deny:
    """Refuse what a budget has no room for: in the words of any other quota."""
    demand = next(one for one in taking if one.quota.unit == ANSWERS)
    whose_budget = "a cluster" if demand.quota.name == BUDGET else "a verified account"
    wait_s = max(1, -(-taken.retry_after_us // SECOND_US))
    detail = f"{demand.in_force} answers a day for {whose_budget}; {demand.cost} asked for"
    return Deny(Reason.QUOTA_EXCEEDED, CONTROL, detail, wait_s, should_retry=wait_s <= 120)
