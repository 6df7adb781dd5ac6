"""Near-misses of files: what an image preset takes, wrong in one thing, by the code that it must be refused with."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

from tests.checks.images import pictures as made
from tests.presets.test_battery import judge

from vallum.codecs.multipart import Multipart
from vallum.core.content import Upload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Kit

TYPES = ("png", "jpeg", "gif", "webp")
OTHERS = ("bmp", "tiff", "avif", "heic", "svg+xml", "x-icon", "*")
TAILS = (
    b"\0",
    b" ",
    b"\r\n",
    b"PK\x03\x04",
    b"%PDF-1.7",
    b"<html>",
    b"<script>",
    b"GIF89a",
    b"\xff\xd8\xff",
    b"\xff\xd9",
)
MAGICS = (b"GIF89a", b"\xff\xd8\xff")
INVALID, MALFORMED, UNSUPPORTED = "invalid_request", "malformed_request", "unsupported_media_type"
REJECTED = "request_rejected"


@cache
def files() -> dict[str, bytes]:
    return {kind: made.saved(kind.upper(), made.noise(size=(40, 30))) for kind in TYPES}


def wrong_files() -> Iterator[tuple[str, str, bytes, str]]:
    """Yield a type, what is wrong, the file, and the code."""
    for kind, data in files().items():
        for percent in range(2, 100, 2):
            yield kind, f"cut at {percent} %", data[: len(data) * percent // 100], INVALID
        for short in range(1, 20):
            yield kind, f"short by {short}", data[:-short], INVALID
        for tail in TAILS:
            yield kind, f"{tail!r} behind it", data + tail, REJECTED
            if tail not in MAGICS:
                yield kind, f"{tail!r} before it", tail + data, INVALID
        for other, held in files().items():
            if other != kind:
                yield kind, f"{other} in truth", held, INVALID
                yield kind, f"{other} behind it", data + held, REJECTED
        for magic in range(3):
            yield kind, f"another byte {magic}", data[:magic] + b"\x01" + data[magic + 1 :], INVALID
        for held in (b"hello", b"<svg/>", b"<html></html>", b"\0" * 100, b"BM" + b"\0" * 60, b"II*\0\x08\0\0\0"):
            yield kind, f"{held[:6]!r}", held, INVALID


def head(content_type: str, **more: str) -> dict[str, Any]:
    return {"method": "POST", "headers": {"content-type": content_type, **more}}


def test_a_file_that_is_nearly_an_image(kit: Kit) -> None:
    verdicts: Counter[str] = Counter()
    for kind, words, data, code in wrong_files():
        verdict = judge(kit, "image.raw", head(f"image/{kind}"), data, ())
        assert verdict.partition(":")[0] == code, (kind, words, verdict)
        verdicts[code] += 1
    for kind, data in files().items():
        assert judge(kit, "image.raw", head(f"image/{kind}"), data, ()) == "allow"
        for other in OTHERS:
            verdict = judge(kit, "image.raw", head(f"image/{other}"), data, ())
            assert verdict.partition(":")[0] == UNSUPPORTED, (kind, other, verdict)
            verdicts[UNSUPPORTED] += 1
        for coding in ("gzip", "br", "gzip, identity"):
            item = head(f"image/{kind}", **{"content-encoding": coding})
            assert judge(kit, "image.raw", item, data, ()).partition(":")[0] == UNSUPPORTED
            verdicts[UNSUPPORTED] += 1
    print(f"image.raw: near-misses refused: {dict(verdicts)}")
    assert verdicts.total() > 400


def test_a_form_with_a_file_that_is_nearly_an_image(kit: Kit) -> None:
    codec = Multipart(lambda: "b")
    count = 0
    for name in ("image", "file", "image[]"):
        for kind, words, data, code in wrong_files():
            upload = Upload("x", f"image/{kind}", data)
            body = codec.encode({name: [upload] if name.endswith("]") else upload})
            verdict = judge(kit, "image.multipart", head("multipart/form-data; boundary=b"), body, ())
            assert verdict.partition(":")[0] == code, (kind, words, verdict)
            count += 1
    print(f"image.multipart: {count} near-misses of files refused")


WRONG_BYTES = (b"\n", b"\r", b"\0", b"--", b"--b", b";", b'"', b"\r\n", b"\xff")


def test_a_form_with_one_wrong_byte_is_refused_or_reads_the_same(kit: Kit) -> None:
    form = {"top_k": "5", "image": Upload("a.png", "image/png", files()["png"])}
    body = Multipart(lambda: "b").encode(form)
    heads = [at for at in range(len(body)) if not body.index(b"\x89PNG") <= at < body.index(b"IEND")]
    codes: Counter[str] = Counter()
    for at in heads:
        for wrong in WRONG_BYTES:
            item = head("multipart/form-data; boundary=b")
            verdict = judge(kit, "image.multipart", item, body[:at] + wrong + body[at + 1 :], ())
            codes[verdict.partition(":")[0]] += 1
            assert verdict.partition(":")[0] in (MALFORMED, INVALID, REJECTED, "allow"), verdict
    print(f"image.multipart: {sum(codes.values())} forms with a wrong byte: {dict(codes)}")
    assert codes[MALFORMED] > 1000
