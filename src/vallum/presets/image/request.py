"""What a request with an image may look like, in the three ways that vision services take one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.content import Attachment, Takes
from vallum.presets.preset import Bound, Input, RequestForm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.presets.preset import Bounds

BOUNDS = {
    "images": Bound(16, "images of one request"),
    "parameters": Bound(32, "members of parameters, or fields of a form beside its images"),
    "text": Bound(1000, "characters of one parameter"),
}
FORMATS = ("image/bmp", "image/gif", "image/jpeg", "image/png", "image/tiff", "image/webp")
NAME = "^[A-Za-z_][A-Za-z0-9_.-]{0,63}$"
# Of an upload a schema sees `filename`, `media_type` and `bytes`.
UPLOAD = {"type": "object", "required": ["filename", "media_type", "bytes"], "properties": {"bytes": {"minimum": 1}}}


def raw_schema(_: Bounds) -> Mapping[str, Any]:
    """Ask for a body."""
    return UPLOAD


def multipart_schema(bounds: Bounds) -> Mapping[str, Any]:
    """Ask for an image as `image`, `file` or `image[]`, and short texts beside it."""
    several = {"type": "array", "items": UPLOAD, "minItems": 1, "maxItems": bounds["images"]}
    return {
        "type": "object",
        "properties": {"image": UPLOAD, "file": UPLOAD, "image[]": several},
        "oneOf": [{"required": ["image"]}, {"required": ["file"]}, {"required": ["image[]"]}],
        "maxProperties": bounds["parameters"] + 1,
        "propertyNames": {"anyOf": [{"const": "image[]"}, {"pattern": NAME}]},
        "additionalProperties": {"type": "string", "maxLength": bounds["text"]},
    }


def json_schema(bounds: Bounds) -> Mapping[str, Any]:
    """Ask for `image` or `images`, in base64, and flat `parameters` beside them."""
    image = {"type": "string", "minLength": 8}
    scalar = {"type": ["string", "number", "boolean", "null"], "maxLength": bounds["text"]}
    return {
        "type": "object",
        "properties": {
            "image": image,
            "images": {"type": "array", "items": image, "minItems": 1, "maxItems": bounds["images"]},
            "parameters": {
                "type": "object",
                "maxProperties": bounds["parameters"],
                "propertyNames": {"pattern": NAME},
                "additionalProperties": scalar,
            },
        },
        "oneOf": [{"required": ["image"]}, {"required": ["images"]}],
        "additionalProperties": False,
    }


RAW = RequestForm(
    media_types=FORMATS, schema=raw_schema, bounds=BOUNDS, attachments=(Attachment("", "image", Takes.UPLOAD),)
)
MULTIPART = RequestForm(
    media_types=("multipart/form-data",),
    schema=multipart_schema,
    bounds=BOUNDS,
    inputs=tuple(Input(name, "image") for name in ("image", "file", "image[].*")),
    attachments=(Attachment("*", "image", Takes.UPLOAD),),
)
JSON = RequestForm(
    schema=json_schema,
    bounds=BOUNDS,
    inputs=(Input("image", "image"), Input("images.*", "image")),
    attachments=(Attachment("image", "image", Takes.BASE64), Attachment("images", "image", Takes.BASE64)),
)
