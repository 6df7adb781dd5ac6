"""Answers for single places of a policy, where they differ from those of their features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.exporters.address_rules import blocking_sets
from vallum.exporters.export import Answer, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vallum.config.model import Config
    from vallum.core.policy import Limit, Policy
    from vallum.exporters.finding import Found

KEPT = (None, Kind.APPROXIMATE)


def left_out(config: Config, policy: Policy, is_counted: Callable[[Limit], bool]) -> set[str]:
    """Return the places of the quotas and rules that an export without Vallum leaves out as a whole."""
    compiled = {route.name: route for route in policy.routes}
    quotas = {
        f"routes.{route.name}.quotas[{index}]"
        for route in config.routes
        for index, limit in enumerate(compiled[route.name].limits)
        if not is_counted(limit)
    }
    used = {route.web_acl for route in config.routes}
    rules = {
        f"web_acls.{name}.rules.{rule.name}"
        for name, acl in config.web_acls.items()
        for rule in acl.rules
        if name not in used or rule.name not in {kept.name for kept in blocking_sets(acl)}
    }
    return quotas | rules


def answer_at(
    found: Iterable[Found], places: Iterable[str], answers: Callable[[Found], Answer], instead: Answer
) -> dict[Found, Answer]:
    """Give `instead` to what is found at `places` and would be kept, or nearly."""
    wanted = frozenset(places)
    return {one: instead for one in found if one.where in wanted and answers(one).kind in KEPT}
