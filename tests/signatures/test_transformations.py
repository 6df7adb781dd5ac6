"""Text transformations: each does what AWS WAF's documentation says, to any bytes, in time linear in their length."""

from __future__ import annotations

import hashlib
import time
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.config.model.web_acl import Transformation
from vallum.signatures.transformations import TRANSFORMATIONS, apply

VECTORS: dict[str, list[tuple[bytes, bytes]]] = {
    "base64_decode": [
        (b"JyBvciAxPTE=", b"' or 1=1"),
        (b"JyBvciAxPTE", b"' or 1=1"),
        (b"JyBv!ciAx", b"' o"),
        (b"!JyBv", b"!JyBv"),
        (b"", b""),
        (b"A", b"A"),
    ],
    "base64_decode_ext": [(b"JyBv\nci.AxPTE=", b"' or 1=1"), (b"...", b"...")],
    "cmd_line": [
        (b'C^M"D  /c  "DIR"', b"cmd/c dir"),
        (b"cat,\t/etc;ls", b"cat/etc ls"),
        (b"f (x)", b"f(x)"),
        (b"a\\b'c", b"abc"),
    ],
    "compress_white_space": [
        (b"a \t\n\v\f\r b", b"a b"),
        ("a\u00a0 b".encode(), b"a b"),
        (b"a\xa0b", b"a b"),
        ("\u00e0b".encode(), "\u00e0b".encode()),
    ],
    "css_decode": [
        (b"ja\\vascript", b"javascript"),
        (b"\\6a\\61 vascript", b"javascript"),
        (b"\\00006Aavascript", b"javascript"),
        (b"a\\\nb", b"ab"),
        (b"a\\", b"a\\"),
        (b"\\ff41", b"a"),
    ],
    "escape_seq_decode": [
        (b"\\x41\\102\\n\\'\\\\", b"AB\n'\\"),
        (b'\\a\\b\\f\\r\\t\\v\\?\\"', b'\a\b\f\r\t\v?"'),
        (b"\\777\\q\\xZZ", b"\\777\\q\\xZZ"),
    ],
    "hex_decode": [(b"27206f72", b"' or"), (b"27206f7", b"' o"), (b"zz", b"zz"), (b"", b"")],
    "html_entity_decode": [
        (b"&lt;b&gt; &quot;&amp;&#39;&#x41;&#66", b"<b> \"&'AB"),
        (b"&amp;lt;", b"&lt;"),
        (b"&#" + b"9" * 5000 + b";", "\ufffd".encode()),
        (b"&#0000000000000000000000000039;", b"'"),
        (b"&nbsp;", "\u00a0".encode()),
        (b"&\xff;", b"&\xff;"),
    ],
    "js_decode": [
        (b"\\u0061\\x62\\143\\n\\q\\'", b"abc\nq'"),
        (b"\\uff1cb", b"<b"),
        (b"\\u0127", b"'"),
        (b"\\", b"\\"),
        (b"\\477", b"'7"),
    ],
    "lowercase": [("SELECT \u00c4".encode(), "select \u00c4".encode())],
    "md5": [(b"a", hashlib.md5(b"a", usedforsecurity=False).digest())],
    "none": [(b"%41", b"%41")],
    "normalize_path": [
        (b"/a//b/./c/../d", b"/a/b/d"),
        (b"../a", b"../a"),
        (b"/../a", b"/a"),
        (b"a/../../b", b"../b"),
        (b"/a/b/", b"/a/b/"),
        (b"/a/..", b"/"),
        (b"", b""),
        (b"..", b".."),
    ],
    "normalize_path_win": [(b"a\\..\\b\\\\c", b"b/c")],
    "remove_comments_char": [(b"UN/**/ION -- #x", b"UNION  x")],
    "remove_nulls": [(b"a\0b", b"ab")],
    "remove_whitespace": [(b" a\t b\n", b"ab")],
    "replace_comments": [
        (b"UNION/**/SELECT", b"UNION SELECT"),
        (b"a/*b*//*c*/d", b"a  d"),
        (b"a/*b", b"a "),
        (b"a*/b", b"a*/b"),
        (b"/*/a*/b", b" b"),
    ],
    "replace_nulls": [(b"a\0b", b"a b")],
    "sha256": [(b"a", hashlib.sha256(b"a").digest())],
    "sql_hex_decode": [(b"0x414243 or 0X41 0x4", b"ABC or A 0x4")],
    "trim": [(b" a b\t", b"a b")],
    "trim_left": [(b" a ", b"a ")],
    "trim_right": [(b" a ", b" a")],
    "uppercase": [(b"aB1", b"AB1")],
    "url_decode": [(b"%27+or%201%3d1%", b"' or 1=1%"), (b"%2527", b"%27"), (b"%u0041", b"%u0041")],
    "url_decode_uni": [(b"%u0027%uff1c%27+", b"'<' "), (b"%U0041", b"A"), (b"%u01", b"%u01")],
    "utf8_to_unicode": [
        ("\u00e9\u4e2d\U0001f600".encode(), b"%u00e9%u4e2d%u1f600"),
        (b"a\xffb", b"a\xffb"),
        (b"a", b"a"),
    ],
}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [pytest.param(name, *pair, id=f"{name} {pair[0][:20]!r}") for name, pairs in VECTORS.items() for pair in pairs],
)
def test_a_transformation_does_what_it_is_called(name: str, value: bytes, expected: bytes) -> None:
    assert apply([name], value) == expected


def test_every_transformation_of_the_config_is_there_and_has_vectors() -> None:
    assert set(get_args(Transformation)) <= set(TRANSFORMATIONS) == set(VECTORS)


def test_transformations_are_applied_in_order() -> None:
    assert apply(["url_decode", "url_decode", "lowercase"], b"%2541") == b"a"
    assert apply(["lowercase", "url_decode"], b"%41") == b"A"
    assert apply([], b"%41") == b"%41"


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        apply(["rot13"], b"")


@pytest.mark.parametrize("name", TRANSFORMATIONS)
@given(value=st.binary() | st.text(alphabet="%&#;\\ux0123456789abfF/*. +-'\u00e9\uff1c").map(str.encode))
def test_any_bytes_can_be_transformed_and_grow_threefold_at_most(name: str, value: bytes) -> None:
    assert len(TRANSFORMATIONS[name](value)) <= max(3 * len(value), 32)


UNITS = (
    b"/*",
    b"*/",
    b"%",
    b"%u",
    b"&#",
    b"&a",
    b"\\",
    b"\\x4",
    b"0x",
    b"../",
    b" ",
    b"\xc2\xa0",
    b"A",
    b"\xe9",
    b"\0",
)


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_a_megabyte_of_anything_takes_no_more_than_its_length(name: str) -> None:
    for unit in UNITS:
        value = unit * (1_048_576 // len(unit))
        start = time.process_time()
        TRANSFORMATIONS[name](value)
        assert time.process_time() - start < 5, unit
