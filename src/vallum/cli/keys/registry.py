"""The registry that a policy names, for one command."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from vallum.authenticators.api_key import ApiKeyConfig
from vallum.cli.terminal import complain, err, read_config
from vallum.core.apikey import DEFAULT_PREFIX
from vallum.stores.registry import Keyring

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NONE_SUCH = "no key has the id {}; see: vallum keys list"


@contextmanager
def open_registry(policy: Path | None) -> Iterator[tuple[Keyring, str]]:
    """Open the registry of a policy, and say with what its keys begin.  Raise DependencyError."""
    config, _ = read_config(policy)
    prefixes = [a.prefix for a in config.authenticators.values() if isinstance(a, ApiKeyConfig)]
    keyring = Keyring(config.registry)
    try:
        yield keyring, prefixes[0] if prefixes else DEFAULT_PREFIX
    finally:
        keyring.close()


def say(words: str) -> None:
    """Say something beside the answer."""
    err.print(words, markup=False, soft_wrap=True)


def hint(words: str, style: str = "dim") -> None:
    """Say what to do next, on one line, to be copied."""
    err.print(words, style=style, markup=False, soft_wrap=True)


def complain_of_id(key_id: str) -> None:
    """Say that there is no such key; without the words, where somebody has given the key itself as its id."""
    complain(NONE_SUCH.format(key_id) if key_id.startswith("key_") else "ids begin with key_; see: vallum keys list")
