"""`vallum envoy`: answer what Envoy and nginx ask."""

from __future__ import annotations

import asyncio
import signal
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click
import uvloop

from vallum.adapters.beyond import Beyond, tell
from vallum.adapters.client_certificate import XFCC
from vallum.cli.terminal import DEFAULT_POLICY, DEPENDENCY, complain, err, start_logging
from vallum.config.compile import load_policy
from vallum.config.places import EMBEDDED, counters_url
from vallum.config.source import read_source
from vallum.gateway import run

if TYPE_CHECKING:
    from vallum.config.model import Config
    from vallum.mesh import Mesh, Terms


@click.command()
@click.argument("policy", required=False, type=click.Path(path_type=Path, dir_okay=False), envvar="VALLUM_POLICY")
@click.option("--listen", metavar="ADDRESS", default="127.0.0.1:9002", help="For Envoy: HOST:PORT, or unix:FILE.")
@click.option("--http", metavar="HOST:PORT", help="For Envoy's http_service and nginx's auth_request; off without.")
@click.option(
    "--accept-loss",
    "losses",
    multiple=True,
    type=click.Choice([one.value for one in Beyond]),
    help="Let requests pass although this cannot be done for a proxy that only asks.",
)
@click.option("--accept-losses", is_flag=True, help="All of them.")
@click.option(
    "--unknown-limits",
    type=click.Choice(["deny", "allow"]),
    default="deny",
    show_default=True,
    help="Rate limit descriptors that the policy does not know.",
)
@click.pass_context
def envoy(
    ctx: click.Context,
    policy: Path | None,
    listen: str,
    http: str | None,
    losses: tuple[str, ...],
    accept_losses: bool,
    unknown_limits: str,
) -> None:
    """Answer what Envoy and nginx ask about requests, by POLICY.

    \b
    Example:  vallum envoy vallum.yaml
              vallum envoy vallum.yaml --http 127.0.0.1:9003 --accept-loss bodies     for nginx

    Serves gRPC: ext_proc, ext_authz, the rate limit service and health checks; with --http also ext_authz's
    http_service under /envoy and nginx's auth_request under /.vallum/decide.  Only this machine and
    trusted_proxies may ask.
    SIGHUP or a changed file reloads the policy; SIGTERM lets what is in hand end.
    """
    missing = [name for name in ("grpc", "google.protobuf") if not _is_there(name)]
    if missing:
        complain("grpcio and protobuf are missing: pip install 'vallum[envoy]'")
        ctx.exit(DEPENDENCY)
    from vallum.mesh import Mesh, Terms  # noqa: PLC0415  only who serves Envoy needs gRPC

    start_logging()
    source = read_source(policy or Path(DEFAULT_POLICY))
    config, compiled = load_policy(source)
    if config.workers > 1 or counters_url(config) == EMBEDDED:
        complain("vallum envoy is one process: set workers: 1, and counters to a Redis or Valkey to have several")
        ctx.exit(2)
    accepted = frozenset(Beyond) if accept_losses else frozenset(Beyond(loss) for loss in losses)
    terms = Terms(listen, http, accepted, unknown_limits == "allow")
    mesh = Mesh(config, compiled, source, terms)
    try:
        uvloop.run(_serve(mesh, terms))
    except OSError as error:
        complain(f"cannot listen: {error.strerror or error}")
        ctx.exit(DEPENDENCY)


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # of the package that it would be in
        return False


async def _serve(mesh: Mesh, terms: Terms) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, mesh.reload_soon)
    await run(mesh, stopped, lambda ready: _announce(ready, terms))


def _misses_certificates(config: Config) -> bool:
    """Say whether the policy asks callers for certificates in a way that only `vallum serve` can.

    Nothing is believed by default: what stands before Envoy, or nginx on this machine, passes callers' fields on.
    """
    told, tls = config.client_certificate, config.listen.tls
    return (told.header != XFCC) if told is not None else (tls is not None and tls.client_auth != "none")


def _announce(mesh: Mesh, terms: Terms) -> None:
    addresses = list(mesh.addresses)
    err.print(f"[bold]Vallum[/] answers Envoy on [bold]{addresses.pop(0)}[/] (gRPC)", soft_wrap=True)
    if terms.http is not None:
        err.print(f"  over HTTP           http://{addresses.pop(0)}/envoy and /.vallum/decide", soft_wrap=True)
    if addresses:
        err.print(f"  metrics and health  http://{addresses[0]}/metrics  /healthz  /readyz", soft_wrap=True)
    if _misses_certificates(mesh.config):
        err.print(
            "  certificates: what Envoy says of them is not believed: write client_certificate: "
            f"{{header: {XFCC}}}, and Envoy's address into trusted_proxies",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    for line in tell(mesh.engine.policy, terms.accepted):
        err.print(f"  ext_authz: {line}", style="yellow", markup=False, soft_wrap=True)
    err.print(
        "  ext_authz: nobody sees answers: header fields of upstreams and the text of their failures pass as they are",
        soft_wrap=True,
    )
