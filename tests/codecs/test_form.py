"""Forms: one strict reading."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.codecs.form import FIELDS_MAX, Form


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", {}),
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"a=", {"a": ""}),
        (b"a=x+y%20z", {"a": "x y z"}),
        (b"scope=predict%3Aread", {"scope": "predict:read"}),
        (b"a=%C3%A9", {"a": "é"}),
    ],
)
def test_what_a_form_says(body: bytes, fields: dict[str, str]) -> None:
    assert Form().decode(body) == fields


@pytest.mark.parametrize(
    "body",
    [
        b"a=1&a=2",
        b"a=1&%61=2",
        b"lonely",
        b"a=1&",
        b"&a=1",
        b"a=%zz",
        b"a=%f",
        b"a=%ff",
        b"a=\xff",
        b"a=1\r\n",
        b"a=\x00",
        b'{"a":1}',
        b"&".join(b"a%d=1" % number for number in range(FIELDS_MAX + 1)),
    ],
)
def test_what_two_readers_could_take_differently_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError) as caught:
        Form().decode(body)
    assert body.decode("latin-1") not in str(caught.value)


@given(st.dictionaries(st.text(min_size=1, max_size=10), st.text(max_size=20), max_size=10))
def test_what_is_written_is_read_again(fields: dict[str, str]) -> None:
    assert Form().decode(Form().encode(fields)) == fields


@given(st.binary(max_size=100))
def test_no_bytes_are_a_fault(body: bytes) -> None:
    try:
        assert isinstance(Form().decode(body), dict)
    except ValueError:
        return
