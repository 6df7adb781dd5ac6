"""What all commands say things with: exit codes, colours, the options they share."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from rich.logging import RichHandler

from vallum.config.decode import decode
from vallum.config.model import Config
from vallum.config.source import PolicyFileError, Source, read_source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FAILED, MISUSE, DEPENDENCY = 1, 2, 3
DEFAULT_POLICY = "vallum.yaml"
DEFAULTS = Path(__file__).parent.parent / "config" / "defaults.yaml"

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

F = TypeVar("F", bound="Callable[..., Any]")


def policy_option(function: F) -> F:
    """Add `--policy FILE` (or VALLUM_POLICY)."""
    return click.option(
        "--policy",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="VALLUM_POLICY",
        help=f"Policy file; {DEFAULT_POLICY} by default.",
    )(function)


def complain(message: str) -> None:
    """Print an error, plainly: paths and numbers must be easy to copy."""
    for line in message.splitlines():
        err.print(line, style="red", markup=False, soft_wrap=True)


def find_policy(policy: Path | None) -> Path:
    """Return the policy file to use: as named, or vallum.yaml, or the defaults of `serve --upstream`."""
    if policy is not None:
        return policy
    return Path(DEFAULT_POLICY) if Path(DEFAULT_POLICY).exists() else DEFAULTS


def read_config(policy: Path | None, environ: Mapping[str, str] = os.environ) -> tuple[Config, Source]:
    """Read a policy file's settings, without building what it describes.  Raise PolicyFileError."""
    source = read_source(find_policy(policy), environ)
    config = decode(source, Config)
    if config is None:
        raise PolicyFileError(source.path, source.faults)
    return config, source


def start_logging() -> None:
    """Send the log to standard error, in colour where a person reads it."""
    if err.is_terminal:
        handler: logging.Handler = RichHandler(console=err, show_path=False, markup=False)
        logging.basicConfig(level=logging.INFO, handlers=[handler], format="%(message)s")
    else:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
