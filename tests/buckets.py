"""Looks into buckets, and copies of them, compiled or not: what is compiled has no `__dict__` and cannot be copied."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, TypeVar

from vallum.core.quota import Quota

if TYPE_CHECKING:
    from vallum.core.bucket import Bucket

B = TypeVar("B", bound="Bucket")
ANY = Quota("any", 1, 1)


def state(bucket: Bucket) -> dict[str, Any]:
    """Return all that a bucket remembers, as it is now."""
    names = [name for name in dir(bucket) if not name.startswith("_") and not callable(getattr(bucket, name))]
    return {name: deepcopy(getattr(bucket, name)) for name in names}


def copy(bucket: B) -> B:
    """Return a bucket that remembers the same."""
    make: Any = type(bucket)  # what is compiled comes into being whole, or not at all
    again: B = make(ANY)
    for name, value in state(bucket).items():
        setattr(again, name, value)
    return again
