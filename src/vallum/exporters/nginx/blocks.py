"""Rules of web ACLs that nginx can hold alone: addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.exporters.address import slug
from vallum.exporters.address_rules import blocking_sets
from vallum.exporters.nginx.text import block, comment, quote

if TYPE_CHECKING:
    from vallum.config.model import Config, RouteConfig


def sets(config: Config) -> list[str]:
    """Return the sets of addresses of all web ACLs that a route names."""
    used = {route.web_acl for route in config.routes}
    lines: list[str] = []
    for name, acl in config.web_acls.items():
        for rule in blocking_sets(acl) if name in used else ():
            addresses = [f"{quote(text)} {0 if rule.inverted else 1};" for text in rule.addresses]
            default = f"default {1 if rule.inverted else 0};"
            lines += comment(f"web_acls.{name}.{rule.name}: 1 is refused")
            lines += block(f"geo $remote_addr {_variable(name, rule.name)}", [default, *dict.fromkeys(addresses)])
    return lines


def sets_of(config: Config, route: RouteConfig) -> list[str]:
    """Return what refuses the addresses of a route's web ACL."""
    acl = config.web_acls.get(route.web_acl or "")
    if acl is None or route.web_acl is None:
        return []
    return [f"if ({_variable(route.web_acl, rule.name)}) {{ return 403; }}" for rule in blocking_sets(acl)]


def _variable(acl: str, rule: str) -> str:
    return f"$vallum_set_{slug(acl)}_{slug(rule)}"
