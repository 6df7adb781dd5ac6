"""The names by which Envoy knows its extensions' configurations."""

from __future__ import annotations

from typing import Any

ROOT = "type.googleapis.com/envoy.extensions."
FILTERS = "filters.http."


def typed(kind: str, **fields: Any) -> dict[str, Any]:
    """Return the typed configuration of an extension."""
    return {"@type": ROOT + kind, **fields}


def seconds(amount: float) -> str:
    """Write a duration."""
    return f"{amount:g}s" if amount >= 0.001 else "0.001s"
