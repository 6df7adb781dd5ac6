"""Request ids: UUIDs of version 7 that sort by time."""

from __future__ import annotations

from uuid import RFC_4122, UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.core.requestid import compose_id

ENTROPY = st.binary(min_size=10, max_size=10)
TIMES = st.integers(0, 2**43).map(lambda ms: ms / 1000)


def test_the_example_of_the_rfc() -> None:
    # RFC 9562 A.6: rand_a is 0xCC3, rand_b is 0x18C4DC0C0C07398F
    entropy = ((0xCC3 << 62) | 0x18C4DC0C0C07398F).to_bytes(10)
    assert compose_id(1645557742.0, entropy) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(TIMES, ENTROPY)
@settings(max_examples=200)
def test_every_id_is_a_uuid_of_version_7(now: float, entropy: bytes) -> None:
    text = compose_id(now, entropy)
    parsed = UUID(text)
    assert str(parsed) == text
    assert (parsed.version, parsed.variant) == (7, RFC_4122)
    assert parsed.int >> 80 == int(now * 1000)


@given(TIMES, TIMES, ENTROPY, ENTROPY)
@settings(max_examples=200)
def test_ids_sort_by_time(one: float, other: float, entropy: bytes, more: bytes) -> None:
    if int(one * 1000) < int(other * 1000):
        assert compose_id(one, entropy) < compose_id(other, more)


@given(ENTROPY, ENTROPY)
@settings(max_examples=200)
def test_seventy_four_random_bits_are_kept(one: bytes, other: bytes) -> None:
    mask = (1 << 74) - 1
    same = int.from_bytes(one) & mask == int.from_bytes(other) & mask
    assert (compose_id(0, one) == compose_id(0, other)) is same
