"""What the parts of a watch remember, in bytes: plain values and arrays of numbers, and nothing that could run.

Every part returns its state as a value of these kinds, and takes one in the place of its own; it raises ValueError for
what cannot be one, and has changed nothing then.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

ARRAY = 1  # code of the extension: a kind, a shape, the numbers
KINDS = ("<f4", "<f8", "<f2", "<i4", "<i8", "|b1")


class _Array(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    kind: str
    shape: tuple[int, ...]
    numbers: bytes


def pack_state(state: Any) -> bytes:
    """Write a state."""
    return msgspec.msgpack.encode(state, enc_hook=_write)


def unpack_state(data: bytes) -> Any:
    """Read what `pack_state` wrote; raise ValueError for anything else."""
    return msgspec.msgpack.decode(data, ext_hook=_read)


@contextmanager
def refusing() -> Iterator[None]:
    """Raise ValueError where a state has not the parts that it should have."""
    try:
        yield
    except (AttributeError, LookupError, OverflowError, TypeError) as error:
        raise ValueError(f"a state without a part that belongs to it: {error}") from error


def _write(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        kind = value.dtype.str
        if kind not in KINDS:
            raise NotImplementedError(f"an array of {kind}")
        return msgspec.msgpack.Ext(ARRAY, msgspec.msgpack.encode(_Array(kind, value.shape, value.tobytes())))
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(type(value).__name__)


def _read(code: int, data: memoryview) -> Any:
    if code != ARRAY:
        raise ValueError("a state with a part that no watch writes")
    array = msgspec.msgpack.decode(data, type=_Array)
    if array.kind not in KINDS or any(size < 0 for size in array.shape):
        raise ValueError("a state with an array that cannot be")
    return np.frombuffer(array.numbers, array.kind).reshape(array.shape).copy()


def check_array(value: Any, kind: type[np.generic], *shape: int | None) -> Any:
    """Return an array of this kind and shape, of finite numbers; None: of any length.  Raise ValueError."""
    if not isinstance(value, np.ndarray) or value.dtype != kind or len(value.shape) != len(shape):
        raise ValueError("a state without an array that belongs to it")
    if any(wanted not in {None, size} for wanted, size in zip(shape, value.shape, strict=True)):
        raise ValueError("a state with an array of another shape")
    if not np.isfinite(value).all():
        raise ValueError("a state with numbers that cannot be")
    return value
