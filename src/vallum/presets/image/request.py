"""What a request with an image may look like, in the three ways that vision services take one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.content import Attachment, Takes
from vallum.presets.preset import Bound, Input, RequestForm
from vallum.presets.shape import REFUSED, UPLOAD, either, listed, named, record, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.presets.preset import Bounds

IMAGES = Bound(16, "images of one request")
PARAMETERS = Bound(32, "fields beside the images")
CHARS = Bound(1000, "characters of one such field")
FORMATS = ("image/bmp", "image/gif", "image/jpeg", "image/png", "image/tiff", "image/webp")
IMAGE = {"type": "string", "minLength": 8}  # base64 or a data URL, which the control of images reads
SCALAR = {"type": ["number", "boolean", "null"]}


def raw_schema(_: Bounds) -> Mapping[str, Any]:
    """Ask for a body."""
    return UPLOAD


def multipart_schema(bounds: Bounds) -> Mapping[str, Any]:
    """Ask for one of `image`, `file` and `image[]`, and short texts beside it."""
    fields = named(text(bounds["chars"]), bounds["parameters"] + 1)
    several = listed(UPLOAD, bounds["images"], 1)
    images = {"image": UPLOAD, "file": UPLOAD, "image[]": several}
    return {**fields, "properties": images, **_one_of("image", "file", "image[]")}


def json_schema(bounds: Bounds) -> Mapping[str, Any]:
    """Ask for one of `image` and `images`, in base64, and flat `parameters` beside it."""
    flat = named(either(text(bounds["chars"]), SCALAR), bounds["parameters"])
    form = record(image=IMAGE, images=listed(IMAGE, bounds["images"], 1), parameters=flat)
    return {**form, **_one_of("image", "images")}


def _one_of(first: str, *others: str) -> dict[str, Any]:
    """Ask for one of these members, by the first that is there."""
    chosen: dict[str, Any] = {"required": [first]}
    rest = list(others)
    while rest:
        name = rest.pop()
        refused = {"properties": dict.fromkeys([first, *rest], REFUSED)}
        chosen = {"if": {"required": [name]}, "then": refused, "else": chosen}
    return chosen


RAW = RequestForm(media_types=FORMATS, schema=raw_schema, attachments=(Attachment("", "image", Takes.UPLOAD),))
MULTIPART = RequestForm(
    media_types=("multipart/form-data",),
    schema=multipart_schema,
    bounds={"images": IMAGES, "parameters": PARAMETERS, "chars": CHARS},
    inputs=tuple(Input(name, "image") for name in ("image", "file", "image[].*")),
    attachments=(Attachment("*", "image", Takes.UPLOAD),),
)
JSON = RequestForm(
    schema=json_schema,
    bounds={"images": IMAGES, "parameters": PARAMETERS, "chars": CHARS},
    inputs=(Input("image", "image"), Input("images.*", "image")),
    attachments=(Attachment("image", "image", Takes.BASE64), Attachment("images", "image", Takes.BASE64)),
)
