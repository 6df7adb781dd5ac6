"""Bodies that hold files: content codings, uploads in a document, images, and bodies that are written anew."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from vallum.adapters.conduct import upstream_request
from vallum.checks.schema import Schema
from vallum.codecs.coding import CODINGS
from vallum.codecs.multipart import Multipart
from vallum.core.content import Content, Passage, Upload, Voice
from vallum.core.decision import Allow, Finding, Reason
from vallum.core.engine import line_up
from vallum.core.exchange import Headers
from vallum.core.fieldpath import find_pointer
from vallum.core.policy import Mode

if TYPE_CHECKING:
    from tests.conftest import Kit

    from vallum.core.exchange import Exchange

FILE = Upload("cat.png", "image/png", b"\x89PNG")
FORM = (("content-type", "multipart/form-data; boundary=theirs"), ("content-length", "9"))
BODY = (
    b'--theirs\r\nContent-Disposition: form-data; name="a"\r\n\r\nhello\r\n'
    b'--theirs\r\nContent-Disposition: form-data; name="f"; filename="cat.png"\r\nContent-Type: image/png\r\n\r\n'
    b"\x89PNG\r\n--theirs--\r\n"
)


class Replacing:
    """A control of images that replaces every text by another, or finds something."""

    type = "images"

    def __init__(self, outcome: Any = None) -> None:
        self.outcome = outcome

    def clean(self, content: Content) -> Any:
        return content.document if self.outcome is None else self.outcome


def reason(x: Exchange) -> str:
    return "allow" if isinstance(x.decision, Allow) else str(x.decision and x.decision.reason)


# --- uploads in a document


def test_of_an_upload_the_name_is_text_and_the_data_is_not() -> None:
    content = Content({"a": "hello", "f": FILE, "g[]": [FILE]})

    assert content.values == ["hello", "cat.png", "cat.png"]
    assert content.locate(lambda text: text == "cat.png") == "/f/filename"
    assert content.passages == (
        Passage(Voice.USER, " (a key)", "g[]"),
        Passage(Voice.USER, "/a", "hello"),
        Passage(Voice.USER, "/f/filename", "cat.png"),
        Passage(Voice.USER, "/g[]/0/filename", "cat.png"),
    )


def test_a_schema_sees_an_upload_by_its_facts() -> None:
    facts = {"filename": "cat.png", "media_type": "image/png", "bytes": 4}

    assert Content({"a": "x", "n": 1, "f": FILE, "g[]": [FILE]}).outline == {
        "a": "x",
        "n": 1,
        "f": facts,
        "g[]": [facts],
    }
    assert Content(FILE).outline == facts
    document = {"a": "x"}
    assert Content(document).outline is document


def test_a_schema_bounds_an_upload() -> None:
    schema = Schema({"properties": {"f": {"type": "object", "properties": {"bytes": {"maximum": 3}}}}})

    found = schema.inspect(Content({"f": FILE}))

    assert found is not None
    assert (found.rule, found.where) == ("maximum", "/f/bytes")


def test_what_is_set_aside_is_no_text() -> None:
    picture, other = "iVBORw0KGgo=", "R0lGODlh"
    content = Content({"picture": picture, "text": "hello"})
    assert content.text == "iVBORw0KGgo=\nhello"
    assert content.readings

    changed = {"picture": other, "text": "hello"}
    content.set_aside([picture, other], changed)

    assert content.document is changed
    assert content.text == "hello"
    assert "R0lGOD" not in content.readings[0].text
    assert content.locate(lambda text: text == other) == ""


def test_a_place_is_found_by_its_container() -> None:
    inner: dict[str, Any] = {"c/d": 1}
    document = {"a": [{"b": 2}, {"x": inner}], "z": "text"}

    assert find_pointer(document, inner, "c/d") == "/a/1/x/c~1d"
    assert find_pointer(document, document["a"], 1) == "/a/1"
    assert find_pointer(document, document, "z") == "/z"
    assert find_pointer(document, {"c/d": 1}, "c/d") == ""
    assert find_pointer("text", None, None) == ""


# --- the line


def test_the_stages_of_bodies_have_their_places(kit: Kit) -> None:
    intake = kit.intake(
        codecs={"multipart/form-data": Multipart()},
        codings=CODINGS,
        images=Replacing(),
        images_mode=Mode.SHADOW,
        schema=lambda _: None,
        checks=(kit.guard(),),
    )

    assert [(stage.name, stage.mode.value, stage.bound) for stage in line_up(kit.route(intake=intake)).body] == [
        ("inflate", "enforce", True),
        ("parse", "enforce", False),
        ("quotas", "enforce", False),
        ("schema", "enforce", False),
        ("images", "shadow", False),
        ("check:looking", "enforce", False),
        ("write", "enforce", False),
    ]


# --- content codings


def encoded(*codings: str) -> Any:
    return [("content-type", "application/json"), *(("content-encoding", coding) for coding in codings)]


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate"])
def test_a_coding_is_undone_and_the_plain_body_is_passed_on(kit: Kit, coding: str) -> None:
    packed = zlib.compress(b'{"a":1}') if coding == "deflate" else gzip.compress(b'{"a":1}', mtime=0)
    engine = kit.engine(kit.route(intake=kit.intake(codings=CODINGS)))
    request = kit.request(headers=[*encoded(coding), ("content-length", str(len(packed)))])

    x = kit.judge(engine, request, packed)

    assert x.decision == Allow(b'{"a":1}')
    assert x.document == {"a": 1}
    assert all(name != "content-encoding" for name, _ in upstream_request(x, b'{"a":1}')[3])


def test_a_plain_body_passes_where_codings_are_taken(kit: Kit) -> None:
    engine = kit.engine(kit.route(intake=kit.intake(codings=CODINGS)))

    assert kit.judge(engine, kit.request(), b"{}").decision == Allow(None)
    assert kit.judge(engine, kit.request(headers=[*encoded("identity")]), b"{}").decision == Allow(None)


@pytest.mark.parametrize(
    "codings",
    [
        ("br",),
        ("zstd",),
        ("x-gzip",),
        ("compress",),
        ("gzip, identity",),
        ("gzip, gzip",),
        ("gzip", "gzip"),
        ("gzip", "identity"),
        ("identity", "gzip"),
        ("",),
        ("gzip;q=1",),
        ("*",),
    ],
)
def test_codings_that_are_not_taken(kit: Kit, codings: tuple[str, ...]) -> None:
    engine = kit.engine(kit.route(intake=kit.intake(codings=CODINGS)))
    headers = [*encoded(*codings), ("content-length", "2")]

    assert reason(kit.judge(engine, kit.request(headers=headers), b"{}")) == "unsupported_media_type"


def test_no_coding_is_taken_unless_the_route_says_so(kit: Kit) -> None:
    headers = [*encoded("gzip"), ("content-length", "2")]

    assert reason(kit.judge(kit.engine(), kit.request(headers=headers), b"{}")) == "unsupported_media_type"


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (gzip.compress(b"{}", mtime=0)[:-1], "malformed_request"),
        (gzip.compress(b"{}", mtime=0) + b"x", "malformed_request"),
        (b"{}", "malformed_request"),
        (b"", "malformed_request"),
        (gzip.compress(b" " * 2000, mtime=0), "body_too_large"),
    ],
)
def test_a_coding_that_cannot_be_undone_within_bounds(kit: Kit, mode: Mode, body: bytes, wanted: str) -> None:
    engine = kit.engine(kit.route(intake=kit.intake(codings=CODINGS, max_bytes=1000), mode=mode))

    assert reason(kit.judge(engine, kit.request(headers=encoded("gzip")), body)) == wanted


def test_gzip_in_gzip_is_no_json(kit: Kit) -> None:
    engine = kit.engine(kit.route(intake=kit.intake(codings=CODINGS)))
    body = gzip.compress(gzip.compress(b"{}"), mtime=0)

    assert reason(kit.judge(engine, kit.request(headers=encoded("gzip")), body)) == "malformed_request"


# --- images


def test_what_the_control_of_images_changes_is_passed_on(kit: Kit) -> None:
    engine = kit.engine(kit.route(intake=kit.intake(images=Replacing({"a": "clean"}))))

    x = kit.judge(engine, kit.request(), b'{"a": "dirty"}')

    assert x.decision == Allow(b'{"a":"clean"}')
    assert x.document == {"a": "clean"}
    assert x.sanitised


def test_what_it_leaves_alone_is_passed_on_as_it_came(kit: Kit) -> None:
    engine = kit.engine(kit.route(intake=kit.intake(images=Replacing())))

    x = kit.judge(engine, kit.request(), b'{"a": "b"}')

    assert x.decision == Allow(None)
    assert not x.sanitised


def test_what_it_finds_is_refused_or_in_shadow_recorded(kit: Kit) -> None:
    finding = Finding("image_type", "/a", reason=Reason.INVALID_REQUEST, public=True)
    enforced = kit.route(intake=kit.intake(images=Replacing(finding)))
    shadowed = kit.route(intake=kit.intake(images=Replacing(finding), images_mode=Mode.SHADOW))

    x = kit.judge(kit.engine(enforced), kit.request(), b"{}")
    y = kit.judge(kit.engine(shadowed), kit.request(), b"{}")

    assert reason(x) == "invalid_request"
    assert y.decision == Allow(None)
    assert [refusal.reason for refusal in y.shadowed] == [Reason.INVALID_REQUEST]


def test_in_shadow_nothing_is_changed(kit: Kit) -> None:
    for route in (
        kit.route(intake=kit.intake(images=Replacing({}), images_mode=Mode.SHADOW)),
        kit.route(intake=kit.intake(images=Replacing({})), mode=Mode.SHADOW),
    ):
        assert kit.judge(kit.engine(route), kit.request(), b'{"a": "b"}').decision == Allow(None)


def test_what_could_not_be_parsed_is_unscanned(kit: Kit) -> None:
    route = kit.route(intake=kit.intake(images=Replacing()), mode=Mode.SHADOW)

    x = kit.judge(kit.engine(route), kit.request(), b"{")

    assert "images" in x.unscanned


# --- bodies that are written anew


def form_route(kit: Kit, **changes: Any) -> Any:
    intake = kit.intake(
        codecs={"multipart/form-data": Multipart(lambda: "ours")}, headers=frozenset({"content-type"}), **changes
    )
    return kit.route(intake=intake)


def test_a_form_is_passed_on_as_it_was_read_under_a_boundary_of_ours(kit: Kit) -> None:
    x = kit.judge(kit.engine(form_route(kit)), kit.request(headers=FORM), BODY)

    assert isinstance(x.decision, Allow)
    assert x.decision.body == BODY.replace(b"theirs", b"ours")
    fields = upstream_request(x, x.decision.body)[3]
    assert [value for name, value in fields if name == "content-type"] == ["multipart/form-data; boundary=ours"]


def test_what_was_changed_in_a_form_is_written_too(kit: Kit) -> None:
    route = form_route(kit, images=Replacing({"a": "clean"}))

    x = kit.judge(kit.engine(route), kit.request(headers=FORM), BODY)

    assert isinstance(x.decision, Allow)
    assert x.decision.body == (b'--ours\r\nContent-Disposition: form-data; name="a"\r\n\r\nclean\r\n--ours--\r\n')


def test_a_packed_form_is_written_plain(kit: Kit) -> None:
    headers = [FORM[0], ("content-encoding", "gzip"), ("content-length", "9")]

    x = kit.judge(
        kit.engine(form_route(kit, codings=CODINGS)), kit.request(headers=headers), gzip.compress(BODY, mtime=0)
    )

    assert x.decision == Allow(BODY.replace(b"theirs", b"ours"))


def test_in_shadow_a_form_passes_as_it_came(kit: Kit) -> None:
    route = kit.route(intake=kit.intake(codecs={"multipart/form-data": Multipart()}), mode=Mode.SHADOW)

    x = kit.judge(kit.engine(route), kit.request(headers=FORM), BODY)
    y = kit.judge(kit.engine(route), kit.request(headers=FORM), b"no form")

    assert x.decision == y.decision == Allow(None)
    assert x.fields == y.fields == ()
    assert [refusal.reason for refusal in y.shadowed] == [Reason.MALFORMED_REQUEST]


def test_other_types_of_the_same_route_are_not_written_anew(kit: Kit) -> None:
    codecs = {**kit.intake().codecs, "multipart/form-data": Multipart()}
    route = kit.route(intake=kit.intake(codecs=codecs))

    assert kit.judge(kit.engine(route), kit.request(), b'{ "a": 1 }').decision == Allow(None)


def test_fields_are_read_from_what_was_written() -> None:
    assert Headers(Multipart(lambda: "b").fields(b"--b--\r\n")).get("content-type") == "multipart/form-data; boundary=b"
