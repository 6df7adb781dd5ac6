"""A seal holds for what was sealed, with this secret, for this purpose, by this version."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.stores.seal import DIGEST_BYTES, MARK, Seal

SEAL = Seal(b"secret", "digits")


@given(st.binary(max_size=200))
def test_what_was_sealed_opens(content: bytes) -> None:
    assert SEAL.open(SEAL.close(content)) == content


@given(st.binary(min_size=1, max_size=60), st.data())
def test_one_bit_off_does_not_open(content: bytes, data: st.DataObject) -> None:
    sealed = bytearray(SEAL.close(content))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match=r"version|seal|nothing"):
        SEAL.open(bytes(sealed))


@pytest.mark.parametrize(
    ("sealed", "said"),
    [
        (b"", "nothing that a watch keeps"),
        (b"\x80\x04pickle", "nothing that a watch keeps"),
        (b"VLw9" + bytes(DIGEST_BYTES) + b"content", "another version"),
        (MARK, "seal does not hold"),
        (SEAL.close(b"content")[:-1], "seal does not hold"),
        (SEAL.close(b"content") + b"more", "seal does not hold"),
        (Seal(b"another", "digits").close(b"content"), "seal does not hold"),
        (Seal(b"secret", "letters").close(b"content"), "seal does not hold"),
    ],
)
def test_what_was_not_sealed_so_is_refused_and_said_why(sealed: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SEAL.open(sealed)
