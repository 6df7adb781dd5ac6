"""Numbers that look random, hang on a secret alone, and are the same on every replica and after every upgrade.

numpy's own generators promise no such thing from one version to the next, so the bits are SHAKE-256's (FIPS 202).
"""

from __future__ import annotations

from hashlib import shake_256
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vallum.extraction.facts import Floats


def draw(secret: bytes, purpose: str, count: int) -> NDArray[np.uint32]:
    """Return `count` numbers of 32 bits that only who knows the secret can foretell."""
    key = len(secret).to_bytes(4, "little") + secret + purpose.encode()
    return np.frombuffer(shake_256(key).digest(4 * count), "<u4")


def draw_signs(secret: bytes, purpose: str, rows: int, columns: int) -> Floats:
    """Return a matrix of +1 and -1."""
    signs = np.ones(rows * columns, np.float32)
    signs[draw(secret, purpose, rows * columns) % 2 == 1] = -1
    return signs.reshape(rows, columns)


def draw_normals(secret: bytes, purpose: str, rows: int, columns: int) -> Floats:
    """Return a matrix of normal numbers, mean 0 and deviation 1 (Box and Muller)."""
    count = rows * columns
    uniform = (draw(secret, purpose, 2 * count).astype(np.float64) + 0.5) / 2**32
    normals = np.empty(count, np.float32)
    normals[:] = np.sqrt(-2 * np.log(uniform[:count])) * np.cos(2 * np.pi * uniform[count:])
    return normals.reshape(rows, columns)
