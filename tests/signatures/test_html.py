"""Cross-site scripting: what a browser would run is named, what honest people write is not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.signatures import find_xss
from vallum.signatures.html import is_cued
from vallum.signatures.html.tags import read_tags

ATTACKS = {
    "tag.script": ["<script>alert(1)</script>", "<ScRiPt/src=//x>", "<x:script>", "<script\n>"],
    "tag.running": ["<iframe src=//x>", "<svg>", "<object data=x>", "<base href=//x>", "<svg/onload=alert(1)>"],
    "tag.handler": ["<img src=x onerror=alert(1)>", "<x onfoobar=y>", "<b\nonclick\n=\nx>"],
    "tag.address": ["<a href=javascript:x>", "<a href='jav&#x09;ascript:x'>", '<form action=" vbscript:x">'],
    "tag.srcdoc": ["<p srcdoc=x>"],
    "tag.style": ['<div style="width:expression(alert(1))">', "<p style='x:exp/**/ression(a)'>"],
    "markup": ["</script>", "<!ENTITY x SYSTEM 'y'>", "<!--#exec cmd='x'-->", "+ADw-x", "<s c r i p t>", "<![CDATA[x"],
    "attribute.handler": ['" onmouseover="x', "x' onfocus=alert(1) autofocus", "x onclick=y", '"formaction=x'],
    "address.code": ["javascript:alert(1)", "JaVaScRiPt\n:alert(1)", "java\tscript:x()", "vbscript:msgbox(1)"],
    "address.data": ["data:text/html,x", "data:text/html;base64,PHN2Zz4=", "data: , <x>"],
    "script.place": ["document.cookie", "window['al'+'ert'](1)", "x.innerHTML = y", "constructor.constructor('x')"],
    "script.call": ["';alert(1)//", '"-alert(1)-"', "alert(1)", "eval('x')", "\\';alert`1`//"],
    "script.signs": ["[][(![]+[])[+[]]]", "+!![]"],
    "template": ["{{7*7}}", "${alert(1)}", "<%= x() %>"],
    "style": ["x:expression(alert(1))", "-moz-binding:url(x)", "@import '//x'", "\\65xpression(alert(1))"],
}
SAMPLES = [(name, text) for name, texts in ATTACKS.items() for text in texts]


@pytest.mark.parametrize(("name", "text"), SAMPLES)
def test_an_attack_is_found_and_cued(name: str, text: str) -> None:
    assert is_cued(text.replace("\0", ""))
    assert find_xss(text) is not None


@pytest.mark.parametrize("name", ATTACKS)
def test_a_kind_is_named_by_one_of_its_samples(name: str) -> None:
    assert name in {find_xss(text) for text in ATTACKS[name]}


@pytest.mark.parametrize("text", [text for _, text in SAMPLES])
def test_zero_bytes_hide_nothing(text: str) -> None:
    assert find_xss("\0".join(text)) is not None


@pytest.mark.parametrize("body", ['{{"a": 1, "b": "{}"}}', "a=1&b={}", "/items/{}"])
@pytest.mark.parametrize("text", ["<script>x</script>", "javascript:alert(1)", "alert(document.cookie)"])
def test_an_attack_is_found_in_a_field_of_a_whole_body(body: str, text: str) -> None:
    assert find_xss(body.format(text)) is not None


HONEST = [
    "a<b and c>d", "x < y", "I <3 you", "List<String>", "<b>bold</b>", '<a href="https://x.example/?a=1">x</a>', "<br/>",
    '<p class="x">it</p>', "<!-- note -->", "JavaScript: The Good Parts", "online = yes", "once = 1", "{{name}}", "${HOME}",
    "data-table-1", "for (i = 0; i < n; i++)", "f(x) = y", "- [ ] todo", "![image](https://x.example/a.png)", "[1, 2]",
    "document the window", "location: Berlin", "the 'best' (or \"worst\")", "top [1]", "console.log('x')", "<T>", "a => b",
    "https://x.example/search?q=a&on=1", "rgb(1, 2, 3)", "style: modern; behaviour: calm", "import taxes", "open (today)",
    "<john@example.com>", "AT&T", "&amp; &copy;", "C:\\Users\\me", "1\u00bc cups",
]  # fmt: skip


@pytest.mark.parametrize("text", HONEST)
def test_honest_text_passes(text: str) -> None:
    assert find_xss(text) is None


def test_tags_are_read_as_laxly_as_browsers_read_them() -> None:
    (tag,) = read_tags("<IMG/SRC = \"a>b\" alt='x'title=`y` Data-x=1 checked>rest")
    assert tag == ("img", [("src", "a>b"), ("alt", "x"), ("title", "y"), ("data-x", "1"), ("checked", "")])


def test_a_tag_that_does_not_end_ends_with_the_next() -> None:
    assert [tag.name for tag in read_tags("<a href=x <b onclick=y")] == ["a", "b"]


@given(st.text() | st.text(alphabet="<>/='\"`&;:()[]{}!+-scriptonaljv \t\n\0\\#"))
def test_any_text_can_be_judged_and_nothing_is_found_without_a_cue(text: str) -> None:
    if find_xss(text) is not None:
        assert is_cued(text.replace("\0", ""))


UNITS = (
    "<", "<a ", "<a b='", '<a b="', "<a b=c ", "</", "<!", "<!--", "/*", "on", "onx=", "' on", "javascript:", "java script",
    "j ", "(", "[]", "![]", "{{", "{{a(", "${", "=", "'", "';", "'\"", "data:", "\\0", "&#", "&#1", "expression(", "url(",
    "document.", "alert", "alert(", "window[", "]. ", "' in ", "a=", "\u00bc", "\0", "\u00bca", "@import", "-->", "e x p ",
)  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_a_megabyte_of_anything_takes_no_more_than_its_length(unit: str) -> None:
    spent = []
    for size in (65_536, 1_048_576):
        text = unit * (size // len(unit))
        start = time.process_time()
        find_xss(text)
        spent.append(time.process_time() - start)
    assert spent[1] < 48 * max(spent[0], 0.01)  # sixteen times the text; quadratic were 256 times the time
