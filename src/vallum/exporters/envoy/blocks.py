"""Rules of web ACLs that Envoy can hold alone: addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.exporters.address_rules import blocking_sets
from vallum.exporters.envoy.types import typed

if TYPE_CHECKING:
    from vallum.config.model import Config, RouteConfig
    from vallum.exporters.address_rules import AddressRule

BLOCKS = "vallum.blocks"


def blocked(config: Config, route: RouteConfig) -> dict[str, Any]:
    """Return the filter of the addresses that a route's web ACL refuses."""
    acl = config.web_acls.get(route.web_acl or "")
    rules = [] if acl is None else blocking_sets(acl)
    policies = {rule.name: {"permissions": [{"any": True}], "principals": _principals(rule)} for rule in rules}
    if not policies:
        return {}
    return {
        BLOCKS: typed("filters.http.rbac.v3.RBACPerRoute", rbac={"rules": {"action": "DENY", "policies": policies}})
    }


def network(text: str) -> dict[str, Any]:
    """Return a network in Envoy's words."""
    address, _, length = text.partition("/")
    return {"address_prefix": address, "prefix_len": int(length or (128 if ":" in address else 32))}


def _principals(rule: AddressRule) -> list[Any]:
    ids = [{"remote_ip": network(text)} for text in rule.addresses]
    return [{"not_id": {"or_ids": {"ids": ids}}}] if rule.inverted else ids
