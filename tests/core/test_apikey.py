"""The shape of keys: prefix, 43 characters of base62, a checksum; and what is stored of them."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.core.apikey import (
    ALPHABET,
    CHECKSUM_CHARS,
    DEFAULT_PREFIX,
    SECRET_CHARS,
    checksum,
    compose_key,
    digest_key,
    is_well_formed,
)

ENTROPY = st.binary(min_size=32, max_size=32)
KEY = compose_key(bytes(range(32)))


@pytest.mark.parametrize(
    ("entropy", "key"),
    [
        (bytes(32), "vlm_live_00000000000000000000000000000000000000000002CZclj"),
        (bytes(31) + b"\x01", "vlm_live_00000000000000000000000000000000000000000010HNUPx"),
        (b"\xff" * 32, "vlm_live_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13sRzl1"),
    ],
)
def test_vectors(entropy: bytes, key: str) -> None:
    assert compose_key(entropy) == key
    assert reference(entropy) == key
    assert is_well_formed(key)


def reference(entropy: bytes) -> str:
    """Write a key digit by digit, with a CRC computed bit by bit (ITU-T V.42 8.1.1.6.2)."""
    number = int.from_bytes(entropy, "big")
    secret = ""
    while number:
        secret = ALPHABET[number % 62] + secret
        number //= 62
    secret = secret.rjust(43, "0")
    crc = 0xFFFFFFFF
    for byte in secret.encode():
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    check = ""
    for _ in range(6):
        check = ALPHABET[crc % 62] + check
        crc //= 62
    return f"vlm_live_{secret}{check}"


def assert_shape(key: str) -> None:
    assert key.startswith(DEFAULT_PREFIX)
    assert len(key) == len(DEFAULT_PREFIX) + SECRET_CHARS + CHECKSUM_CHARS
    assert set(key.removeprefix(DEFAULT_PREFIX)) <= set(ALPHABET)


@given(ENTROPY)
@settings(max_examples=200)
def test_every_key_is_well_formed_and_as_the_contract_says(entropy: bytes) -> None:
    key = compose_key(entropy)
    assert_shape(key)
    assert key == reference(entropy)
    assert is_well_formed(key)


@given(ENTROPY, ENTROPY)
@settings(max_examples=100)
def test_different_bytes_make_different_keys(one: bytes, other: bytes) -> None:
    assert (compose_key(one) == compose_key(other)) == (one == other)


@given(ENTROPY, st.integers(0, SECRET_CHARS + CHECKSUM_CHARS - 1), st.sampled_from(ALPHABET))
@settings(max_examples=300)
def test_one_wrong_character_is_noticed(entropy: bytes, at: int, sign: str) -> None:
    key = compose_key(entropy)
    at += len(DEFAULT_PREFIX)
    changed = key[:at] + sign + key[at + 1 :]
    assert is_well_formed(changed) == (changed == key)


@given(st.text(max_size=80))
@settings(max_examples=200)
def test_noise_is_no_key(text: str) -> None:
    assert not is_well_formed(text)
    assert not is_well_formed(DEFAULT_PREFIX + text)


@pytest.mark.parametrize(
    "key",
    [
        "",
        DEFAULT_PREFIX,
        KEY[:-1],
        KEY + "0",
        f" {KEY}",
        f"{KEY} ",
        f"{KEY}\n",
        KEY.lower(),
        KEY.replace("vlm", "VLM"),
        KEY.replace("_live_", "_test_"),
        KEY[:20] + "é" + KEY[21:],
        KEY[:20] + "-" + KEY[21:],
        KEY[:20] + "\ud800" + KEY[21:],
        KEY[:20] + "\uff10" + KEY[21:],
    ],
)
def test_what_is_almost_a_key_is_none(key: str) -> None:
    assert not is_well_formed(key)


def test_a_prefix_of_ones_own() -> None:
    key = compose_key(bytes(32), "sk_test_")
    assert key.startswith("sk_test_")
    assert is_well_formed(key, "sk_test_")
    assert not is_well_formed(key)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_key_is_made_of_32_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        compose_key(bytes(length))


def test_what_is_stored_is_the_sha_256_of_the_whole_key() -> None:
    assert digest_key(KEY) == sha256(KEY.encode()).digest()
    assert digest_key("caf\udce9") == sha256(b"caf\xe9").digest()


def test_a_checksum_is_six_characters() -> None:
    assert checksum("") == "000000"
    assert len(checksum("x")) == CHECKSUM_CHARS
