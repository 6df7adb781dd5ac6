"""A client certificate: who comes without one is a stranger, and a door that serves strangers is found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.probe.test_mutations import STRANGERS, put
from tests.probe.weak import BODY, PATH

from vallum.probe.target import open_target

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Authority
    from tests.probe.conftest import Guard, Prober

    from vallum.core.policy import Route

POLICY = """
version: 1
listen:
  address: "127.0.0.1:0"
  tls: {{cert: {0}/server.pem, key: {0}/server.key, client_ca: {0}/ca.pem, client_auth: {1}}}
admin: {{address: "127.0.0.1:0"}}
upstreams: {{model: {{url: "http://127.0.0.1:9"}}}}
authenticators: {{certs: {{type: mtls, subject: san_dns}}}}
routes:
  - {{name: predict, match: {{methods: [POST], path: /api/v1/predict}}, upstream: model, auth: {{any_of: [certs]}}}}
"""
ASKED = {"authentication.no_certificate", "authentication.no_key", "authentication.claimed_identity"}


def loosen(route: Route) -> list[Route]:
    return [replace(route, authenticators=STRANGERS, scopes=frozenset())]


@pytest.fixture
def files(tmp_path: Path, authority: Authority) -> Path:
    """Write what both sides present."""
    authority.issue("localhost", "127.0.0.1").write(tmp_path, "server")
    authority.issue("alice.clients.example").write(tmp_path, "alice")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    return tmp_path


@pytest.mark.parametrize("asked_for", ["optional", "required"])
async def test_without_the_certificate_nobody_is_served(
    probed: Prober, guard: Guard, files: Path, asked_for: str
) -> None:
    pair = (str(files / "alice.pem"), str(files / "alice.key"))
    async with guard(POLICY.format(files, asked_for)) as door:
        url = f"https://127.0.0.1:{door.port}{PATH}"
        seen = await probed(url, BODY, only=ASKED, ca=str(files / "ca.pem"), certificate=pair)
    assert seen.held == ASKED, seen.why()


async def test_a_door_that_needs_no_certificate_is_found(probed: Prober, guard: Guard, files: Path) -> None:
    pair = (str(files / "alice.pem"), str(files / "alice.key"))
    async with guard(POLICY.format(files, "optional")) as door:
        put(door, loosen)
        url = f"https://127.0.0.1:{door.port}{PATH}"
        seen = await probed(url, BODY, only=ASKED, ca=str(files / "ca.pem"), certificate=pair)
    assert {"authentication.no_certificate", "authentication.no_key"} <= seen.weak, seen.why()


def test_a_certificate_without_tls_is_told() -> None:
    with pytest.raises(ValueError, match="must be https"):
        open_target("http://127.0.0.1/", None, certificate=("a.pem", "a.key"))
