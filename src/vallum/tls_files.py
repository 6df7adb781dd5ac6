"""The files of TLS while the gateway runs: read at the start, watched, and put in force anew when they have changed."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from vallum.adapters.client_certificate import ClientCertificates
from vallum.adapters.proxy.server import Bounds, Listener
from vallum.adapters.proxy.tls import TlsListener
from vallum.config.places import stamp_files
from vallum.config.tls import MaterialError, material_files, read_material
from vallum.core.address import parse_networks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vallum.adapters.proxy.server import Handler
    from vallum.config.model import Config
    from vallum.config.tls import Material
    from vallum.metrics import Metrics

log = logging.getLogger("vallum")


class TlsFiles:
    """Certificates, keys, authorities and revocation lists of one policy, and the listener that they are for.

    A set that does not hold together is not put in force: the last good one stays.
    """

    def __init__(
        self, config: Config, resolve: Callable[[str], Path], metrics: Metrics, clock: Callable[[], float]
    ) -> None:
        """Find the files of `config` with `resolve`; hold them against `clock`, Unix seconds."""
        self._config = config
        self._resolve = resolve
        self._metrics = metrics
        self._clock = clock
        self._files = material_files(config, resolve)
        self._stamp = self._seen = stamp_files(self._files)
        self._listener: Listener | None = None
        header = config.client_certificate.header if config.client_certificate is not None else None
        self.certificates = ClientCertificates(header, parse_networks(config.trusted_proxies))

    def listen(self, handler: Handler, bounds: Bounds) -> Listener:
        """Make the listener.  What has expired is no reason not to start: a running gateway would run on, too."""
        material = read_material(self._config, self._resolve)
        if material.context is None:
            self._listener = Listener(handler, bounds)
        else:
            self._listener = TlsListener(handler, bounds, material)
        self._put_in_force(material)
        return self._listener

    def load(self) -> None:
        """Put the files in force where somebody else listens: revocation lists, for certificates that are passed on."""
        self._put_in_force(read_material(self._config, self._resolve))

    async def watch(self) -> None:
        """Put changed files in force, once they have stopped changing.  Called with every few beats."""
        before, self._seen = self._seen, stamp_files(self._files)
        if self._seen != before or before == self._stamp:
            return
        self._stamp = before
        loop = asyncio.get_running_loop()
        try:
            now = self._clock()
            material = await loop.run_in_executor(None, read_material, self._config, self._resolve, now)
        except MaterialError as error:
            log.error("the TLS files do not hold; the last good ones stay in force: %s", error)
            self._metrics.count_material("kept")
            return
        if stamp_files(self._files) != before:  # changed while it was read: it may be half of each
            return
        self._put_in_force(material)
        self._metrics.count_material("swapped")
        log.info("new TLS files are in force")

    def _put_in_force(self, material: Material) -> None:
        self.certificates.revocations = material.revocations
        self._metrics.material_not_after = material.not_after
        if isinstance(self._listener, TlsListener):
            self._listener.put_in_force(material)
