"""Images: POST /v1/images/generations, and the forms that edits and variations are sent as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.content import Attachment, Takes
from vallum.presets.openai.passages import prompt_passages
from vallum.presets.openai.request.members import EFFORTS, ID, optional
from vallum.presets.preset import Bound, Input, RequestForm
from vallum.presets.shape import FLAG, UPLOAD, Shape, listed, one_of, or_null, record, text, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.presets.preset import Bounds

SIZES = (
    "auto",
    "1024x1024",
    "1536x1024",
    "1024x1536",
    "256x256",
    "512x512",
    "1792x1024",
    "1024x1792",
)
QUALITIES = ("auto", "high", "medium", "low", "xhigh", "max", "hd", "standard")
FORMATS = ("png", "jpeg", "webp", "gif", "svg")
IMAGE: Shape = {"required": ["image"]}
BOUNDS: Mapping[str, Bound] = {
    "chars": Bound(32_000, "characters of the prompt"),
    "n": Bound(10, "images that may be asked for at once"),
}


def schema(bounds: Bounds) -> Mapping[str, Any]:
    """Write the schema of a request for images."""
    return record(
        "prompt",
        prompt=text(bounds["chars"], 1),
        **_drawn(bounds),
        **optional(
            complexity=one_of("low", "medium", "high"),
            frame_count=whole(2, 16),
            frame_duration_ms=whole(1, 655_350),
            moderation=one_of("low", "auto"),
            partial_images=whole(0, 3),
            stream=FLAG,
            safety_identifier=text(256),
            style=one_of("vivid", "natural"),
            svg=record("model", model=ID, reasoning=or_null(record(effort=one_of(*EFFORTS, None)))),
        ),
    )


def edit_fields(bounds: Bounds) -> Mapping[str, Any]:
    """Write the schema of a form for edits: an image or several, perhaps a mask, and texts."""
    spoken = {name: _spoken(shape) for name, shape in _drawn(bounds).items()}
    fields = record(
        "prompt",
        prompt=text(bounds["chars"], 1),
        mask=UPLOAD,
        input_fidelity=one_of("high", "low"),
        partial_images=one_of("0", "1", "2", "3"),
        stream=one_of("true", "false"),
        **spoken,
    )
    fields["properties"].update({"image": UPLOAD, "image[]": listed(UPLOAD, bounds["images"], 1)})
    return {**fields, "if": {"required": ["image[]"]}, "then": {"properties": {"image": False}}, "else": IMAGE}


def variation_fields(bounds: Bounds) -> Mapping[str, Any]:
    """Write the schema of a form for variations: an image, and texts."""
    names = ("model", "n", "response_format", "size", "user")
    spoken = {name: _spoken(shape) for name, shape in _drawn(bounds).items() if name in names}
    return record("image", image=UPLOAD, **spoken)


def _drawn(bounds: Bounds) -> dict[str, Any]:
    return {
        **optional(
            model=ID,
            background=one_of("transparent", "opaque", "auto"),
            n=whole(1, bounds["n"]),
            output_compression=whole(0, 100),
            output_format=one_of(*FORMATS),
            quality=one_of(*QUALITIES),
            response_format=one_of("url", "b64_json"),
            size=one_of(*SIZES),
            user=text(256),
        )
    }


def _spoken(shape: Shape) -> Shape:
    """Return the shape as a field of a form has it, where numbers are texts."""
    if "enum" in shape:
        return one_of(*[value for value in shape["enum"] if value is not None])
    if "integer" in shape["type"]:
        return one_of(*[str(value) for value in range(shape["minimum"], shape["maximum"] + 1)])
    return {**shape, "type": "string"}


GENERATIONS = RequestForm(
    bounds=BOUNDS,
    schema=schema,
    passages=prompt_passages("prompt"),
    inputs=(Input("prompt", "text"),),
)
EDITS = RequestForm(
    media_types=("multipart/form-data",),
    bounds={**BOUNDS, "images": Bound(16, "images of one request")},
    schema=edit_fields,
    passages=prompt_passages("prompt"),
    inputs=(Input("prompt", "text"), Input("image", "image"), Input("image[].*", "image")),
    attachments=(Attachment("*", "image", Takes.UPLOAD),),
)
VARIATIONS = RequestForm(
    media_types=("multipart/form-data",),
    bounds={"n": BOUNDS["n"]},
    schema=variation_fields,
    inputs=(Input("image", "image"),),
    attachments=(Attachment("*", "image", Takes.UPLOAD),),
)
