"""The keys that tokens are signed with: PEM blocks in one file, the first of which signs.

A key that was replaced says when, in a line `retired: <Unix seconds>` before its block, and is published until the last
token that it signed has ended.  A file without a key is made, readable for its owner alone.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from vallum.core.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = re.compile(r"(?:retired: (\d{1,12})\s+)?(-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----)", re.DOTALL)
LIFETIME_MAX_S = 3_600  # of a token, and so of a retired key


class SigningKey(NamedTuple):
    """A key and when another took its place, Unix seconds."""

    id: str
    key: ECKey
    retired: float | None = None

    def counts(self, now: float) -> bool:
        """Say whether a token that it signed can still hold."""
        return self.retired is None or now < self.retired + LIFETIME_MAX_S


class KeyRing:
    """The keys of one policy, read when they are first needed."""

    def __init__(self, read: Callable[[], str]) -> None:
        """Take what reads the file's text."""
        self._read = read
        self._keys: tuple[SigningKey, ...] = ()

    def keys(self, now: float) -> tuple[SigningKey, ...]:
        """Return the keys whose tokens may hold at `now`, the one that signs first.  Raise DependencyError."""
        if not self._keys:
            try:
                self._keys = parse_keys(self._read())
            except (OSError, ValueError) as error:
                raise DependencyError(f"the signing key cannot be read: {type(error).__name__}") from error
        return tuple(key for key in self._keys if key.counts(now))

    def find(self, key_id: Any, now: float) -> SigningKey | None:
        """Return the key with this id, if it still counts."""
        return next((key for key in self.keys(now) if key.id == key_id), None)

    def published(self, now: float) -> list[dict[str, Any]]:
        """Return the public halves, as a JWK Set lists them (RFC 7517 5)."""
        return [
            {**key.key.as_dict(private=False), "kid": key.id, "use": "sig", "alg": "ES256"} for key in self.keys(now)
        ]


def parse_keys(text: str) -> tuple[SigningKey, ...]:
    """Read PEM blocks; raise ValueError that quotes nothing of them."""
    keys: list[SigningKey] = []
    for retired, block in BLOCK.findall(text):
        try:
            key = ECKey.import_key(block)
        except (ValueError, TypeError, JoseError) as error:
            raise ValueError("a PEM block that is no EC key") from error
        if not key.is_private or key.curve_name != "P-256":
            raise ValueError("not a private key on the curve P-256")
        keys.append(SigningKey(key.thumbprint(), key, float(retired) if retired else None))
    if not keys or keys[0].retired is not None:
        raise ValueError("no private key in PEM")
    return tuple(keys)


def make_key() -> str:
    """Make a private key on P-256 and return it as PEM."""
    return ECKey.generate_key("P-256").as_pem(private=True).decode()


def create_file(path: Path) -> None:
    """Make the file with one key, unless it is there.  Raise DependencyError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists():
            return
        _write(draft, make_key())
        with suppress(FileExistsError):  # another process was first: its key is as good
            os.link(draft, path)
        draft.unlink()
    except OSError as error:
        raise DependencyError(f"the signing key {path} cannot be made: {error.strerror}") from error


def rotate_file(path: Path, now: float) -> str:
    """Put a new key before those of the file, and return its id.  Raise OSError, or ValueError for a bad file."""
    old = parse_keys(path.read_text())
    fresh = make_key()
    text = fresh
    for key in old:
        if key.counts(now):
            retired = int(now if key.retired is None else key.retired)
            text += f"retired: {retired}\n{key.key.as_pem(private=True).decode()}"
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    _write(draft, text)
    draft.replace(path)
    return parse_keys(fresh)[0].id


def _write(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
