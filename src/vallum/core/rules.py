"""The stages in which the rules of a web ACL are judged: one stage a rule.  Their order is in engine.py.

Rule 1: a rule that matches puts its labels and is recorded; then `block` refuses, and `count` goes on.
Rule 2: the caller learns that it was refused, or over a limit and until when; of the rule it learns nothing.
Rule 3: a rule that fails is met by the route's `on_error`, as every stage is.  Only one that counts and puts no label
        has nothing to fail closed for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vallum.core.decision import Deny, Reason
from vallum.core.effects import Steps, TakeQuota, ask
from vallum.core.policy import Mode, OnError
from vallum.core.quota import SECOND_US, Demand, OnStoreFailure
from vallum.core.web_acl import Action, Hit, Match

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.decision import Refusal
    from vallum.core.exchange import Exchange
    from vallum.core.policy import Route
    from vallum.core.web_acl import Rate, Rule, WebAcl

RETRY_MAX_S = 120  # who must wait longer is told not to try again by itself


def mode_of(acl: WebAcl, rule: Rule) -> Mode:
    """Say whether a rule's stage can refuse."""
    return Mode.SHADOW if _is_harmless(rule) else acl.mode


def _is_harmless(rule: Rule) -> bool:
    return rule.action is Action.COUNT and not rule.labels


def judge(
    acl: WebAcl, rule: Rule, on_error: OnError
) -> Callable[[Exchange, Route], Refusal | Steps[Refusal | None] | None]:
    """Make the stage of one rule."""
    control = f"web_acl:{rule.name}"
    statement = rule.statement

    def look(x: Exchange, route: Route) -> Hit | None:
        if rule.reads_body and not route.intake.codecs:  # its bodies pass unread
            x.unscanned.append(control)
            return None
        return ALL if statement is None else statement.match(x)

    def run(x: Exchange, route: Route) -> Refusal | None:
        hit = look(x, route)
        return None if hit is None else _meet(x, rule, hit, Deny(Reason.REQUEST_REJECTED, control, str(hit)))

    if rule.rate is None:
        return run
    count = _counting(acl, rule, rule.rate, on_error)

    def run_rate(x: Exchange, route: Route) -> Steps[Refusal | None] | None:
        return None if look(x, route) is None else count(x)

    return run_rate


ALL = Hit("all")


def _counting(acl: WebAcl, rule: Rule, rate: Rate, on_error: OnError) -> Callable[[Exchange], Steps[Refusal | None]]:
    """Make what counts a request for a rate-based rule.  Its buckets are the web ACL's, on whatever route."""
    control = f"web_acl:{rule.name}"
    allows = on_error is OnError.ALLOW or _is_harmless(rule)
    failing = OnStoreFailure.ALLOW if allows else OnStoreFailure.DENY
    quota = replace(rate.quota, on_store_failure=failing)
    bucket = f"\x1fweb_acl\x1f{acl.name}\x1f{rule.name}\x1f{quota.window_us}\x1f"
    detail = f"over {quota.limit} in {quota.window_s} s"

    def count(x: Exchange) -> Steps[Refusal | None]:
        key = rate.key.of(x)
        taken = yield from ask(TakeQuota((Demand(quota, bucket + key, holder=key),)))
        if taken.skipped:
            x.unscanned.append(f"{control} (the counter store is out)")
        if taken.refused is None:
            return None
        if taken.unavailable:
            x.unscanned.append(f"{control} (the counter store is out)")
            return Deny(Reason.UNAVAILABLE, control, "the counter store is out", retry_after_s=1)
        hit = Hit("rate_based", detail=detail)
        wait_s = max(1, -(-taken.retry_after_us // SECOND_US))
        refusal = Deny(Reason.QUOTA_EXCEEDED, control, str(hit), wait_s, should_retry=wait_s <= RETRY_MAX_S)
        return _meet(x, rule, hit, refusal)

    return count


def _meet(x: Exchange, rule: Rule, hit: Hit, refusal: Deny) -> Deny | None:
    x.labels.update(rule.labels)
    x.matches.append(Match(rule, hit))
    return refusal if rule.action is Action.BLOCK else None
