"""Images by their headers: every honest one passes; bombs, polyglots, stumps and pretenders do not."""

from __future__ import annotations

import subprocess
import sys
import zlib
from functools import cache
from io import BytesIO
from pathlib import Path
from struct import pack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.checks.images import pictures as made
from tests.effort import peak_bytes, steps

from vallum.checks.images import Images, ImagesConfig
from vallum.core.content import Attachment, Content, Takes, Upload
from vallum.core.decision import Finding, Reason

ALL: Any = ["png", "jpeg", "webp", "gif", "bmp", "tiff"]
BODY = (Attachment("", "image", Takes.UPLOAD),)


def judge(data: bytes, declared: str = "", **config: Any) -> str:
    """Return the rule that an image breaks; empty for none."""
    settings = {"types": ALL, **config}
    outcome = Images(ImagesConfig(**settings), BODY).clean(Content(Upload("", declared, data)))
    return outcome.rule if isinstance(outcome, Finding) else ""


def stripped(data: bytes, metadata: Any = "strip") -> bytes:
    outcome = Images(ImagesConfig(metadata=metadata), BODY).clean(Content(Upload("", "", data)))
    assert isinstance(outcome, Upload), outcome
    return outcome.data


@cache
def honest() -> tuple[tuple[str, bytes], ...]:
    return tuple(made.honest())


def test_no_honest_image_is_refused() -> None:
    refused = [(name, rule) for name, data in honest() if (rule := judge(data))]

    print(f"{len(honest())} honest images, {len(refused)} refused")
    assert len(honest()) > 250
    assert refused == []


def test_an_honest_image_declared_as_what_it_is() -> None:
    for name, data in honest():
        assert judge(data, f"image/{name.split()[0].lower()}") == "", name


def test_interlaced_and_plain_by_another_hand() -> None:
    # Adam7 is not written by Pillow: the header says so, the chunks are the same.
    assert judge(made.MAGIC + made.chunk(b"IHDR", pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1)) + made.png()[33:]) == ""


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_a_stump_is_refused_wherever_it_was_cut(kind: str) -> None:
    data = made.saved(kind, made.noise(size=(200, 150)))
    for percent in range(7, 100, 7):
        assert judge(data[: len(data) * percent // 100]) in ("image_truncated", "image_type"), percent
    for short in range(1, 12):
        assert judge(data[:-short]) == "image_truncated", short
    for size in range(64):
        assert judge(data[:size]), size


def test_a_tiff_without_its_directory_is_refused() -> None:
    data = made.tiff_of(1, 1)
    assert judge(data) == ""
    for size in range(4, len(data)):
        assert judge(data[:size]) == "image_truncated", size


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
@pytest.mark.parametrize(
    "tail",
    [
        b"\0",
        b"\n",
        b"PK\x03\x04" + b"zip" * 30,
        b"<script>x()</script>",
        b"%PDF-1.7",
        b"\xff\xd9",
        b"\x3b",
        b"IEND\xaeB`\x82",
    ],
)
def test_a_polyglot_is_refused_by_what_follows_its_end(kind: str, tail: bytes) -> None:
    assert judge(made.saved(kind) + tail) == "trailing_data"


def test_a_picture_behind_a_picture_is_refused() -> None:
    for first in ("PNG", "JPEG", "GIF", "WEBP"):
        for second in ("PNG", "JPEG", "GIF", "WEBP"):
            assert judge(made.saved(first) + made.saved(second)) == "trailing_data", (first, second)


# --- bombs


def test_a_bomb_of_pixels_costs_nothing() -> None:
    bomb = made.png_bomb()
    assert len(bomb) < 200_000
    assert judge(bomb) == "max_pixels"
    assert steps(lambda: judge(bomb)) < 1500
    assert peak_bytes(lambda: judge(bomb)) < 10_000


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (made.png(width=2, height=2).replace(made.header(2, 2), made.header(5000, 5000)), "image_truncated"),
        (made.png().replace(made.header(2, 2), made.header(2**31 - 1, 2**31 - 1)), "image_truncated"),
        (made.png().replace(made.header(2, 2), made.header(0, 2)), "image_structure"),
        (made.tiff_of(4_000_000_000, 4_000_000_000), "max_pixels"),
        (made.tiff_of(0, 1), "image_structure"),
        (made.webp(made.canvas(16_383, 16_383), (b"VP8L", b"\x2f\0\0\0\0")), "max_pixels"),
        (made.webp((b"VP8L", b"\x2f\xff\xff\xff\x0f")), "max_pixels"),
        (made.gif_of(1).replace(b"GIF89a\1\0\1\0", b"GIF89a\xff\xff\xff\xff"), "max_pixels"),
        (made.gif_of(1).replace(b"\x2c\0\0\0\0\1\0\1\0", b"\x2c\xff\xff\xff\xff\xff\xff\xff\xff"), "max_pixels"),
    ],
)
def test_a_size_that_no_data_stands_for(data: bytes, rule: str) -> None:
    assert judge(data) == rule


def test_a_jpeg_whose_head_was_blown_up() -> None:
    data = made.saved("JPEG")
    at = data.index(b"\xff\xc0") + 5
    assert judge(data[:at] + pack(">HH", 6000, 6000) + data[at + 4 :]) == "image_truncated"
    assert judge(data[:at] + pack(">HH", 65_535, 65_535) + data[at + 4 :]) == "image_truncated"
    assert judge(data[:at] + pack(">HH", 0, 64) + data[at + 4 :]) == "image_structure"


def test_frames_are_counted_no_further_than_they_may_go() -> None:
    flood = made.gif_of(100_000)
    assert judge(flood) == "max_frames"
    assert judge(flood, max_frames=10_000) == "max_frames"
    assert steps(lambda: judge(flood)) < 1500
    assert steps(lambda: judge(flood, max_frames=1000)) < 200 * 1000
    assert judge(made.gif_of(100), max_frames=100) == ""


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_is_taken_where_the_policy_says_so(kind: str) -> None:
    data = made.animated(kind)

    assert judge(data) == "max_frames"
    assert judge(data, max_frames=4) == ""
    assert judge(data, max_frames=3) == "max_frames"
    assert judge(data, max_frames=4, max_pixels=4 * 64 * 48) == ""
    assert judge(data, max_frames=4, max_pixels=4 * 64 * 48 - 1) == "max_pixels"


def test_a_tiff_of_many_pictures_and_one_that_bites_its_tail() -> None:
    pictures = [made.noise() for _ in range(3)]
    data = made.saved("TIFF", pictures[0], save_all=True, append_images=pictures[1:])

    assert judge(data) == "max_frames"
    assert judge(data, max_frames=3) == ""
    assert judge(made.tiff_of(1, 1, following=8), max_frames=100) == "image_structure"


PACKED = zlib.compress(b"\0" * 50_000_000, 9)


@pytest.mark.parametrize(
    "packed",
    [
        made.chunk(b"zTXt", b"Comment\0\0" + PACKED),
        made.chunk(b"iCCP", b"profile\0\0" + PACKED),
        made.chunk(b"iTXt", b"Comment\0\1\0en\0\0" + PACKED),
    ],
)
def test_a_bomb_in_metadata(packed: bytes) -> None:
    bomb = made.png(packed)
    assert judge(bomb) == "metadata_bomb"
    assert peak_bytes(lambda: judge(bomb)) < 5_000_000, "a tenth of what is in it"


@pytest.mark.parametrize(
    ("odd", "rule"),
    [
        (made.chunk(b"zTXt", b"Comment\0\0not packed"), "image_structure"),
        (made.chunk(b"zTXt", b"Comment"), "image_structure"),
        (made.chunk(b"iTXt", b"Comment\0\0\0en"), "image_structure"),
        (made.chunk(b"iTXt", b"Comment\0\0\0en\0\0plain text"), ""),
        (made.chunk(b"tEXt", b"Comment\0" + b"x" * 2_000_000), "max_metadata_bytes"),
        (made.chunk(b"IHDR", b"\0" * 13), "image_structure"),
        (made.chunk(b"CgBI", b"\0" * 4), "image_structure"),
        (made.chunk(b"abCd", b"of a private kind"), ""),
        (made.chunk(b"tEXt", b"") * 20_000, "image_structure"),
    ],
)
def test_chunks_that_a_png_may_not_have(odd: bytes, rule: str) -> None:
    assert judge(made.png(odd)) == rule


@pytest.mark.parametrize(
    "foreign",
    [
        b"<script>",
        b"<SCRIPT src=x>",
        b"<?php system($_GET[0]); ?>",
        b"<html>",
        b"<svg onload=x>",
        b"%PDF-1.4",
        b"PK\3\4",
        b"PK\5\6",
    ],
)
def test_what_is_meant_for_another_reader_is_found_in_metadata(foreign: bytes) -> None:
    jpeg = made.saved("JPEG")
    text = b"Comment\0" + foreign
    for data in (
        made.saved("JPEG", comment=foreign),
        made.with_segment(jpeg, 0xE5, foreign),
        made.with_segment(jpeg, 0xE1, b"Exif\0\0" + foreign),
        made.png(made.chunk(b"tEXt", text)),
        made.png(made.chunk(b"zTXt", b"Comment\0\0" + zlib.compress(foreign))),
        made.saved("GIF", comment=foreign),
        made.saved("WEBP", xmp=foreign),
    ):
        assert judge(data) == "hidden_content"


# --- types


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>",
        b"<?xml version='1.0'?><svg/>",
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"\0\0\0\x1cftypavif\0\0\0\0avifmif1",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        b"\0\0\1\0\1\0\x10\x10",  # an icon
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"8BPS\0\1",
        b"\xff\xd8",
        b"GIF90a" + b"\0" * 40,
        b"II+\0\x08\0\0\0",  # BigTIFF
        b"\xef\xbb\xbf\x89PNG\r\n\x1a\n",
    ],
)
def test_what_is_no_image_that_is_taken(data: bytes) -> None:
    assert judge(data) == "image_type"


def test_a_declared_type_must_be_true() -> None:
    kinds = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
    for kind in kinds:
        data = made.saved(kind)
        for declared in kinds:
            assert bool(judge(data, f"image/{declared.lower()}")) == (declared != kind)
        assert judge(data, "application/octet-stream") == ""
        assert judge(data, "text/html") == "image_type"
        assert judge(data, "image/svg+xml") == "image_type"
    assert judge(made.saved("JPEG"), "image/jpg") == ""


def test_only_the_types_of_the_policy() -> None:
    assert judge(made.saved("BMP"), types=["png"]) == "image_type"
    assert judge(made.saved("PNG"), types=["png"]) == ""
    assert Images(ImagesConfig(), BODY).clean(Content(Upload("", "", made.saved("TIFF")))) == Finding(
        "image_type", "", reason=Reason.INVALID_REQUEST, public=True
    )


def test_bytes_are_bounded() -> None:
    data = made.saved("PNG")

    assert judge(data, max_bytes=len(data)) == ""
    assert judge(data, max_bytes=len(data) - 1) == "max_bytes"


# --- structure


JPEG = made.saved("JPEG")
FRAME = JPEG.index(b"\xff\xc0")
SCAN = JPEG.index(b"\xff\xda")


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (JPEG[:FRAME] + JPEG[FRAME : FRAME + 19] + JPEG[FRAME:], "image_structure"),  # two sizes
        (made.with_segment(JPEG, 0x01, b""), "image_structure"),
        (made.with_segment(JPEG, 0xDC, b"\0\1"), "image_structure"),  # the number of lines, told late
        (JPEG[:2] + b"\xff\xff\xff" + JPEG[2:], ""),  # fill bytes
        (JPEG[:2] + b"\0" + JPEG[2:], "image_type"),
        (JPEG[:FRAME] + b"\0" + JPEG[FRAME:], "image_structure"),
        (JPEG[:2] + b"\xff" * 20_000 + JPEG[2:], "image_structure"),
        (JPEG[:FRAME] + JPEG[FRAME + 19 :], "image_structure"),  # no size
        (JPEG[:FRAME] + made.segment(0xC0, b"\x08\0\x10") + JPEG[FRAME:], "image_structure"),
        (JPEG[:-2] + b"\xff\xd9" + b"x" * 99 + b"\xff\xd9", "trailing_data"),
        (JPEG[:-2] + made.segment(0xFE, b"<script>") + b"\xff\xd9", "image_structure"),
        (JPEG[:-2] + made.segment(0xE1, b"Exif") + b"\xff\xd9", "image_structure"),
        (JPEG[: SCAN + 1], "image_truncated"),
        (JPEG[: SCAN + 8], "image_truncated"),
        (b"\xff\xd8\xff\xd9", "image_truncated"),
        (b"\xff\xd8\xff\xd9\0\2", "image_structure"),
    ],
)
def test_segments_that_two_readers_could_read_in_two_ways(data: bytes, rule: str) -> None:
    assert judge(data) == rule


WEBP = made.saved("WEBP", lossless=True)
PIXELS = (b"VP8L", WEBP[20:])


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (made.webp(PIXELS, (b"EXIF", b"ab")), ""),
        (made.webp(PIXELS, PIXELS), "image_structure"),
        (made.webp((b"EXIF", b"ab"), PIXELS), "image_structure"),
        (made.webp(PIXELS, made.canvas(1, 1)), "image_structure"),
        (made.webp(made.canvas(1, 1)), "image_truncated"),
        (made.webp((b"VP8 ", b"\0" * 10)), "image_structure"),
        (made.webp((b"VP8 ", b"\0" * 8)), "image_truncated"),
        (made.webp((b"VP8L", b"\0" * 10)), "image_structure"),
        (made.webp((b"VP8L", b"\0\0\0\0")), "image_truncated"),
        (made.webp(PIXELS, *[(b"junk", b"")] * 17_000), "image_structure"),
        (made.webp(PIXELS)[:4] + pack("<I", 4 + len(WEBP)) + made.webp(PIXELS)[8:] + b"VP8", "image_truncated"),
        (b"RIFF\x04\0\0\0WEBP", "image_truncated"),
    ],
)
def test_chunks_that_a_webp_may_not_have(data: bytes, rule: str) -> None:
    assert judge(data) == rule


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (made.gif_of(0), "image_truncated"),
        (made.gif_of(1)[:-1] + b"\x00\x3b", "image_structure"),
        (made.gif_of(1)[:-1] + b"\x21\xfe" + b"\x01x" * 20_000 + b"\0\x3b", "image_structure"),
        (made.gif_of(1)[:-1] + b"\x21", "image_truncated"),
        (made.gif_of(1)[:-1] + b"\x21\xfe\xff", "image_truncated"),
        (b"GIF89a", "image_truncated"),
    ],
)
def test_blocks_that_a_gif_may_not_have(data: bytes, rule: str) -> None:
    assert judge(data) == rule


BMP = made.saved("BMP")


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (BMP[:18] + pack("<ii", 64, -48) + BMP[26:], ""),  # top to bottom
        (BMP[:18] + pack("<ii", -64, 48) + BMP[26:], "image_structure"),
        (BMP[:18] + pack("<ii", 6400, 48) + BMP[26:], "image_truncated"),
        (BMP[:14] + pack("<I", 12) + BMP[18:], "image_structure"),
        (b"BM", "image_truncated"),
        (b"MM\0*\0\0\0\x08\0\1\1\0\0\2\0\0\0\1\0\0\0\0\0\0\0\0", "image_structure"),  # a width in letters
        (b"II*\0\x08\0\0\0\xff\xff", "image_structure"),
        (b"II*\0\0\0\0\0", "image_structure"),
    ],
)
def test_bmp_and_tiff_that_are_odd(data: bytes, rule: str) -> None:
    assert judge(data) == rule


@given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"]), st.data())
@settings(max_examples=400)
def test_no_damage_makes_it_fail(kind: str, draw: st.DataObject) -> None:
    data = bytearray(_sample(kind))
    for _ in range(draw.draw(st.integers(1, 6))):
        at = draw.draw(st.integers(0, len(data) - 1))
        data[at : at + draw.draw(st.integers(0, 3))] = draw.draw(st.binary(max_size=4))
    judge(bytes(data), max_frames=5)
    Images(ImagesConfig(metadata="strip_all"), BODY).clean(Content(Upload("", "", bytes(data))))


@cache
def _sample(kind: str) -> bytes:
    options: dict[str, Any] = {"exif": made.exif()} if kind in ("PNG", "JPEG", "WEBP") else {}
    return made.saved(kind, made.noise(size=(16, 12)), **options)


# --- stripping


def facts(data: bytes) -> Image.Image:
    picture = Image.open(BytesIO(data))
    picture.load()
    return picture


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_stripping_takes_the_metadata_and_no_pixel(kind: str) -> None:
    options: dict[str, Any] = {"exif": made.exif(1), "icc_profile": made.PROFILE}
    if kind == "JPEG":
        options |= {"comment": b"hello", "progressive": True}
    data = made.saved(kind, made.noise(size=(40, 30)), **options)
    if kind == "PNG":
        data = data.replace(
            made.END, made.chunk(b"tEXt", b"Author\0somebody") + made.chunk(b"tIME", b"\0" * 7) + made.END
        )
    before, after, bare = facts(data), facts(stripped(data)), facts(stripped(data, "strip_all"))

    assert dict(before.getexif())
    assert not dict(after.getexif())
    assert before.tobytes() == after.tobytes() == bare.tobytes()
    assert after.info["icc_profile"] == made.PROFILE
    assert {"comment", "exif", "xmp", "Author"}.isdisjoint(after.info)
    assert {"icc_profile", "comment", "exif", "xmp", "Author"}.isdisjoint(bare.info)
    assert b"a description" not in stripped(data)
    assert judge(stripped(data)) == judge(stripped(data, "strip_all")) == ""
    assert stripped(stripped(data)) == stripped(data)


@pytest.mark.parametrize("turned", range(1, 9))
def test_a_photograph_stays_upright(turned: int) -> None:
    data = stripped(made.saved("JPEG", exif=made.exif(turned)))
    kept = dict(facts(data).getexif())

    assert kept == ({} if turned == 1 else {0x0112: turned})
    assert judge(data) == ""


@pytest.mark.parametrize("broken", [b"", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff"])
def test_broken_exif_is_taken_out_like_any_other(broken: bytes) -> None:
    assert b"Exif" not in stripped(made.with_segment(JPEG, 0xE1, b"Exif\0\0" + broken))


def test_what_is_stripped_is_not_searched_and_is_gone() -> None:
    data = made.saved("JPEG", comment=b"<script>")

    assert judge(data) == "hidden_content"
    assert b"<script>" not in stripped(data)


def test_the_loop_of_an_animation_survives_and_its_comment_does_not() -> None:
    pictures = [made.noise() for _ in range(3)]
    data = made.saved("GIF", pictures[0], save_all=True, append_images=pictures[1:], loop=3, comment=b"hello there")
    control = Images(ImagesConfig(metadata="strip", max_frames=3), BODY)
    outcome = control.clean(Content(Upload("", "", data)))

    assert isinstance(outcome, Upload)
    assert b"hello there" not in outcome.data
    assert facts(outcome.data).info["loop"] == 3


def test_an_image_without_metadata_is_passed_on_as_it_is() -> None:
    upload = Upload("", "", made.saved("PNG"))

    assert Images(ImagesConfig(metadata="strip_all"), BODY).clean(Content(upload)) is upload


# --- memory

PEAK = """
import resource, sys
from pathlib import Path
from vallum.checks.images import Images, ImagesConfig
from vallum.core.content import Attachment, Content, Takes, Upload
config = ImagesConfig(types=["png", "jpeg", "webp", "gif", "bmp", "tiff"], max_frames=100)
control = Images(config, [Attachment("", "image", Takes.UPLOAD)])
files = sorted(Path(sys.argv[1]).iterdir())
largest = max(file.stat().st_size for file in files)
held = bytes(largest)
del held
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for file in files:
    control.clean(Content(Upload("", "", file.read_bytes())))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_stays_flat_over_the_battery(tmp_path: Path) -> None:
    battery = [
        *(data for _, data in honest()),
        made.png_bomb(),
        made.gif_of(100_000),
        *(made.png(made.chunk(b"zTXt", b"Comment\0\0" + PACKED)) for _ in range(3)),
        made.tiff_of(4_000_000_000, 4_000_000_000),
        made.webp(PIXELS, *[(b"junk", b"")] * 17_000),
    ]
    for index, data in enumerate(battery):
        (tmp_path / str(index)).write_bytes(data)
    run = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path)], capture_output=True, check=True, text=True, timeout=50
    )
    peak_kib = int(run.stdout)

    largest = max(len(data) for data in battery)
    print(f"peak over {len(battery)} files, the largest {largest} bytes: {peak_kib} KiB more")
    assert peak_kib * 1024 < largest + 16_000_000
