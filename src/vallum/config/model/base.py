"""What all structs of the config file share."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]


class Base(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Frozen, strict, named."""
