"""Request targets: one canonical form or none, and the patterns that name them."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vallum.core.target import Pattern, canonical_path, forwarded, parse_target


@pytest.mark.parametrize(
    ("raw", "path", "query"),
    [
        # plain
        ("/", "/", ""),
        ("/a", "/a", ""),
        ("/a/", "/a/", ""),
        ("/a/b.c/~d-e_f", "/a/b.c/~d-e_f", ""),
        ("/a:b@c!d$e&f'(g)*h+i,j=k", "/a:b@c!d$e&f'(g)*h+i,j=k", ""),
        ("/...", "/...", ""),
        ("/.a/..b", "/.a/..b", ""),
        ("/a?b=c", "/a", "b=c"),
        ("/a?", "/a", ""),
        ("/a?b?c", "/a", "b?c"),
        ("/a?/../b", "/a", "/../b"),
        # decoded once
        ("/%61", "/a", ""),
        ("/a%20b", "/a b", ""),
        ("/caf%C3%A9", "/café", ""),
        ("/%E4%BD%A0", "/你", ""),
        ("/%7Euser", "/~user", ""),
        ("/a%3Bb", "/a;b", ""),
        ("/a;v=1/b", "/a;v=1/b", ""),
        # no form at all
        ("", None, ""),
        ("*", None, ""),
        ("a", None, ""),
        ("host:443", None, ""),
        ("?a=b", None, "a=b"),
        # dot segments
        ("/.", None, ""),
        ("/..", None, ""),
        ("/./a", None, ""),
        ("/a/../b", None, ""),
        ("/a/..", None, ""),
        ("/a/.", None, ""),
        ("/a/./", None, ""),
        ("/a/../", None, ""),
        ("/%2e%2e/a", None, ""),
        ("/a/.%2E/b", None, ""),
        ("/..;/a", None, ""),
        ("/..;x=1/a", None, ""),
        ("/a/..%3b/b", None, ""),
        ("/a/.;", None, ""),
        # empty segments
        ("//", None, ""),
        ("//a", None, ""),
        ("/a//b", None, ""),
        ("/a//", None, ""),
        ("/a/;/b", None, ""),
        ("/;", None, ""),
        # encoded slashes, double encoding, and other signs that say something once decoded
        ("/a%2fb", None, ""),
        ("/a%2Fb", None, ""),
        ("/a%252fb", None, ""),
        ("/%252e%252e/a", None, ""),
        ("/a%25", None, ""),
        ("/a%5cb", None, ""),
        ("/a\\b", None, ""),
        ("/..\\a", None, ""),
        ("/a%3fb", None, ""),
        ("/a%23b", None, ""),
        ("/a#b", None, ""),
        ("/a#?b", None, "b"),
        # broken encodings
        ("/%", None, ""),
        ("/%4", None, ""),
        ("/%zz", None, ""),
        ("/%u0041", None, ""),
        ("/%ff", None, ""),
        ("/%c0%af", None, ""),  # an overlong slash
        ("/%c0%ae%c0%ae/a", None, ""),
        ("/%ed%a0%80", None, ""),  # a surrogate
        # controls and what draws nothing
        ("/a%00", None, ""),
        ("/a%00.json", None, ""),
        ("/a%0d%0ab", None, ""),
        ("/a%09b", None, ""),
        ("/a%7f", None, ""),
        ("/a\x00", None, ""),
        ("/a%C2%A0", None, ""),
        ("/a%E2%80%AEb", None, ""),
        ("/a%EF%BB%BF", None, ""),
        # what should have come encoded
        ("/a b", None, ""),
        ("/café", None, ""),
        ("/café%20", None, ""),
        ('/a"b', None, ""),
        ("/a<b>", None, ""),
        ("/a<b>%20", None, ""),
        ("/a|b", None, ""),
        ("/a^b", None, ""),
        ("/a`b", None, ""),
        ("/a{b}", None, ""),
        # absolute form
        ("http://host/a?b=c", "/a", "b=c"),
        ("https://host:8443/a", "/a", ""),
        ("http://host", "/", ""),
        ("http://host/", "/", ""),
        ("http://host//a", None, ""),
        ("http://host/..", None, ""),
        # An authority ends at the first of `/`, `?` and `#` (RFC 3986 3.2): what follows is no path.
        ("http://host?b=c", "/", "b=c"),
        ("http://host?b=/admin", "/", "b=/admin"),
        ("http://host#/admin", None, ""),
        ("http:///admin", None, ""),  # no authority: some read `admin` as the host
        ("http://hé/a", None, ""),
        ("ftp://host/a", None, ""),
    ],
)
def test_a_target_has_one_reading_or_none(raw: str, path: str | None, query: str) -> None:
    target = parse_target(raw)
    assert target.path == path
    if path is not None:
        assert target.query == query


PIECES = st.sampled_from(
    ["a", "Z", "0", "/", ".", "..", ";", "%2e", "%2f", "%25", "%3b", "%20", "%C3%A9", "%00", "\\", "é", "~", "%", "+"]
)
PATHS = st.one_of(
    st.lists(PIECES, max_size=8).map(lambda pieces: "/" + "".join(pieces)),
    st.text(max_size=12).map(lambda text: f"/{text}"),
)


@given(PATHS)
@example("/a%20b")
@example("/%E4%BD%A0;x")
@settings(max_examples=400)
def test_what_is_forwarded_is_read_as_the_same_path_again(raw: str) -> None:
    path = canonical_path(raw)
    if path is not None:
        wire = forwarded(path)
        assert wire.isascii()
        assert canonical_path(wire) == path
        assert forwarded(path) == wire


@given(PATHS)
@settings(max_examples=400)
def test_a_canonical_path_has_nothing_that_could_be_read_twice(raw: str) -> None:
    path = canonical_path(raw)
    if path is None:
        return
    assert path.startswith("/")
    assert path.isprintable()
    assert not set(path) & set("%\\?#")
    segments = path.split("/")[1:]
    assert path == "/" or "" not in segments[:-1]
    assert not {segment.partition(";")[0] for segment in segments} & {".", ".."}


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("/", ["/"], ["/a", "//"]),
        ("/a/b", ["/a/b"], ["/a", "/a/b/", "/a/b/c", "/A/b", "/a/bc"]),
        ("/a/", ["/a/"], ["/a", "/a/b"]),
        # A wildcard is one segment: an empty one is none, so a collection is not taken for its member.
        ("/a/*", ["/a/b", "/a/b c"], ["/a", "/a/", "/a/b/c", "/b/c", "/a/b/"]),
        ("/a/{id}", ["/a/1"], ["/a", "/a/", "/a/1/2"]),
        ("/*", ["/a"], ["/", "/a/b", "/a/"]),
        ("/a/*/c", ["/a/b/c"], ["/a/c", "/a/b/d", "/a/b/c/d", "/a/b"]),
        ("/{a}/{b}", ["/x/y"], ["/x", "/x/y/z"]),
        ("/a/**", ["/a", "/a/", "/a/b", "/a/b/c"], ["/ab", "/b/a", "/"]),
        ("/**", ["/", "/a", "/a/b/"], []),
        ("/*/b/**", ["/a/b", "/a/b/c/d"], ["/b", "/a", "/a/c"]),
    ],
)
def test_patterns(pattern: str, matching: list[str], others: list[str]) -> None:
    compiled = Pattern.parse(pattern)
    assert compiled.text == pattern
    assert [path for path in matching if not compiled.matches(path)] == []
    assert [path for path in others if compiled.matches(path)] == []


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "starts with '/'"),
        ("a", "starts with '/'"),
        ("**", "starts with '/'"),
        ("/**/a", "may only be the last segment"),
        ("/a/**/**", "may only be the last segment"),
        ("/a*", "whole segment"),
        ("/*.json", "whole segment"),
        ("/a/***", "whole segment"),
        ("/{id", "whole segment"),
        ("/id}", "whole segment"),
        ("/a{id}", "whole segment"),
        ("/{a}.{b}", "whole segment"),
        ("/{}", "whole segment"),
        ("/a?b", "whole segment"),
        ("/a#b", "whole segment"),
        ("/a%20b", "whole segment"),
    ],
)
def test_patterns_that_are_none(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pattern.parse(pattern)


@pytest.mark.parametrize("pattern", ["/a//b", "/a/../b", "/./a", "//"])
def test_patterns_that_no_path_can_match_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError):
        Pattern.parse(pattern)


@pytest.mark.parametrize(
    ("pattern", "path", "parameters"),
    [
        ("/a", "/a", {}),
        ("/a/{id}", "/a/7", {"id": "7"}),
        ("/{a}/*/{b}/**", "/1/2/3/4/5", {"a": "1", "b": "3"}),
        ("/{a}/**", "/x", {"a": "x"}),
    ],
)
def test_parameters_of_a_path(pattern: str, path: str, parameters: dict[str, str]) -> None:
    assert Pattern.parse(pattern).parameters(path) == parameters
