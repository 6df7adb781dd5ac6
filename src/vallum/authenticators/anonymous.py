"""Let anybody in, as nobody.

What it stops
    Nothing.  It exists so that an open route says so in the policy, where it can be seen and reviewed.
Config
    None.
Cost
    None.
Misses
    Everything about identity.  Quotas per principal count by address, IPv6 by /64.
Example
    authenticators:
      open: {type: anonymous}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec

from vallum.core.address import ip_partition
from vallum.core.principal import Principal

if TYPE_CHECKING:
    from vallum.core.effects import Steps
    from vallum.core.exchange import Request


class AnonymousConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="anonymous"):
    """No settings."""


class Anonymous:
    """Everybody is responsible for; nobody is refused."""

    type: ClassVar[str] = "anonymous"
    challenge: ClassVar[str] = "Bearer"

    def __init__(self, name: str, config: AnonymousConfig) -> None:
        """Take the name that records show."""
        self._name = name

    def authenticate(self, request: Request) -> Steps[Principal | None]:
        """Return a principal for the caller's address."""
        yield from ()
        return Principal(subject=f"ip:{ip_partition(request.client)}", authenticator=self._name)
