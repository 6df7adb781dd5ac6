"""Envoy: a static bootstrap that asks Vallum about every exchange (ext_proc), or one that does without.

`Envoy()` keeps all of a policy: Envoy has the doors (TLS, certificates, bounds on heads and bodies) and the routes, and
`vallum envoy` decides, with the same policy file.  `Envoy(native=True)` keeps what Envoy can hold alone; what it cannot
check it does not let through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vallum.exporters.address import read_address
from vallum.exporters.envoy.answers import ASKING, NATIVE
from vallum.exporters.envoy.asking import asked_filters, asked_routes, asking_losses
from vallum.exporters.envoy.clusters import upstream_clusters, vallum_cluster
from vallum.exporters.envoy.listener import listener, overload
from vallum.exporters.envoy.native import key_files, key_set_clusters, native_filters, native_losses, native_routes
from vallum.exporters.export import Export
from vallum.exporters.finding import find_features, list_losses
from vallum.exporters.yaml_text import Noted, write_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.config.model import Config
    from vallum.core.policy import Policy
    from vallum.exporters.export import Answer
    from vallum.exporters.features import Feature

MAIN = "envoy.yaml"
ASKS = """Envoy in front of the policy's upstreams, asking Vallum about every exchange.
Made by `vallum export envoy`: change the policy, not this file.
Needs Envoy 1.34 or newer, and `vallum envoy` with the same policy file at {vallum}.
Run Envoy with --drain-time-s {drain}."""
ALONE = """Envoy in front of the policy's upstreams, without Vallum: it holds less than the policy says.
Made by `vallum export envoy-native`: change the policy, not this file.
Needs Envoy 1.34 or newer.  Run it with --drain-time-s {drain}.  What is lost stands in the list of losses."""


@dataclass(frozen=True, slots=True)
class Envoy:
    """Writes a policy for Envoy: one that asks Vallum, at the address `vallum`, or a `native` one."""

    native: bool = False
    vallum: str = "127.0.0.1:9002"
    folder: str = "/etc/envoy"  # where the files lie that hold what is secret

    @property
    def name(self) -> str:
        """What the command line calls it."""
        return "envoy-native" if self.native else "envoy"

    @property
    def answers(self) -> Mapping[Feature, Answer]:
        """What becomes of each feature."""
        return NATIVE if self.native else ASKING

    def write(self, config: Config, policy: Policy) -> Export:
        """Return the bootstrap.  Raises ExportError for a policy that Envoy cannot hold."""
        said = {"vallum": self.vallum, "drain": f"{config.listen.drain_s:g}"}
        found = find_features(config)
        if self.native:
            filters = native_filters(config, policy, self.folder)
            door = listener(config, native_routes(config, policy), filters, self.folder, asking=False)
            clusters = [*upstream_clusters(config), *key_set_clusters(config)]
            files = {MAIN: _bootstrap(config, door, clusters, ALONE.format(**said)), **key_files(config)}
            return Export(files, list_losses(found, NATIVE, native_losses(config, policy, found)))
        place = read_address(self.vallum)
        door = listener(config, asked_routes(config, policy), asked_filters(), self.folder, asking=True)
        text = _bootstrap(config, door, [*upstream_clusters(config), vallum_cluster(place)], ASKS.format(**said))
        return Export({MAIN: text}, list_losses(found, ASKING, asking_losses(config, found)))


def _bootstrap(config: Config, door: dict[str, Any], clusters: list[Any], head: str) -> str:
    tree = {
        "node": {"id": "vallum", "cluster": "vallum"},
        "overload_manager": Noted(overload(config), "listen.max_connections"),
        "static_resources": {"listeners": [door], "clusters": clusters},
    }
    return write_yaml(tree, head)
