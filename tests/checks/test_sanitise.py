"""Cleaning: honest text arrives letter by letter, markup does not arrive at all, and twice is once."""

from __future__ import annotations

import unicodedata
from html.parser import HTMLParser
from typing import Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vallum.checks.sanitise import TAG, Sanitise, SanitiseConfig, strip_tags
from vallum.core.content import Content
from vallum.core.decision import Finding, Reason

HONEST = [
    "",
    "plain",
    "1 < 2 && x > y",
    "1<2 and 3>2",
    "AT&T",
    "&amp; &lt;b&gt; &#60;script&#62; &nbsp;",
    "if (a<b && c>d) { return a << 2 | b >> 1; }",
    "a<b && c>d",
    "a <b then c",
    "x <a && y",
    "for (i = 0; i<s.length && i>-1; i++)",
    "p <q or q> p",
    "is i <u and u> v?",
    "vector<int> v; map<string, vector<T>> m;",
    "std::cout << x << std::endl;",
    "template <typename T> T max(T a, T b)",
    "List<String> names = new ArrayList<>();",
    "fn f<'a, T: Clone>(x: &'a T) -> Option<T>",
    "func Map[K comparable](m map[K]V) <-chan int",
    "const f = (x) => x <= 3 ? x : y;",
    "def f(x: int) -> list[int]: return [i for i in x if i < 3]",
    "SELECT * FROM t WHERE a < 3 AND b <> 4",
    "#include <stdio.h>\n#include <vector>",
    "echo hi > file 2>&1 < /dev/null",
    "cat <<EOF\nhi\nEOF",
    "<T>",
    "<3 you",
    "I <3 you >:( <- -> <= >= <=> <|> <*> </>",
    "$\\langle x, y \\rangle$ and $a<b$ and \\frac{1}{2}",
    "$x<y$, $p < q$, $i<j$",
    "naïve café \u2013 “quotes” … 5 µm",
    "你好\uff0c世界 привет שלום مرحبا",
    "🎈👩‍👩‍👧‍👦🏳️‍🌈",
    "# title\n\n- item\n> quote\n\n`code` **bold** [link](http://example.com?a=1&b=2)",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "<jane@example.com>, <https://example.com/?a=1&b=2>",
    "{{ template }} {% if x < 3 %} ${var} <%= x %>",
    "a & b && c &copy &copy; &unknown;",
    "tab\tand\nnewline\r\nand \u00a0 space",
    "x < script kiddies",
    "5 <br6 and <imgx> and <scripts>",
    "<name>, <placeholder>, <your key here>",
    "->script<-",
]


@pytest.mark.parametrize("text", HONEST)
def test_honest_text_arrives_unchanged(text: str) -> None:
    assert strip_tags(text) == text
    document = {"text": text}
    assert Sanitise(SanitiseConfig(html="strip")).clean(Content(document)) is document


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<b>bold</b>", "bold"),
        ("a<br>b<br/>c<BR />d", "abcd"),
        ("<script>alert(1)</script>x", "x"),
        ("<SCRIPT>alert(1)</SCRIPT>x", "x"),
        ("<ScRiPt src=//evil>x</sCrIpT >y", "y"),
        ("a<script", "a"),
        ("a<script>never closed", "a"),
        ("<style>p{}</style>x", "x"),
        ("<scr<b></b>ipt>alert(1)</scr<b></b>ipt>", ""),
        ("<<b>script>alert(1)</script>x", "x"),
        ('<img src=x onerror="alert(1)">x', "x"),
        ("<img src=x onerror=alert(1)//", ""),
        ("<svg/onload=alert(1)>x", "x"),
        ("<svg><script>alert(1)</script></svg>x", "x"),
        ("<unknown onclick=alert(1)>x</unknown>", "x</unknown>"),
        ("<x onpointerenter = 'alert(1)'>y", "y"),
        ("<x/onclick=alert(1)>y", "y"),
        ("<x y=1\nonclick=alert(1)>z", "z"),
        ("<!-- comment -->x", "x"),
        ("a<!--never closed", "a"),
        ("<!DOCTYPE html>x", "x"),
        ("<?xml version='1.0'?>x", "x"),
        ("<![CDATA[x]]>y", "y"),
        ("<iframe src=javascript:alert(1)></iframe>x", "x"),
        ("<a href='javascript:alert(1)'>x</a>", "x"),
        ("<p>1 &lt; 2 &amp;&amp; 3</p>", "1 &lt; 2 &amp;&amp; 3"),
        ("<p>1 < 2 && AT&T</p>", "1 < 2 && AT&T"),
        ("<b>vector<int></b>", "vector<int>"),
        ("</p>x", "x"),
        ("x</script>y", "xy"),
        ("<a/href=javascript:alert(1)>x</a>", "x"),  # a slash parts attributes as well as a space (HTML 13.2.5.40)
        ("<b/onclick=alert(1)>x</b>", "x"),
    ],
)
def test_markup_does_not_arrive(text: str, expected: str) -> None:
    cleaned = strip_tags(text)
    assert TAG.search(cleaned) is None
    assert cleaned.strip() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\uff1cscript\uff1ealert(1)\uff1c/script\uff1ex", "x"),
        ("﹤b﹥x", "x"),
        ("ﬁne", "fine"),
        ("①", "1"),
        ("e\u0301", "é"),
        ("Å", "Å"),
        ("<b>e</b>\u0301", "é"),  # what stripping brings together is of one form too
    ],
)
def test_unicode_comes_in_one_form_before_tags_are_looked_for(text: str, expected: str) -> None:
    assert clean(text, html="strip", unicode="NFKC") == expected


def clean(
    document: Any,
    html: Literal["strip", "keep"] = "keep",
    unicode: Literal["NFKC", "NFC", "keep"] = "keep",
    max_chars: int | None = None,
) -> Any:
    return Sanitise(SanitiseConfig(html=html, unicode=unicode, max_chars=max_chars)).clean(Content(document))


@pytest.mark.parametrize(("form", "expected"), [("keep", "ﬁ e\u0301"), ("NFC", "ﬁ é"), ("NFKC", "fi é")])
def test_forms(form: Literal["NFKC", "NFC", "keep"], expected: str) -> None:
    assert clean("ﬁ e\u0301", unicode=form) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"a": "<b>x</b>", "n": 1}, {"a": "x", "n": 1}),
        ({"a": ["<b>x</b>", "y", 2, None]}, {"a": ["x", "y", 2, None]}),
        ([[["<b>x</b>"]]], [[["x"]]]),
        ("<b>x</b>", "x"),
        ({"<b>key</b>": "x"}, {"<b>key</b>": "x"}),  # keys are left as they are
        (None, None),
        (1.5, 1.5),
        (True, True),
    ],
)
def test_every_string_of_a_document(document: Any, expected: Any) -> None:
    assert clean(document, html="strip") == expected


@pytest.mark.parametrize("document", [{"a": ["é", {"b": "x < y"}]}, [], "x", None, {"a": "<T>"}])
def test_an_unchanged_document_is_the_same_object(document: Any) -> None:
    assert clean(document, html="strip", unicode="NFKC", max_chars=100) is document


def test_the_document_that_came_is_left_as_it_was() -> None:
    document = {"a": ["<b>x</b>"]}
    assert clean(document, html="strip") == {"a": ["x"]}
    assert document == {"a": ["<b>x</b>"]}


@pytest.mark.parametrize(
    ("text", "max_chars", "passes"),
    [
        ("a" * 10, 10, True),
        ("a" * 11, 10, False),
        ("🎈" * 10, 10, True),
        ("<b>" + "a" * 10 + "</b>", 10, True),  # counted once cleaned
        ("\ufdfa", 18, True),  # one character that is eighteen in NFKC
        ("\ufdfa", 17, False),
        ("\ufdfa" * 100, 1799, False),
        ("", 1, True),
    ],
)
def test_lengths_are_capped_after_cleaning(text: str, max_chars: int, passes: bool) -> None:
    found = clean({"a/b": ["x", text]}, html="strip", unicode="NFKC", max_chars=max_chars)
    assert isinstance(found, Finding) is not passes
    if not passes:
        assert (found.rule, found.where, found.reason) == ("max_chars", "/a~1b/1", Reason.REQUEST_REJECTED)
        assert text[:1] not in found.detail or text[:1] == "a"


def test_a_cap_is_for_each_string_and_not_for_the_whole() -> None:
    document = ["aaaa"] * 100
    assert clean(document, max_chars=4) is document


PIECES = (
    "< > / ! -- ? = ' \" & ; # x a b i p script style svg img br onload onclick= &lt; &amp; &#60; <b> </b> <script>"
    " </script> <!-- --> <scr ipt> \uff1c \uff1e e \u0301 ﬁ \x00 { } é 🎈 <style> <svg/ <x <T> <![CDATA[ ]]> <? <a"
).split(" ")
TEXT = st.lists(st.sampled_from([*PIECES, " ", "\x0c", "\r", "\n", "\t"]), max_size=14).map("".join)


@given(TEXT)
@example("<<b><b></b>b>")
@example("<b>" * 9 + "<" * 9)
@settings(max_examples=600)
def test_nothing_that_looks_like_a_tag_is_left(text: str) -> None:
    assert TAG.search(strip_tags(text)) is None


@given(TEXT)
@settings(max_examples=600)
def test_stripping_twice_is_stripping_once(text: str) -> None:
    once = strip_tags(text)
    assert strip_tags(once) == once


@given(TEXT, st.sampled_from(["NFKC", "NFC", "keep"]))
@settings(max_examples=400)
def test_cleaning_twice_is_cleaning_once(text: str, form: Literal["NFKC", "NFC", "keep"]) -> None:
    once = clean(text, html="strip", unicode=form)
    assert clean(once, html="strip", unicode=form) == once
    assert form == "keep" or unicodedata.is_normalized(form, once)


class Browser(HTMLParser):
    """Notes what would run: event handlers, script URLs, and elements that load or run by themselves."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self.live: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "iframe", "object", "embed", "svg", "style", "img", "base"}:
            self.live.append(tag)
        for name, value in attrs:
            handler = name.startswith("on") and len(name) > 4 and value is not None  # a bare name runs nothing
            if handler or (tag == "a" and (value or "").strip().lower().startswith("javascript:")):
                self.live.append(f"{tag} {name}")


@pytest.mark.parametrize("element", ["x", "a", "custom-element", "time"])
@pytest.mark.parametrize(
    "attributes",
    [
        " onclick=alert(1)",
        "/onclick=alert(1)",
        "/href=javascript:alert(1)",
        " href=javascript:alert(1)",
        " y='>' onclick=alert(1)",  # a quoted sign ends no tag
        ' y="<" onclick=alert(1)',
        " y='>' href=javascript:alert(1)",
        f" {'y ' * 400}onclick=alert(1)",  # no length of what stands before hides it
        f" {'y ' * 400}href=javascript:alert(1)",
        f" y='{'z' * 800}' onclick=alert(1)",
        f"{' ' * 800}onclick=alert(1)",
        f"/{'/' * 800}onclick=alert(1)",
        f" onclick{' ' * 100}=alert(1)",
    ],
)
def test_nothing_runs_in_a_browser(element: str, attributes: str) -> None:
    assert Browser(f"<{element}{attributes}>z").live or element != "a", "this would run"
    assert Browser(strip_tags(f"<{element}{attributes}>z")).live == []


PARTS = "< > / = ' \" - ! ? a b x time script svg img onclick onload href javascript: alert(1) <b> </b> <!-- --> && é"
MARKUP = st.lists(
    st.sampled_from([*PARTS.split(), " ", "\n", "\x0c"]),
    max_size=16,
).map("".join)


@given(MARKUP)
@settings(max_examples=1000)
def test_nothing_that_is_pieced_together_runs_in_a_browser(text: str) -> None:
    assert Browser(strip_tags(text)).live == []


def nest(text: str, depth: int) -> str:
    """Hide `text`, a tag, so that it takes `depth` removals before it stands there."""
    for _ in range(depth):
        text = f"<{text}b>"
    return text


@pytest.mark.parametrize("depth", range(1, 30))
@pytest.mark.parametrize("before", ["<", "<<!", "<scr"])
@pytest.mark.parametrize("after", ["script>alert(1)</script>", "--svg onload=alert(1)>", "ipt>alert(1)</script>"])
def test_no_depth_of_nesting_brings_markup_through(before: str, after: str, depth: int) -> None:
    cleaned = strip_tags(before + nest("<b>", depth - 1) + after)
    assert TAG.search(cleaned) is None
    assert strip_tags(cleaned) == cleaned


@pytest.mark.parametrize("unit", ["<", "<b", "<b>", "<a ", "<x on", "</b ", "<!--", "<x a=", "<b>&"])
def test_hostile_shapes_are_cleaned(unit: str) -> None:
    assert TAG.search(strip_tags(unit * 5_000)) is None


def test_an_image_that_was_set_aside_is_no_text_to_clean() -> None:
    document = {"image": "iVBORw0KGgo=" * 10, "text": "a <b>word</b>"}
    content = Content(document)
    content.set_aside([document["image"]], document)

    cleaned = Sanitise(SanitiseConfig(html="strip", max_chars=20)).clean(content)

    assert cleaned == {"image": document["image"], "text": "a word"}


@pytest.mark.timeout(10)
def test_a_tower_of_accents_costs_no_more_than_its_length() -> None:
    tower = "a" + "\u0301\u0316\u05b0\u0327" * 50_000
    cleaned = Sanitise(SanitiseConfig(unicode="NFC")).clean(Content({"input": tower}))
    assert isinstance(cleaned, dict)
    assert len(cleaned["input"]) <= 31
