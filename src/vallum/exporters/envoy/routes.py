"""Envoy's routes: those of the policy, in its order, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.exporters.address import read_url
from vallum.exporters.envoy.types import seconds
from vallum.exporters.paths import excluded_expression, is_exact, literal, path_expression
from vallum.exporters.yaml_text import Noted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vallum.config.model import Config
    from vallum.core.policy import Route

NOT_FOUND = {
    "match": {"prefix": "/"},
    "direct_response": {"status": 404},
}


def route_table(domains_why: str, routes: list[Any]) -> dict[str, Any]:
    """Return the table of routes, at whose end there is nothing."""
    host = {
        "name": "policy",
        "domains": ["*"],
        "routes": [*routes, Noted(NOT_FOUND, "what is not named does not exist")],
    }
    return {"name": "policy", "virtual_hosts": [Noted(host, domains_why)] if domains_why else [host]}


def match(
    route: Route, door: Sequence[dict[str, Any]] = (), *, base: str = "", query: bool = False, tls: bool = False
) -> dict[str, Any]:
    """Return which requests an entry takes: those of `route`, below `base` too, that have what its `door` asks for."""
    methods = sorted(route.methods)
    method = {"exact": methods[0]} if len(methods) == 1 else {"safe_regex": {"regex": "|".join(methods)}}
    headers: list[dict[str, Any]] = [{"name": ":method", "string_match": method}]
    before = f"(?:{literal(base)})?" if base else ""
    headers += [_not(before + excluded_expression(pattern)) for pattern in route.exclude]
    if query and route.intake.query is not None:
        headers.append(_target(_query_expression(route.intake.query)))
    found: dict[str, Any] = {}
    if is_exact(route.pattern) and not base:
        found["path"] = route.pattern.text
    else:
        found["safe_regex"] = {"regex": before + path_expression(route.pattern)}
    found["headers"] = [*headers, *door]
    if tls:
        found["tls_context"] = {"presented": True, "validated": True}
    return found


def action(config: Config, route: Route) -> dict[str, Any]:
    """Return where requests of `route` go, and how long the upstream may be silent."""
    upstream = config.upstreams[route.upstream.name]
    place = read_url(route.upstream.name, upstream.url)
    written: dict[str, Any] = {
        "cluster": route.upstream.name,
        "timeout": Noted("0s", "a stream may last; what is bounded is silence"),
        "idle_timeout": seconds(upstream.timeout_s),
    }
    if place.base:
        written["regex_rewrite"] = {"pattern": {"regex": "^/"}, "substitution": f"{place.base}/"}
    return written


def entry(name: str, match_: dict[str, Any], act: dict[str, Any], *, limit: int, **more: Any) -> dict[str, Any]:
    """Return one entry of the table, whose bodies are at most `limit` bytes."""
    return {"name": name, "match": match_, "route": act, "request_body_buffer_limit": max(1, limit), **more}


def shut(name: str, match_: dict[str, Any], why: str) -> Noted:
    """Return an entry that takes requests and lets none of them through."""
    return Noted({"name": name, "match": match_, "direct_response": {"status": 403}}, why)


def _not(expression: str) -> dict[str, Any]:
    return {**_target(f"{expression}(?:\\?.*)?"), "invert_match": True}


def _target(expression: str) -> dict[str, Any]:
    return {"name": ":path", "string_match": {"safe_regex": {"regex": expression}}}


def _query_expression(names: frozenset[str]) -> str:
    if not names:
        return r"[^?]*\??"
    name = f"(?:{'|'.join(literal(one) for one in sorted(names))})(?:=[^&]*)?"
    return rf"[^?]*(?:\?(?:{name}(?:&{name})*)?)?"
