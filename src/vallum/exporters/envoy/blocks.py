"""Rules of web ACLs that Envoy can hold alone: addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.policy import Mode
from vallum.exporters.envoy.types import typed

if TYPE_CHECKING:
    from vallum.config.model import Config, RouteConfig
    from vallum.config.model.web_acl import RuleConfig, WebAclConfig

BLOCKS = "vallum.blocks"


def blocked(config: Config, route: RouteConfig) -> dict[str, Any]:
    """Return the filter of the addresses that a route's web ACL refuses."""
    acl = config.web_acls.get(route.web_acl or "")
    if acl is None:
        return {}
    policies = {
        rule.name: {"permissions": [{"any": True}], "principals": _principals(rule)} for rule in blocking_sets(acl)
    }
    if not policies:
        return {}
    return {BLOCKS: typed("filters.http.rbac.v3.RBACPerRoute", rbac={"rules": {"action": "DENY", "policies": policies}})}


def blocking_sets(acl: WebAclConfig) -> list[RuleConfig]:
    """Return the rules that refuse addresses, or all addresses but some."""
    return [
        rule
        for rule in sorted(acl.rules, key=lambda rule: rule.priority)
        if acl.mode is Mode.ENFORCE and rule.action == "block" and _set_of(rule) is not None
    ]


def _set_of(rule: RuleConfig) -> tuple[list[str], bool] | None:
    statement = rule.statement
    if statement.ip_set is not None:
        return statement.ip_set.addresses, False
    if statement.not_ is not None and statement.not_.ip_set is not None:
        return statement.not_.ip_set.addresses, True
    return None


def _principals(rule: RuleConfig) -> list[Any]:
    found = _set_of(rule)
    assert found is not None  # else the rule is none of `blocking_sets`
    addresses, inverted = found
    ids = [{"remote_ip": _network(text)} for text in addresses]
    return [{"not_id": {"or_ids": {"ids": ids}}}] if inverted else ids


def _network(text: str) -> dict[str, Any]:
    address, _, length = text.partition("/")
    return {"address_prefix": address, "prefix_len": int(length or (128 if ":" in address else 32))}
