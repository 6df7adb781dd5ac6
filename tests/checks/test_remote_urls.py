"""Addresses of files: none is passed to a model server but https on a host that the policy names, in one spelling."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.checks.remote_urls import RemoteUrls, RemoteUrlsConfig, check_host
from vallum.core.content import Attachment, Content, Takes
from vallum.core.decision import Finding, Reason
from vallum.core.protocols import Check

PLACES = (
    Attachment("messages.*.content.*.image_url", "image", Takes.URL),
    Attachment("file_url", "file", Takes.URL),
    Attachment("image", "image", Takes.BASE64),
)


def judge(address: Any, *allow: str) -> str:
    """Return the rule that an address breaks; empty for none."""
    found = RemoteUrls(RemoteUrlsConfig(allow=list(allow)), PLACES).inspect(Content({"file_url": address}))
    return "" if found is None else found.rule


def test_it_is_a_check() -> None:
    assert isinstance(RemoteUrls(RemoteUrlsConfig(), ()), Check)


@pytest.mark.parametrize(
    "address",
    [
        "https://images.example.com",
        "https://images.example.com/",
        "https://images.example.com/a/b.png?size=1&x=%20#"[:-1],
        "https://images.example.com:443/a.png",
        "https://images.example.com?x=@evil.example",
        "https://images.example.com/@evil.example/",
        "HTTPS://Images.EXAMPLE.com/a.png",
        "data:image/png;base64,AAAA",
    ],
)
def test_what_an_allowed_host_serves(address: str) -> None:
    assert judge(address, "images.example.com", "cdn.example.com") == ""


@pytest.mark.parametrize(
    "address",
    [
        "https://images.example.com/a.png",
        "http://images.example.com/a.png",
        "https://other.example.com/a.png",
        "https://evil-images.example.com/",
        "https://images.example.com.evil.example/",
        "https://a.images.example.com/",
        "https://images.example.com:8443/",
        "https://images.example.com/a.png#fragment",
    ],
)
def test_an_honest_caller_is_told_the_place_and_the_rule(address: str) -> None:
    document = {"messages": [{"content": [{"type": "image_url", "image_url": {"url": address}}]}]}

    finding = RemoteUrls(RemoteUrlsConfig(), PLACES).inspect(Content(document))

    where = "/messages/0/content/0/image_url/url"
    assert finding == Finding("remote_url", where, reason=Reason.INVALID_REQUEST, public=True)
    if address != "https://images.example.com/a.png":
        assert judge(address, "images.example.com") == "remote_url"


TRICKS = [
    "http://169.254.169.254/latest/meta-data/",
    "http://127.0.0.1/",
    "https://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://[::1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[fe80::1%25eth0]/",
    "http://localhost/",
    "http://localhost:8000/admin",
    "file:///etc/passwd",
    "file://images.example.com/etc/passwd",
    "/etc/passwd",
    "C:\\secret",
    "gopher://images.example.com/_x",
    "ftp://images.example.com/x",
    "dict://images.example.com:11211/stats",
    "jar:https://images.example.com!/x",
    "s3://bucket/key",
    "javascript:alert(1)",
    "DATA:image/png;base64,AAAA",
    " data:image/png;base64,AAAA",
    "https://user@images.example.com/",
    "https://images.example.com@evil.example/",
    "https://images.example.com:x@evil.example/",
    "https://evil.example\\@images.example.com/",
    "https://images.example.com\\.evil.example/",
    "https:/\\images.example.com/",
    "https:\\\\images.example.com\\",
    "https:images.example.com",
    "https:///images.example.com/",
    "//images.example.com/a.png",
    "https://images.example.com%2eevil.example/",
    "https://images%2eexample.com/",
    "https://images.example.com\u3002evil.example/",
    "https://images.example\uff0ecom/",
    "https://\u0456mages.example.com/",
    "https://im\u0430ges.example.com/",
    "http\u017f://images.example.com/",
    "https://images.example.com./",
    "https://.images.example.com/",
    "https://images..example.com/",
    "https://images.example.com\t/",
    "https://images.example.com /",
    " https://images.example.com/",
    "https://images.example.com/\n",
    "https://images.example.com/\r\nHost: evil",
    "https://images.example.com/\x00",
    "https://images.example.com/a b",
    "ht\ntps://images.example.com/",
    "https://images.example.com:443:80/",
    "https://",
    "https",
    "",
    "file-abc123",
    "iVBORw0KGgo=",
]


@pytest.mark.parametrize("address", TRICKS)
def test_a_trick_is_told_nothing(address: str) -> None:
    finding = RemoteUrls(RemoteUrlsConfig(allow=["images.example.com"]), PLACES).inspect(Content({"file_url": address}))

    assert finding == Finding("address", "/file_url", reason=Reason.REQUEST_REJECTED)


def test_letters_that_only_fold_into_an_allowed_name() -> None:
    assert judge("https://\u212ay.example.com/", "ky.example.com") == "address"
    assert judge("https://\u017fs.example.com/", "ss.example.com") == "address"


def test_an_address_too_long() -> None:
    long = "https://images.example.com/" + "a" * 2048
    assert judge(long, "images.example.com") == "remote_url"
    assert judge(long[:2048], "images.example.com") == ""


@pytest.mark.parametrize("value", [None, 7, [7], {"url": 7}, {}, True])
def test_what_is_no_text_is_the_schemas_to_refuse(value: Any) -> None:
    assert judge(value) == ""


def test_base64_is_not_its_business() -> None:
    assert RemoteUrls(RemoteUrlsConfig(), PLACES).inspect(Content({"image": "https://evil.example/"})) is None


def test_places_of_ones_own() -> None:
    check = RemoteUrls(RemoteUrlsConfig(fields=["inputs.*.link"]), ())

    assert check.inspect(Content({"inputs": [{"link": "data:,x"}]})) is None
    finding = check.inspect(Content({"inputs": [{"link": "data:,x"}, {"link": "file:///x"}]}))
    assert finding is not None
    assert finding.where == "/inputs/1/link"


NO_HOSTS = (
    " * *.example.com localhost 127.0.0.1 1.2.3.4 0x7f.1 [::1] Images.example.com a..b example.com. -a.example.com"
    " example.com:443 https://example.com münchen.example a.b-"
).split(" ")


@pytest.mark.parametrize("host", [*NO_HOSTS, "a" * 250 + ".com"])
def test_what_is_no_host_to_allow(host: str) -> None:
    with pytest.raises(ValueError, match="write it as images"):
        check_host(host)


def test_hosts_to_allow() -> None:
    for host in ("a.b", "images.example.com", "xn--mnchen-3ya.example", "a-1.2b.co"):
        check_host(host)


@given(st.text(max_size=80))
def test_no_text_passes_but_the_host_itself(text: str) -> None:
    for address in (text, f"https://{text}", f"https://images.example.com{text}", f"https://{text}images.example.com/"):
        if judge(address, "images.example.com") == "" and not address.startswith("data:"):
            assert address.lower().startswith("https://images.example.com")
            assert address[26:27] in ("", "/", "?", ":")


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (["https://images.example.com/", "http://169.254.169.254/"], "/file_url/1"),
        ([{"url": "http://169.254.169.254/"}], "/file_url/0/url"),
        ([["http://169.254.169.254/"]], "/file_url/0/0"),
        ({"Url": "http://169.254.169.254/"}, "/file_url/Url"),
    ],
)
def test_an_address_in_a_list_or_under_another_spelling(value: Any, where: str) -> None:
    check = RemoteUrls(RemoteUrlsConfig(allow=["images.example.com"]), PLACES)
    finding = check.inspect(Content({"file_url": value}))
    assert finding is not None
    assert finding.where == where
