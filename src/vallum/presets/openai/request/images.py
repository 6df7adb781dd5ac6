"""Images: POST /v1/images/generations, and the fields of the forms that edits and variations are sent as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.presets.openai.passages import prompt_passages
from vallum.presets.openai.request.members import ID, optional
from vallum.presets.preset import Bound, Input, RequestForm
from vallum.presets.shape import FLAG, Shape, one_of, record, text, whole

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
QUALITIES = ("auto", "high", "medium", "low", "hd", "standard")
FORMATS = ("png", "jpeg", "webp")
BOUNDS: Mapping[str, Bound] = {
    "characters": Bound(32_000, "characters of the prompt"),
    "n": Bound(10, "images that may be asked for at once"),
}


def schema(bounds: Bounds) -> Mapping[str, Any]:
    """Write the schema of a request for images."""
    return record("prompt", prompt=text(bounds["characters"], 1), **_drawn(bounds), **optional(
        moderation=one_of("low", "auto"),
        partial_images=whole(0, 3),
        stream=FLAG,
        style=one_of("vivid", "natural"),
    ))  # fmt: skip


def edit_fields(bounds: Bounds) -> Mapping[str, Any]:
    """Write the schema of the text fields of a form for edits; its files are `image`, `image[]` and `mask`."""
    spoken = {name: _spoken(shape) for name, shape in _drawn(bounds).items()}
    return record(
        "prompt",
        prompt=text(bounds["characters"], 1),
        input_fidelity=one_of("high", "low"),
        partial_images=one_of("0", "1", "2", "3"),
        stream=one_of("true", "false"),
        **spoken,
    )


def variation_fields(bounds: Bounds) -> Mapping[str, Any]:
    """Write the schema of the text fields of a form for variations; its file is `image`."""
    names = ("model", "n", "response_format", "size", "user")
    return record(**{name: _spoken(shape) for name, shape in _drawn(bounds).items() if name in names})


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
