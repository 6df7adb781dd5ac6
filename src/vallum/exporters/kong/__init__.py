"""Writes a policy for Kong 3.10 in decK's format: services, routes and open-source plugins.

What only Kong Enterprise can say is a comment where it would stand.  The export is held against the schemas of Kong's
plugins (`schema.py`) before it is handed out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vallum.authenticators.oauth2 import OAuth2Config
from vallum.config.model.web_acl import IpSet
from vallum.core.policy import Mode
from vallum.exporters.export import Export, ExportError, Kind, Loss
from vallum.exporters.features import Feature
from vallum.exporters.finding import Found, find_features, list_losses
from vallum.exporters.kong.access import admit, write_consumers
from vallum.exporters.kong.answers import ANSWERS, KEPT, lost, nearly
from vallum.exporters.kong.limits import PASSWORD, limit_route, read_counters
from vallum.exporters.kong.notation import Reference, plain, scalar
from vallum.exporters.kong.paths import write_excluded, write_path
from vallum.exporters.kong.schema import find_faults
from vallum.exporters.yaml_text import Noted, write_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vallum.config.model import Config, RouteConfig, UpstreamConfig
    from vallum.config.model.web_acl import Statement
    from vallum.core.policy import Policy
    from vallum.exporters.export import Answer

FILE = "kong.yaml"
NAMELESS = re.compile(r"[^A-Za-z0-9_.~-]")  # what Kong takes in no name
WITHHELD = ("authorization", "cookie", "dpop", "x-api-key")  # what callers prove themselves by is not the service's
WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
HEAD = (
    "Kong 3.10, decK format: deck gateway sync kong.yaml",
    "Written by `vallum export kong`: change the policy, not this file.  What it cannot say is among the losses that",
    "the command lists; under each route stand the features of the policy that are lost there.",
)


class Kong:
    """The exporter of Kong."""

    name = "kong"
    answers: Mapping[Feature, Answer] = ANSWERS

    def write(self, config: Config, policy: Policy) -> Export:
        """Return the export.  Raises ExportError where Kong would not take it."""
        return _Writer(config, policy).export()


class _Writer:
    def __init__(self, config: Config, policy: Policy) -> None:
        self._config = config
        self._routes = {route.name: route for route in policy.routes}
        self._special: dict[Found, Answer] = {}
        self._fallbacks: set[str] = set()
        self._variables: dict[str, str] = {}  # what each is, by name
        self._sent: dict[str, dict[str, Reference]] = {}  # by service
        self._counters = read_counters(config.counters)
        if self._counters.has_password:
            self._variables[PASSWORD] = "the password of `counters`"
        self._services = _names(config.upstreams)

    def export(self) -> Export:
        services = [self._service(name, upstream) for name, upstream in self._config.upstreams.items()]
        if self._counters.lost:
            self._special[Found(Feature.COUNTERS, "counters")] = lost(self._counters.lost)
        losses = list_losses(find_features(self._config), ANSWERS, self._special)
        for service in services:
            service["routes"] = [_told(route, losses) for route in service["routes"]]
        document: dict[str, Any] = {"_format_version": "3.0", "services": services}
        consumers = write_consumers(self._fallbacks)
        if consumers:
            document["consumers"] = consumers
        faults = find_faults(plain(document))
        if faults:
            raise ExportError("Kong would not take this export:\n" + "\n".join(faults))
        return Export({FILE: write_yaml(document, "\n".join([*HEAD, *self._needed()]), scalar)}, losses)

    def _needed(self) -> Iterator[str]:
        if self._variables:
            yield "It wants these variables of the environment:"
            for name, meaning in self._variables.items():
                yield f"  {name}: {meaning}"

    def _service(self, name: str, upstream: UpstreamConfig) -> dict[str, Any]:
        milliseconds = max(1, min(round(upstream.timeout_s * 1000), 2**31 - 2))
        url = urlsplit(upstream.url)
        host = f"[{url.hostname}]" if ":" in str(url.hostname) else url.hostname
        port = "" if url.port is None else f":{url.port}"
        service: dict[str, Any] = {
            "name": self._services[name],
            "url": f"{url.scheme}://{host}{port}{url.path}",
            "connect_timeout": milliseconds,
            "read_timeout": milliseconds,
            "write_timeout": milliseconds,
            "retries": 0,
        }
        if url.scheme == "https":
            note = "kong.conf: lua_ssl_trusted_certificate = system, or the authority of the service"
            service["tls_verify"] = Noted(True, note)
        if url.username or url.password:
            self._special[Found(Feature.UPSTREAM_URL, f"upstreams.{name}.url")] = lost(
                "The name and password in the address are left out.", "Send them by upstreams.NAME.headers."
            )
        self._name_variables(name, upstream)
        of_mine = [(index, route) for index, route in enumerate(self._config.routes) if route.upstream == name]
        service["routes"] = [written for index, route in of_mine for written in self._route(index, route)]
        return service

    def _name_variables(self, name: str, upstream: UpstreamConfig) -> None:
        """Name a variable for each header field that a service is sent: their values are secrets."""
        for field in upstream.headers:
            variable = _variable(name, field)
            while variable in self._variables:
                variable += "_"
            self._variables[variable] = f"value of {field} for the service {name}"
            self._sent.setdefault(name, {})[field] = Reference(f"{field}:", variable)

    def _headers(self, upstream: str) -> dict[str, Any]:
        """Keep credentials from the service, and send it its own fields, whatever a client sent."""
        sent = self._sent.get(upstream, {})
        config: dict[str, Any] = {
            "remove": {"headers": [*WITHHELD, *(name for name in sent if name.lower() not in WITHHELD)]}
        }
        if sent:
            config["add"] = {"headers": list(sent.values())}
        return {"name": "request-transformer", "config": config}

    def _route(self, index: int, route: RouteConfig) -> Iterator[dict[str, Any]]:
        """Write a route, after the one that keeps its excluded paths shut.  The first route of the file comes first."""
        priority = 2 * (len(self._config.routes) - index)
        plugins = list(self._plugins(route))
        common = {
            "protocols": ["http", "https"] if self._config.listen.tls is None else ["https"],
            "methods": list(dict.fromkeys(route.match.methods)),
        }
        if route.match.exclude:
            shut = {"name": "request-termination", "config": {"status_code": 404, "message": "no Route matched"}}
            yield {
                "name": f"{route.name}~not",
                **common,
                "paths": [write_excluded(path) for path in route.match.exclude],
                "regex_priority": priority + 1,
                "strip_path": False,
                "plugins": [shut],
            }
        written = {"name": route.name, **common, "paths": [write_path(route.match.path)]}
        written |= {"regex_priority": priority, "strip_path": False, "preserve_host": False}
        if self._routes[route.name].meter is not None:
            written["response_buffering"] = Noted(False, "Event streams pass as they come.")
        if plugins:
            written["plugins"] = plugins
        yield written

    def _plugins(self, route: RouteConfig) -> Iterator[Any]:
        access = admit(route, self._config)
        if access.fallback:
            self._fallbacks.add(access.fallback)
        yield from access.plugins
        yield self._headers(route.upstream)
        self._note_issuers(route)
        if route.mode is Mode.SHADOW:
            return
        yield from self._addresses(route)
        yield from limit_route(self._routes[route.name], self._counters, self._special)
        bodies = frozenset(route.match.methods) <= WITH_BODY
        size = {"allowed_payload_size": route.request.max_bytes, "size_unit": "bytes", "require_content_length": bodies}
        yield {"name": "request-size-limiting", "config": size}
        if route.request.schema is not None:
            yield from self._schema(route)
        yield from self._removals(route)

    def _note_issuers(self, route: RouteConfig) -> None:
        """Note that a quota of each caller is one of each issuer where tokens say who calls."""
        if any(isinstance(self._config.authenticators[name], OAuth2Config) for name in route.auth.any_of):
            answer = nearly("All callers whose tokens are of one issuer are one consumer, and share the quota.")
            for index, _ in enumerate(route.quotas):
                for per in (Feature.PER_PRINCIPAL, Feature.PER_KEY):
                    self._special.setdefault(Found(per, f"routes.{route.name}.quotas[{index}]"), answer)

    def _addresses(self, route: RouteConfig) -> Iterator[dict[str, Any]]:
        """Write what a web ACL says of addresses alone: those that may not call, or those that alone may."""
        acl = self._config.web_acls.get(route.web_acl or "")
        if acl is None:
            return
        config: dict[str, list[str]] = {}
        for rule in sorted(acl.rules, key=lambda rule: rule.priority):
            where = f"web_acls.{route.web_acl}.rules.{rule.name}"
            key, addresses = _restriction(rule.statement)
            if rule.action != "block" or acl.mode is Mode.SHADOW or (key == "allow" and key in config):
                key = ""
            if not key:
                answer = lost("Kong blocks by addresses alone, not by them among other conditions or only to count.")
                self._special[Found(Feature.WAF_IP_SET, where)] = answer
                continue
            config[key] = list(dict.fromkeys([*config.get(key, []), *addresses]))
            self._special[Found(Feature.WAF_LOGIC, where)] = KEPT
        if config:
            yield {"name": "ip-restriction", "config": {**config, "status": 403}}

    def _schema(self, route: RouteConfig) -> Iterator[Noted]:
        """Say in comments what Kong Enterprise would be given."""
        notes = (
            "Kong Enterprise: request-validator, with the schema's text, of draft 4 or what both drafts mean alike",
            "  config: {version: draft4, allowed_content_types: [application/json], body_schema: ..}",
            f"  body_schema: {route.request.schema}",
        )
        yield Noted(None, "\n".join(notes))

    def _removals(self, route: RouteConfig) -> Iterator[dict[str, Any]]:
        """Remove what may not leave, as far as Kong can name it."""
        where = f"routes.{route.name}.response"
        headers = [name for name in route.response.drop_headers if "*" not in name]
        members = [name for name in route.response.drop_fields if not set(".=*:") & set(name)]
        if len(headers) < len(route.response.drop_headers):
            remedy = "Name each field in response.drop_headers."
            answer = lost("Kong removes fields by their whole names: those with a `*` stay.", remedy)
            self._special[Found(Feature.DROP_HEADERS, f"{where}.drop_headers")] = answer
        if len(members) < len(route.response.drop_fields):
            answer = lost("Kong removes members at the top of an answer alone: those with a path stay.")
            self._special[Found(Feature.DROP_FIELDS, f"{where}.drop_fields")] = answer
        remove = {key: value for key, value in (("headers", headers), ("json", members)) if value}
        if remove:
            yield {"name": "response-transformer", "config": {"remove": remove}}


def _restriction(statement: Statement) -> tuple[str, list[str]]:
    """Return how ip-restriction says a statement that blocks: by addresses to deny, or the only ones to allow."""
    if isinstance(statement.ip_set, IpSet):
        return "deny", statement.ip_set.addresses
    if statement.not_ is not None and isinstance(statement.not_.ip_set, IpSet):
        return "allow", statement.not_.ip_set.addresses
    return "", []


def _told(route: dict[str, Any], losses: Iterable[Loss]) -> Noted:
    """Say above a route what of the policy is not there."""
    within = f"routes.{route['name']}."
    mine = [loss for loss in losses if loss.kind is Kind.LOST and loss.where.startswith(within)]
    gone = ", ".join(dict.fromkeys(_brief(loss, within) for loss in mine))
    return Noted(route, gone and f"Lost here: {gone}")


def _brief(loss: Loss, within: str) -> str:
    """Name a loss, with its place where there may be others like it."""
    place = loss.where.removeprefix(within)
    return f"{loss.feature} ({place})" if place.endswith("]") else loss.feature


def _names(upstreams: Iterable[str]) -> dict[str, str]:
    """Return a name that Kong takes for each upstream, no two alike."""
    given: dict[str, str] = {}
    for name in upstreams:
        plain_name = NAMELESS.sub("-", name) or "-"
        while plain_name in given.values():
            plain_name += "-"
        given[name] = plain_name
    return given


def _variable(*words: str) -> str:
    return "_".join(["DECK", *(re.sub(r"[^A-Z0-9]", "_", word.upper()) for word in words)])
