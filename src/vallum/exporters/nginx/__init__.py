"""nginx: a server for its `http` section that asks Vallum about every request (auth_request).

nginx has the doors, the routes, the bounds on bodies and a fence of limits; `vallum envoy` says who may come in.
auth_request shows Vallum no body: what a policy says of bodies and answers is lost here.  Where that matters, let nginx
forward to `vallum serve` instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vallum.exporters.address import read_address, slugs
from vallum.exporters.export import Export
from vallum.exporters.finding import find_features, list_losses
from vallum.exporters.nginx.answers import ANSWERS, nginx_losses
from vallum.exporters.nginx.blocks import sets
from vallum.exporters.nginx.limits import callers, find_fences
from vallum.exporters.nginx.match import route_map
from vallum.exporters.nginx.routes import location, upstreams
from vallum.exporters.nginx.server import challenge, decide, refused, server
from vallum.exporters.nginx.text import comment, file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.config.model import Config
    from vallum.core.policy import Policy
    from vallum.exporters.export import Answer
    from vallum.exporters.features import Feature

MAIN = "vallum.conf"


@dataclass(frozen=True, slots=True)
class Nginx:
    """Writes a policy for nginx, which asks Vallum at the address `vallum`."""

    vallum: str = "127.0.0.1:9003"
    folder: str = "/etc/nginx/vallum"  # where the files lie that hold what is secret
    name: str = "nginx"

    @property
    def answers(self) -> Mapping[Feature, Answer]:
        """What becomes of each feature."""
        return ANSWERS

    def write(self, config: Config, policy: Policy) -> Export:
        """Return the configuration.  Raises ExportError for a policy that nginx cannot hold."""
        routes = [route for route in policy.routes if route.responder is None]
        wanted = {route.name: route for route in config.routes}
        names, behind = slugs([route.name for route in routes]), slugs(list(config.upstreams))
        fences = {route.name: find_fences(config, route, wanted[route.name], names[route.name]) for route in routes}
        locations = [
            location(
                config,
                route,
                wanted[route.name],
                (names[route.name], behind[route.upstream.name]),
                fences=fences[route.name],
            )
            for route in routes
        ]
        zones = dict.fromkeys(fence.zone for found in fences.values() for fence in found)
        certificates = config.listen.tls is not None and config.listen.tls.client_auth != "none"
        largest = max(max(1, route.intake.max_bytes) for route in routes)
        places = [*locations, decide(certificates=certificates), refused()]
        text = file(
            _head(),
            upstreams(config, behind, read_address(self.vallum).joined),
            route_map(policy.routes, names),
            [*callers(), *zones] if zones else [],
            sets(config),
            challenge(),
            server(config, largest, places, self.folder),
        )
        found = find_features(config)
        return Export({MAIN: text}, list_losses(found, ANSWERS, nginx_losses(config, policy, found)))


def _head() -> list[str]:
    return comment(
        "nginx in front of the policy's upstreams, asking Vallum who may come in.",
        "Made by `vallum export nginx`: change the policy, not this file.  Include it in the section http.",
        "Needs nginx 1.18 or newer with auth_request, and `vallum envoy` with the same policy file,",
        "--http as below and --accept-loss for what auth_request cannot show or do: it stands in the list of losses.",
    )
