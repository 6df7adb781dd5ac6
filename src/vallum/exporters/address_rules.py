"""Rules of web ACLs on addresses, which every gateway can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vallum.core.policy import Mode

if TYPE_CHECKING:
    from vallum.config.model.web_acl import RuleConfig, WebAclConfig


class AddressRule(NamedTuple):
    """A rule that refuses addresses; `inverted`, all but them."""

    name: str
    addresses: list[str]
    inverted: bool


def blocking_sets(acl: WebAclConfig) -> list[AddressRule]:
    """Return the rules that block by the address alone, in the order of their priorities."""
    if acl.mode is not Mode.ENFORCE:
        return []
    rules = sorted(acl.rules, key=lambda rule: rule.priority)
    return [found for rule in rules if rule.action == "block" and (found := _read(rule)) is not None]


def _read(rule: RuleConfig) -> AddressRule | None:
    statement = rule.statement
    if statement.ip_set is not None:
        return AddressRule(rule.name, statement.ip_set.addresses, inverted=False)
    if statement.not_ is not None and statement.not_.ip_set is not None:
        return AddressRule(rule.name, statement.not_.ip_set.addresses, inverted=True)
    return None
