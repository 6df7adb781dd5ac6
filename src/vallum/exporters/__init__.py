"""Exporters: a policy, as configuration of another gateway, and all that it cannot say there.

An exporter is hung up here, by one line: the command line, the docs and the tests of every feature find it here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.exporters.aws import Aws
from vallum.exporters.envoy import Envoy
from vallum.exporters.kong import Kong
from vallum.exporters.nginx import Nginx

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.exporters.export import Exporter

_ALL: tuple[Exporter, ...] = (Aws(), Aws(signed=True), Envoy(), Envoy(native=True), Kong(), Nginx())
EXPORTERS: Mapping[str, Exporter] = {exporter.name: exporter for exporter in _ALL}
