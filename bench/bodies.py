"""What it costs to look at files: images by their headers, forms, addresses, packed bodies.

    python bench/bodies.py

Needs the package and Pillow.  CPU time of one core, the best of seven rounds, for files of about 100 KB; what was
measured is checked to have been right.  Exit code 1 if the header of 100 KB of base64 takes over 60 us.
"""

from __future__ import annotations

import gzip
import sys
import time
from base64 import b64encode
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image

from vallum.checks.images import Images, ImagesConfig
from vallum.checks.remote_urls import RemoteUrls, RemoteUrlsConfig
from vallum.codecs.coding import CODINGS
from vallum.codecs.multipart import Multipart
from vallum.core.content import Attachment, Content, Takes, Upload
from vallum.core.exchange import Headers

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS, CALLS = 7, 200
MOST_US = 60.0  # for 100 KB of base64
SIZES = {"PNG": (206, 185), "JPEG": (420, 325), "WEBP": (390, 300)}
PLACES = (Attachment("image", "image", Takes.BASE64), Attachment("url", "image", Takes.URL))


def measure(run: Callable[[], Any]) -> float:
    """Return microseconds of CPU for one call."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(CALLS):
            run()
        best = min(best, time.process_time() - began)
    return best / CALLS * 1e6


def picture(kind: str) -> bytes:
    """Write a noisy picture, which no format packs well."""
    grey = Image.effect_noise(SIZES[kind], 60)
    file = BytesIO()
    Image.merge("RGB", [grey, grey.rotate(180), grey.rotate(90).resize(SIZES[kind])]).save(file, kind, quality=92)
    return file.getvalue()


def tell(words: str, us: float, size: int) -> None:
    """Print one line."""
    print(f"{words:44} {size / 1000:7.1f} KB {us:8.1f} us {us / size * 100_000:8.1f} us for 100 KB")


def verify(data: bytes) -> None:
    """Do what Pillow can do for those who only want to know what came."""
    Image.open(BytesIO(data)).verify()


def images() -> float:
    """Measure the control of images; return the dearest per 100 KB of base64."""
    dearest = 0.0
    control, whole = Images(ImagesConfig(), PLACES), Images(ImagesConfig(), [Attachment("", "image", Takes.UPLOAD)])
    for kind in SIZES:
        data = picture(kind)
        document = {"image": b64encode(data).decode()}
        content, upload = Content(document), Content(Upload("", "", data))
        assert control.clean(content) is document
        size = len(document["image"])
        us = measure(partial(control.clean, content))
        tell(f"{kind} in base64", us, size)
        dearest = max(dearest, us / size * 100_000)
        tell(f"{kind} as an upload", measure(partial(whole.clean, upload)), len(data))
        tell(f"{kind}, Pillow: open and verify", measure(partial(verify, data)), len(data))
    return dearest


def forms() -> None:
    """Measure reading and writing a form of three texts and a file."""
    codec = Multipart()
    document = {"model": "m", "prompt": "a cat", "n": "1", "image": Upload("a.png", "image/png", picture("PNG"))}
    body = codec.encode(document)
    headers = Headers(codec.fields(body))
    assert codec.decode(body, headers) == document
    tell("a form, read", measure(lambda: codec.decode(body, headers)), len(body))
    tell("a form, written anew", measure(lambda: codec.encode(document)), len(body))


def others() -> None:
    """Measure an address, and a packed body."""
    check = RemoteUrls(RemoteUrlsConfig(allow=["images.example.com"]), PLACES)
    content = Content({"url": "https://images.example.com/a/b.png?size=large"})
    assert check.inspect(content) is None
    print(f"{'an address':44} {measure(lambda: check.inspect(content)):19.1f} us")
    plain = b"".join(b'{"text": "a good day for a walk in the park", "n": %d},' % (n * n) for n in range(2000))
    packed = gzip.compress(plain)
    assert CODINGS["gzip"].undo(packed, 1 << 20) == plain
    tell(f"gzip of {len(packed)} bytes, undone", measure(lambda: CODINGS["gzip"].undo(packed, 1 << 20)), len(plain))


def main() -> int:
    """Measure all; return the exit code."""
    dearest = images()
    forms()
    others()
    if dearest > MOST_US:
        print(f"100 KB of base64 take {dearest:.1f} us, over {MOST_US:.0f}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
