"""Forms with files: what honest clients write is read, all else refused; what passes on is read alike by others."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import aiohttp
import httpx
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from python_multipart.multipart import MultipartParser, parse_options_header

from vallum.codecs.multipart import HEAD_MAX_BYTES, PARTS_MAX, Multipart, read_boundary
from vallum.core.content import Upload
from vallum.core.exchange import Headers
from vallum.core.protocols import Rewriter

B = b"frontier"
TYPE = "multipart/form-data; boundary=frontier"
TEXT = b'Content-Disposition: form-data; name="a"'
FILE = b'Content-Disposition: form-data; name="f"; filename="x.png"\r\nContent-Type: image/png'


def form(*parts: tuple[bytes, bytes], boundary: bytes = B) -> bytes:
    return (
        b"".join(b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + data + b"\r\n" for head, data in parts)
        + b"--"
        + boundary
        + b"--\r\n"
    )


def decode(body: bytes, content_type: str = TYPE) -> dict[str, Any]:
    return Multipart().decode(body, Headers([("content-type", content_type)]))


# --- what honest clients write


def test_a_form_of_texts_and_files() -> None:
    body = form((TEXT, b"hello"), (FILE, b"\x89PNG\r\n--front"), (b'Content-Disposition: form-data; name="b"', b""))

    assert decode(body) == {"a": "hello", "f": Upload("x.png", "image/png", b"\x89PNG\r\n--front"), "b": ""}


def test_names_that_end_in_brackets_are_lists() -> None:
    item = b'Content-Disposition: form-data; name="t[]"'

    assert decode(form((item, b"word"))) == {"t[]": ["word"]}
    assert decode(form((item, b"word"), (TEXT, b"x"), (item, b"segment"))) == {"t[]": ["word", "segment"], "a": "x"}


FILES = {"image": ("naïve name.png", b"\x89PNG\r\n\x1a\n\0\xff", "image/png")}
FIELDS = {"model": "m-1", "prompt": "línea\r\n--x\r\nand more", "n": "2"}
READ = {**FIELDS, "image": Upload("naïve name.png", "image/png", FILES["image"][1])}


def test_httpx_as_the_sdks_use_it() -> None:
    sent = httpx.Request("POST", "http://x", data=FIELDS, files=FILES)

    assert decode(sent.read(), sent.headers["content-type"]) == READ


def test_requests() -> None:
    sent = requests.Request("POST", "http://x", data=FIELDS, files=FILES).prepare()

    assert isinstance(sent.body, bytes)
    assert decode(sent.body, str(sent.headers["content-type"])) == READ


async def test_aiohttp() -> None:
    data = aiohttp.FormData(quote_fields=False)
    for name, value in FIELDS.items():
        data.add_field(name, value)
    filename, held, media_type = FILES["image"]
    data.add_field("image", held, filename=filename, content_type=media_type)
    payload = data()

    class Sink:
        body = b""

        async def write(self, piece: bytes) -> None:
            self.body += piece

    sink: Any = Sink()
    await payload.write(sink)

    assert decode(sink.body, payload.headers["content-type"]) == READ


@pytest.mark.parametrize(
    ("head", "read"),
    [
        (b"Content-Disposition: form-data; name=a", "x"),
        (b'content-disposition:form-data;name="a"', "x"),
        (b'Content-Disposition: Form-Data; name="a"\r\nContent-Type: text/plain; charset=UTF-8', "x"),
        (b'Content-Type: application/json\r\nContent-Disposition: form-data; name="a"', "x"),
        (b'Content-Disposition: form-data; name="a"; filename=""', Upload("", "application/octet-stream", b"x")),
        (
            b'Content-Disposition: form-data; name="a"; filename="b%22"',
            Upload("b%22", "application/octet-stream", b"x"),
        ),
        (
            (
                b"Content-Disposition: form-data; name=a; filename=b.png; filename*=utf-8''b.png"
                b"\r\nContent-Type: IMAGE/PNG"
            ),
            Upload("b.png", "image/png", b"x"),
        ),
        (
            b"Content-Disposition: form-data; name=\"a\"; filename*=UTF-8''%E2%82%AC.png",
            Upload("€.png", "application/octet-stream", b"x"),
        ),
    ],
)
def test_heads_of_parts_that_clients_write(head: bytes, read: Any) -> None:
    assert decode(form((head, b"x"))) == {"a": read}


@pytest.mark.parametrize(
    "content_type",
    [
        TYPE,
        "Multipart/Form-Data;boundary=frontier",
        'multipart/form-data ; boundary="frontier"',
        "multipart/form-data; BOUNDARY=frontier\t",
    ],
)
def test_content_types_that_clients_write(content_type: str) -> None:
    assert decode(form((TEXT, b"x")), content_type) == {"a": "x"}


def test_boundaries_up_to_the_longest() -> None:
    for boundary in ("b", "'()+_,-./:=? x", "b" * 70):
        quoted = f'multipart/form-data; boundary="{boundary}"'
        assert decode(form((TEXT, b"x"), boundary=boundary.encode()), quoted) == {"a": "x"}


def test_the_last_line_end_may_be_left_out() -> None:
    assert decode(form((TEXT, b"x"))[:-2]) == {"a": "x"}


# --- what is refused


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        f"multipart/form-data; boundary={'b' * 71}",
        'multipart/form-data; boundary="frontier',
        'multipart/form-data; boundary="frontier "',
        "multipart/form-data; boundary=front ier",
        'multipart/form-data; boundary="front\\ier"',
        "multipart/form-data; boundary=frontier; boundary=other",
        "multipart/form-data; boundary=frontier; charset=utf-8",
        "multipart/form-data; charset=utf-8; boundary=frontier",
        "multipart/form-data; boundary=frontier;",
        "multipart/form-data; boundary*=utf-8''frontier",
        "multipart/form-data; boundary*0=fron; boundary*1=tier",
        "multipart/form-data, multipart/form-data; boundary=frontier",
        "multipart/mixed; boundary=frontier",
        "multipart/form-data; boundary=frontiér",
        "multipart/form-data; boundary=frontier\x00",
        "multipart/form-data; boundary=frontier\r\nx: y",
    ],
)
def test_a_boundary_that_is_not_plain(content_type: str) -> None:
    with pytest.raises(ValueError, match="without one plain boundary"):
        read_boundary(content_type)


def test_a_form_without_a_head() -> None:
    with pytest.raises(ValueError, match="boundary"):
        Multipart().decode(form((TEXT, b"x")))


GOOD = form((TEXT, b"x"), (FILE, b"y"))
END = b"--frontier--\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--frontier",
        b"--frontier\r\n",
        GOOD[: -len(END)],
        GOOD[: -len(END)] + b"--frontier\r\n",
        GOOD[: -len(END)] + b"--frontier-\r\n",
        GOOD[:-2] + b"\n",
        GOOD[:-2] + b"\r",
        GOOD + b"\r\n",
        GOOD + b"epilogue",
        GOOD + GOOD,
        GOOD + END,
        GOOD[:-2] + b"--\r\n",
        b"preamble\r\n" + GOOD,
        b"\r\n" + GOOD,
        b" " + GOOD,
        GOOD.replace(b"\r\n", b"\n"),
        GOOD.replace(b"\r\n", b"\r"),
        GOOD.replace(b"--frontier\r\n", b"--frontier \r\n", 1),
        GOOD.replace(b"--frontier\r\n", b"--frontier\t\r\n"),
        GOOD.replace(b"x\r\n--frontier\r\n", b"x\r\n--frontierer\r\n"),
        GOOD.replace(b"--frontier", b"--Frontier"),
        GOOD.replace(b"--frontier\r\n", b"--frontier\r\n\r\n", 1),
        GOOD.replace(b"\r\n\r\n", b"\r\n", 1),
        GOOD.replace(b"\r\n\r\n", b"\n\n", 1),
        form((TEXT, b"x"), (TEXT, b"y")),
        form((TEXT, b"x"), (TEXT + b'; filename="a"', b"y")),
        form((TEXT, b"\xff")),
        form((TEXT + b"\r\nContent-Type: text/plain; charset=utf-16", b"x")),
        form((TEXT + b"\r\nContent-Type: text/plain; charset=utf-8; charset=utf-7", b"x")),
        form((TEXT + b"\r\nContent-Type: image/png", b"x")),
        form((TEXT + b"\r\nContent-Type: text/html", b"x")),
        form((b'Content-Disposition: form-data; name="_charset_"', b"utf-7")),
        form(*[(b'Content-Disposition: form-data; name="%d"' % index, b"") for index in range(PARTS_MAX + 1)]),
        form((TEXT + b"\r\nContent-Type: text/plain; x=" + b"y" * HEAD_MAX_BYTES, b"x")),
        form((b'Content-Disposition: form-data; name="' + b"n" * 129 + b'"', b"x")),
        form((b'Content-Disposition: form-data; name="a"; filename="' + b"n" * 256 + b'"', b"x")),
    ],
)
def test_a_form_that_two_parsers_could_read_in_two_ways(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"^a (form|part|field|boundary|filename)"):
        decode(body)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"X: y",
        b"Content-Type: text/plain",
        b"Content-Disposition: form-data",
        b'Content-Disposition: attachment; name="a"',
        b'Content-Disposition: form-data; name=""',
        b'Content-Disposition: form-data; filename="a"',
        b'Content-Disposition: form-data; name="a"; name="b"',
        b'Content-Disposition: form-data; name="a"; filename="b"; filename="c"',
        b'Content-Disposition: form-data; filename="b"; name="a"',
        b"Content-Disposition: form-data; name*=utf-8''a",
        b"Content-Disposition: form-data; name=\"a\"; name*=utf-8''b",
        b'Content-Disposition: form-data; name="a"; filename="b"; filename*=utf-8\'\'c',
        b"Content-Disposition: form-data; name=\"a\"; filename*=utf-16''c",
        b"Content-Disposition: form-data; name=\"a\"; filename*=utf-8''%FF",
        b"Content-Disposition: form-data; name=\"a\"; filename*=utf-8''%22%0D%0A",
        b"Content-Disposition: form-data; name=\"a\"; filename*=utf-8''..%2fb",
        b'Content-Disposition: form-data; name="a"; filename*0="b"; filename*1="c"',
        b'Content-Disposition: form-data; name="a\\"b"',
        b'Content-Disposition: form-data; name="a\x00"',
        b'Content-Disposition: form-data; name="a\x1f"',
        b'Content-Disposition: form-data; name="\xff"',
        b'Content-Disposition: form-data; name="a";',
        b'Content-Disposition: form-data;  name="a"',
        b'Content-Disposition : form-data; name="a"',
        b' Content-Disposition: form-data; name="a"',
        b'Content-Disposition: form-data;\r\n name="a"',
        b'Content-Disposition: form-data; name="a"\r\n folded',
        b'Content-Disposition: form-data; name="a"\nX: y',
        b'Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="a"',
        b'Content-Disposition: form-data; name="a"\r\nContent-Type: text/plain\r\nContent-Type: text/html',
        b'Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64',
        b'Content-Disposition: form-data; name="a"\r\nContent-Length: 1',
        b'Content-Disposition: form-data; name="a"\r\nContent-Type: multipart/mixed; boundary=x',
        b'Content-Disposition: form-data; name="a"; filename="b"\r\nContent-Type: message/rfc822',
        b'Content-Disposition: form-data; name="a"; filename="b"\r\nContent-Type: image',
        b'Content-Disposition: form-data; name="a"; filename="b"\r\nContent-Type: image/png\x00',
        b'Content-Disposition: form-data; name="a"; filename="b"\r\nContent-Type:',
        *(
            b'Content-Disposition: form-data; name="a"; filename="%b"' % filename
            for filename in (b"..", b".", b"/etc/passwd", b"a/b", b"..\\b", b"C:b", b"a\x00.png", b"b:stream", b'b"')
        ),
    ],
)
def test_a_head_of_a_part_that_is_not_plain(head: bytes) -> None:
    with pytest.raises(ValueError, match=r"^a (part|field|filename)"):
        decode(form((head, b"x")))


def test_nothing_of_a_form_is_quoted_in_an_error() -> None:
    with pytest.raises(ValueError) as caught:
        decode(form((b'Content-Disposition: form-data; name="secret"; x=y', b"x")))

    assert "secret" not in str(caught.value)


# --- what is passed on


def test_it_is_written_anew_under_a_boundary_of_our_own() -> None:
    codec: Rewriter = Multipart(lambda: "ours")
    body = codec.encode(
        {"a": "é\r\n--frontier--", "f": Upload("x.png", "image/png", b"\0"), "t[]": ["1", Upload("", "a/b", b"")]}
    )

    assert codec.fields(body) == (("content-type", "multipart/form-data; boundary=ours"),)
    assert body == (
        b'--ours\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xc3\xa9\r\n--frontier--\r\n'
        b'--ours\r\nContent-Disposition: form-data; name="f"; filename="x.png"\r\nContent-Type: image/png\r\n\r\n\0\r\n'
        b'--ours\r\nContent-Disposition: form-data; name="t[]"\r\n\r\n1\r\n'
        b'--ours\r\nContent-Disposition: form-data; name="t[]"; filename=""\r\nContent-Type: a/b\r\n\r\n\r\n'
        b"--ours--\r\n"
    )


def test_a_boundary_behind_a_bare_line_feed_is_text_and_stays_text_for_whoever_forgives_that() -> None:
    document = decode(GOOD.replace(b"\r\n--frontier\r\n", b"\n--frontier\r\n"))
    body = Multipart(lambda: "ours").encode(document)

    assert list(document) == ["a"]
    assert body.count(b"--ours") == 2


def test_as_many_parts_as_may_be() -> None:
    parts = [(b'Content-Disposition: form-data; name="%d"' % index, b"") for index in range(PARTS_MAX)]

    assert len(decode(form(*parts))) == PARTS_MAX


def test_an_empty_form_is_a_form() -> None:
    codec = Multipart(lambda: "ours")

    assert decode(b"--frontier--") == {}
    assert codec.encode({}) == b"--ours--\r\n"
    assert codec.fields(codec.encode({})) == (("content-type", "multipart/form-data; boundary=ours"),)


def test_nobody_can_foresee_the_boundary() -> None:
    codec = Multipart()

    assert len({codec.encode({}) for _ in range(100)}) == 100


def read_by_another(body: bytes, content_type: str) -> list[tuple[bytes | None, bytes | None, bytes]]:
    """Read a form with the parser that FastAPI's users have: name, filename, data."""
    parts: list[tuple[bytes | None, bytes | None, bytes]] = []
    state: dict[str, Any] = {}

    def begin() -> None:
        state.update(field=b"", value=b"", heads={}, data=BytesIO())

    def end_header() -> None:
        state["heads"][state["field"].lower()] = state["value"]
        state.update(field=b"", value=b"")

    def end() -> None:
        _, options = parse_options_header(state["heads"][b"content-disposition"])
        parts.append((options.get(b"name"), options.get(b"filename"), state["data"].getvalue()))

    boundary = parse_options_header(content_type)[1][b"boundary"]
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": begin,
            "on_part_data": lambda data, start, stop: state["data"].write(data[start:stop]),
            "on_part_end": end,
            "on_header_field": lambda data, start, stop: state.update(field=state["field"] + data[start:stop]),
            "on_header_value": lambda data, start, stop: state.update(value=state["value"] + data[start:stop]),
            "on_header_end": end_header,
        },
    )
    parser.write(body)
    parser.finalize()
    return parts


NAMES = st.text(
    st.characters(codec="utf-8", min_codepoint=32, exclude_characters='"\\/:\x7f'), min_size=1, max_size=20
).filter(lambda name: name not in (".", "..", "_charset_") and not name.endswith("[]"))
VALUES = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=50),
    st.builds(Upload, NAMES | st.just(""), st.sampled_from(["image/png", "a/b"]), st.binary(max_size=200)),
)


@given(document=st.dictionaries(NAMES, VALUES, max_size=6))
@settings(max_examples=200)
def test_what_we_write_we_read_and_another_parser_reads_alike(document: dict[str, Any]) -> None:
    codec = Multipart()
    body = codec.encode(document)
    ((_, content_type),) = codec.fields(body)

    assert decode(body, content_type) == document
    if document:
        assert read_by_another(body, content_type) == [
            (
                name.encode(),
                value.filename.encode() if isinstance(value, Upload) else None,
                value.data if isinstance(value, Upload) else value.encode(),
            )
            for name, value in document.items()
        ]


@given(
    at=st.integers(0, len(GOOD)),
    cut=st.integers(0, 4),
    insert=st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b"--", b"\0", b'"', b";", b"--frontier", b"\xff", b"x"]),
)
@settings(max_examples=500)
def test_a_damaged_form_is_refused_or_comes_out_plain(at: int, cut: int, insert: bytes) -> None:
    codec = Multipart()
    try:
        document = decode(GOOD[:at] + insert + GOOD[at + cut :])
    except ValueError:
        return
    body = codec.encode(document)
    ((_, content_type),) = codec.fields(body)
    assert decode(body, content_type) == document
    assert len(read_by_another(body, content_type)) == len(document)
