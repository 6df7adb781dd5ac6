"""`vallum serve`: run the gateway."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import uvloop
from sqlalchemy import make_url

from vallum.cli.keys import issue
from vallum.cli.terminal import DEFAULT_POLICY, DEFAULTS, DEPENDENCY, complain, err, start_logging
from vallum.config.compile import load_policy
from vallum.config.places import EMBEDDED, MEMORY, counters_url
from vallum.config.source import read_source
from vallum.core.apikey import DEFAULT_PREFIX
from vallum.gateway import Gateway, run
from vallum.stores.redis.address import Address
from vallum.stores.registry.database import describe
from vallum.supervisor import supervise

if TYPE_CHECKING:
    from vallum.config.model import Config


@click.command()
@click.argument("policy", required=False, type=click.Path(path_type=Path, dir_okay=False), envvar="VALLUM_POLICY")
@click.option("--upstream", metavar="URL", help="Protect this endpoint with safe defaults, without a policy file.")
@click.option("--listen", metavar="HOST:PORT", help="Where clients come in, with --upstream.")
@click.pass_context
def serve(ctx: click.Context, policy: Path | None, upstream: str | None, listen: str | None) -> None:
    """Run the gateway with POLICY, vallum.yaml by default.

    \b
    Example:  vallum serve --upstream http://127.0.0.1:9000
              vallum serve vallum.yaml

    SIGHUP or a changed file reloads the policy; SIGTERM lets what is in hand end.
    """
    if upstream is not None:
        if policy is not None and ctx.get_parameter_source("policy") is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError("give either a policy file or --upstream")
        _check_url(upstream)
        policy = DEFAULTS
        os.environ["VALLUM_UPSTREAM"] = upstream
        if listen is not None:
            os.environ["VALLUM_LISTEN"] = listen
    elif listen is not None:
        raise click.UsageError("--listen goes with --upstream; in a policy file it is listen.address")
    path = policy or Path(DEFAULT_POLICY)
    start_logging()
    source = read_source(path)
    config, compiled = load_policy(source)
    several = config.workers > 1 or counters_url(config) == EMBEDDED
    gateway = None if several else Gateway(config, compiled, source)
    first_key = _first_key(gateway) if gateway is not None and upstream is not None else None
    try:
        if gateway is None:
            ctx.exit(supervise(source, config, compiled, _announce))
        uvloop.run(_serve(gateway, config, first_key))
    except OSError as error:
        complain(f"cannot listen on {config.listen.address}: {error.strerror or error}")
        ctx.exit(DEPENDENCY)


async def _serve(gateway: Gateway, config: Config, first_key: str | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, gateway.reload_soon)
    empty = gateway.registry.is_empty()
    await run(gateway, stopped, lambda ready: _announce(config, ready.addresses, empty, first_key))


def _announce(config: Config, addresses: list[str], empty: bool, first_key: str | None = None) -> None:
    door = f"{'http' if config.listen.tls is None else 'https'}://{addresses[0]}"
    for upstream in config.upstreams.values():
        err.print(f"[bold]Vallum[/] stands before {upstream.url}: call [bold]{door}[/] instead")
    err.print(f"  {_house(config)}", markup=False, soft_wrap=True)
    if config.admin is not None:
        err.print(f"  metrics and health  http://{addresses[1]}/metrics  /healthz  /readyz")
    if first_key is not None:
        err.print("  a first key, shown this once:")
        click.echo(first_key)
        err.print(f'  try  curl {door}/v1/models -H "Authorization: Bearer $KEY"', style="dim")
    elif empty:
        err.print("  no keys yet: vallum keys create --subject NAME", style="yellow")


def _house(config: Config) -> str:
    """Say how many serve, and where quotas and keys are: without passwords, for this is read over shoulders."""
    counters = counters_url(config)
    own = {MEMORY: "in memory", EMBEDDED: "on a Valkey server of Vallum's own"}
    where = own[counters] if counters in own else f"on {Address.parse(counters)}"
    workers = "1 worker" if config.workers == 1 else f"{config.workers} workers"
    return f"{workers}, quotas counted {where}, keys in {describe(make_url(config.registry))}"


def _first_key(gateway: Gateway) -> str | None:
    if not gateway.registry.is_empty():
        return None
    key, _ = issue(gateway.registry, DEFAULT_PREFIX, time.time(), subject="first")
    return key


def _check_url(url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter(f"{url!r}: write http://HOST:PORT", param_hint="--upstream")
