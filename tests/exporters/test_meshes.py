"""Exports to Envoy and nginx: whole files beside their policies, what both programs say of them, and hostile names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import crossplane
import msgspec
import pytest
import yaml
from tests.exporters.cases import BASE
from tests.proxies import find_envoy, find_nginx

from vallum.config.compile import load_policy
from vallum.config.source import PolicyFileError, parse_source, read_source
from vallum.exporters.envoy import Envoy
from vallum.exporters.export import ExportError
from vallum.exporters.nginx import Nginx
from vallum.mesh import Terms

if TYPE_CHECKING:
    from tests.conftest import Authority

    from vallum.exporters.export import Export, Exporter

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
POLICIES = [*sorted((ROOT / "examples").rglob("*.yaml")), ROOT / "src/vallum/config/defaults.yaml"]
EXPORTERS: dict[str, Exporter] = {"envoy": Envoy(), "envoy-native": Envoy(native=True), "nginx": Nginx()}
MAIN = (
    "events {{}} pid {0}/pid; error_log stderr; http {{ access_log off; client_body_temp_path {0}/a; proxy_temp_path "
    "{0}/b; fastcgi_temp_path {0}/c; uwsgi_temp_path {0}/d; scgi_temp_path {0}/e; include {0}/vallum.conf; }}"
)


def write(folder: Path, export: Export) -> None:
    for name, text in export.files.items():
        (folder / name.removesuffix(".example")).write_text(text)


def validate(folder: Path, name: str) -> str:
    """Have the real program read an export; return what it complains of."""
    if name == "nginx":
        exported = folder / "vallum.conf"  # nginx asks for the addresses of hosts, of which examples have none
        exported.write_text(re.sub(r"(?m)^( +server )[a-z][a-z0-9.-]*:", r"\g<1>127.0.0.1:", exported.read_text()))
        (folder / "nginx.conf").write_text(MAIN.format(folder))
        command = [find_nginx() or "", "-t", "-q", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    else:
        command = [find_envoy() or "", "--mode", "validate", "-l", "error", "-c", str(folder / "envoy.yaml")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


def read(folder: Path, name: str) -> Any:
    """Parse an export."""
    if name == "nginx":
        found = crossplane.parse(str(folder / "vallum.conf"), single=True, check_ctx=False)
        assert found["status"] == "ok", found["errors"]
        return found["config"]
    return yaml.safe_load((folder / "envoy.yaml").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Path:
    """Make a folder with certificates."""
    folder = tmp_path_factory.mktemp("exports")
    authority.issue("localhost").write(folder, "server")
    (folder / "ca.pem").write_bytes(authority.pem)
    shutil.copy(folder / "ca.pem", folder / "clients.pem")
    (folder / "revoked.pem").write_bytes(authority.revoke(authority.issue("gone")))
    return folder


@pytest.mark.skipif(find_envoy() is None or find_nginx() is None, reason="NO ENVOY OR NGINX: see .ci/run")
@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", EXPORTERS)
def test_every_example_is_taken_by_the_real_program(folder: Path, name: str, path: Path) -> None:
    files = {"CERT": "server.pem", "KEY": "server.key", "CLIENT_CA": "ca.pem"}
    environ = {f"VALLUM_TLS_{one}": str(folder / file) for one, file in files.items()}
    exporter: Exporter = (
        Nginx(folder=str(folder)) if name == "nginx" else Envoy(native=name != "envoy", folder=str(folder))
    )
    write(folder, exporter.write(*load_policy(read_source(path, environ), certificates=False)))
    assert validate(folder, name) == ""
    assert read(folder, name)


@pytest.mark.parametrize("name", EXPORTERS)
def test_an_export_is_as_it_was(folder: Path, name: str) -> None:
    config, policy = load_policy(read_source(GOLDEN / "everyday.yaml", {}), certificates=False)
    export = EXPORTERS[name].write(config, policy)
    losses = "".join(f"{loss.feature}  {loss.where}  {loss.kind.value}\n" for loss in export.losses)
    for file, text in {**export.files, "losses.txt": losses}.items():
        kept = GOLDEN / f"everyday.{name}.{file}"
        if os.environ.get("VALLUM_WRITE_GOLDEN"):
            kept.write_text(text)
        assert text == kept.read_text(), f"if it is meant so: VALLUM_WRITE_GOLDEN=1 pytest {__file__}"
        assert "s3cr3t" not in text


@pytest.mark.skipif(find_envoy() is None or find_nginx() is None, reason="NO ENVOY OR NGINX: see .ci/run")
@pytest.mark.parametrize("name", EXPORTERS)
def test_the_kept_export_is_taken_by_the_real_program(folder: Path, name: str) -> None:
    exporter: Exporter = (
        Nginx(folder=str(folder)) if name == "nginx" else Envoy(native=name != "envoy", folder=str(folder))
    )
    config, policy = load_policy(read_source(GOLDEN / "everyday.yaml", {}), certificates=False)
    write(folder, exporter.write(config, policy))
    assert validate(folder, name) == ""


def test_an_export_asks_where_the_docs_start_vallum() -> None:
    assert Envoy().vallum == Terms().grpc
    assert f"--http {Nginx().vallum} " in (ROOT / "docs" / "exports_nginx.md").read_text()


HOSTILE = [
    'a"b',
    "a'b",
    "a\\",
    'a"; } evil { #',
    "a${HOME}",
    "a$request_uri",
    "a\nevil on;",
    "a: {b}",
    "a%REQ(x)%",
    "# a",
    "*a",
    "\u2028a",
    "\U0001f600",
    "yes",
    "~",
    "a;b",
]


def _hostile(text: str) -> list[dict[str, Any]]:
    """Return policies with `text` wherever a name or value is free."""
    policies = []
    for change in (
        lambda p: (p["upstreams"].update({text: p["upstreams"].pop("model")}), p["routes"][0].update(upstream=text)),
        lambda p: (
            p["authenticators"].update({text: p["authenticators"].pop("keys")}),
            p["routes"][0]["auth"].update(any_of=[text]),
        ),
        lambda p: p["routes"][0]["match"].update(path=f"/{text}"),
        lambda p: p["routes"][0]["match"].update(path=f"/x/{text}/*", exclude=[f"/x/{text}"]),
        lambda p: p["routes"][0].update(request={"query": [text]}),
        lambda p: p["routes"][0].update(response={"drop_headers": [text]}),
        lambda p: p["routes"][0]["auth"].update(scopes=[text]),
        lambda p: p["upstreams"]["model"].update(headers={"x-own": text, text: "x"}),
        lambda p: p["upstreams"]["model"].update(url=f"http://h/{text}"),
        lambda p: p.update(listen={"tls": {"cert": text, "key": text}}),
        lambda p: p["authenticators"].update(keys={"type": "oauth2", "issuer": "https://i.example", "audience": text}),
    ):
        policy = msgspec.yaml.decode(msgspec.yaml.encode(BASE))
        change(policy)
        policies.append(policy)
    return policies


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", EXPORTERS)
def test_no_value_breaks_out_of_the_text(tmp_path: Path, name: str, text: str) -> None:
    plain = EXPORTERS[name].write(*_load(tmp_path, BASE))
    write(tmp_path, plain)
    known = _words(read(tmp_path, name))
    written = 0
    for policy in _hostile(text):
        try:
            export = EXPORTERS[name].write(*_load(tmp_path, policy))
        except (PolicyFileError, ExportError):
            continue  # it is refused
        written += 1
        write(tmp_path, export)
        assert "evil" not in _words(read(tmp_path, name)) - known
        assert not any(line.strip().startswith("evil") for line in export.files[next(iter(export.files))].splitlines())
    assert written


def _load(folder: Path, policy: dict[str, Any]) -> Any:
    source = parse_source(folder / "policy.yaml", msgspec.json.encode(policy), {"HOME": "home"})
    return load_policy(source, certificates=False)


def _words(tree: Any) -> set[str]:
    """Return the directives or keys of a parsed file."""
    if isinstance(tree, dict):
        named = {tree["directive"]} if "directive" in tree else set(map(str, tree))
        return named.union(*map(_words, tree.values()))
    return set().union(*map(_words, tree)) if isinstance(tree, list) else set()
