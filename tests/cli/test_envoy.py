"""`vallum envoy`: what it says at the start, how it ends, and what it says without gRPC."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from vallum.cli.envoy import _misses_certificates, envoy
from vallum.config.compile import load_policy
from vallum.config.source import parse_source

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Authority

POLICY = """
version: 1
upstreams: {model: {url: "http://127.0.0.1:9"}}
authenticators: {open: {type: anonymous}}
routes:
  - name: predict
    match: {methods: [POST], path: /predict}
    upstream: model
    auth: {any_of: [open]}
    response: {fields: [prediction]}
"""


def test_without_grpc_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("vallum.cli.envoy.find_spec", lambda name: None if name == "grpc" else find(name))
    told = CliRunner().invoke(envoy, [str(tmp_path / "none.yaml")])
    assert (told.exit_code, "pip install 'vallum[envoy]'" in told.stderr) == (3, True)


def test_it_serves_one_process(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY + "workers: 2\ncounters: embedded://\n")
    told = CliRunner().invoke(envoy, [str(path)])
    assert (told.exit_code, "one process" in told.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "says"), [((), "are refused (--accept-loss answers)"), (("--accept-losses",), "LOST")]
)
def test_it_says_what_is_lost_and_ends_when_told(tmp_path: Path, options: tuple[str, ...], says: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(f"registry: sqlite:///{tmp_path}/vallum.db\nlisten: {{drain_s: 0.2}}\n{POLICY}")
    command = [sys.executable, "-m", "vallum", "envoy", str(path), "--listen", f"unix:{tmp_path}/v.sock", *options]
    process: Any = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    try:
        lines = ""
        began = time.monotonic()
        while "nobody sees answers" not in lines and time.monotonic() - began < 30:
            lines += process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.stderr.close()
        process.wait()
    assert says in lines
    assert f"unix:{tmp_path}/v.sock" in lines


@pytest.mark.parametrize(
    ("keys", "misses"),
    [
        ("", False),
        ("client_certificate: {header: client-cert, client_ca: ca.pem}\ntrusted_proxies: [127.0.0.1]\n", True),
        (
            "client_certificate: {header: x-forwarded-client-cert, client_ca: ca.pem}\ntrusted_proxies: [127.0.0.1]\n",
            False,
        ),
        ("listen: {tls: {cert: server.pem, key: server.key, client_ca: ca.pem, client_auth: optional}}\n", True),
    ],
)
def test_it_knows_when_certificates_are_asked_for_in_vain(
    tmp_path: Path, authority: Authority, keys: str, misses: bool
) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    authority.issue("localhost").write(tmp_path, "server")
    config, _ = load_policy(parse_source(tmp_path / "policy.yaml", (POLICY + keys).encode(), {}))
    assert _misses_certificates(config) is misses
