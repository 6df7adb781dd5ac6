"""Look at every image of a request by its header and structure, and refuse what is no plain picture.

What it stops
    Files that are something else than they say, pictures too large to decode (bombs), animations, files cut short,
    polyglots (an archive, a page or a script behind the end of a picture or in its comments), packed metadata that
    grows without end, base64 that two readers decode differently.  Vector images (SVG) run scripts and are no type.
Config
    `request.images`: `types`, `max_pixels`, `max_frames`, `max_bytes`, `max_count`, `max_metadata_bytes`, `metadata:
    keep | strip | strip_all`, `fields` for places that the preset does not name, `mode: enforce | shadow`.  On where
    the preset names places of images, whether or not it stands in the policy.
Cost
    100 KB of base64: about 10 us, and 20 for JPEG, which is searched for a second end; as an upload 3 and 20.
Misses
    What the picture shows, instructions in its pixels included.  Damage in the coded pixels, wrong checksums, data
    hidden in them.  TIFF has no end, so a stump or what stands behind it is not found.  What is refused for what
    follows its end may be a phone's picture in motion, or several in one file.  Orientation survives stripping in JPEG
    alone.
Example
    request:
      images: {types: [png, jpeg], max_pixels: 16000000, metadata: strip}
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

import msgspec
from msgspec import Meta

from vallum.checks.images import gif, jpeg, plain, png, webp
from vallum.checks.images.picture import STRUCTURE, TRAILING, TYPE, ImageError
from vallum.checks.images.source import is_data_url, read_base64, read_data_url, write_base64
from vallum.checks.images.strip import strip
from vallum.core.content import Takes, Upload
from vallum.core.decision import Finding, Reason
from vallum.core.fieldpath import find_pointer, parse_path, places
from vallum.core.policy import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vallum.checks.images.picture import Picture
    from vallum.core.content import Attachment, Content

# How declared types name the formats: their own names, and two that many senders write.
TYPES = {"bmp": "bmp", "gif": "gif", "jpeg": "jpeg", "png": "png", "tiff": "tiff", "webp": "webp"} | {
    "jpg": "jpeg",
    "x-ms-bmp": "bmp",
}
UNDECLARED = ("", "application/octet-stream")  # an upload's type where its sender knew none
HIDDEN, BOMB = "hidden_content", "metadata_bomb"
REJECTED = frozenset((TRAILING, STRUCTURE, HIDDEN, BOMB))  # nobody honest writes these: no word on what was found
# Scripts, pages and archives, as they begin: in metadata they are for another reader than the picture's.
FOREIGN = re.compile(rb"<script|<\?php|<html|<svg[\s>]|<!doctype|%PDF-|PK\x03\x04|PK\x05\x06", re.IGNORECASE)
STRIPPABLE = ("gif", "jpeg", "png", "webp")

ImageType = Literal["png", "jpeg", "webp", "gif", "bmp", "tiff"]


class ImagesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What images may be."""

    mode: Annotated[Mode, Meta(description="shadow: record what would be refused, strip nothing")] = Mode.ENFORCE
    types: Annotated[list[ImageType], Meta(min_length=1, description="formats that are taken")] = msgspec.field(
        default_factory=lambda: ["png", "jpeg", "webp", "gif"]
    )
    max_pixels: Annotated[int, Meta(ge=1, description="of one image, all of its frames together")] = 40_000_000
    max_frames: Annotated[int, Meta(ge=1, le=10_000, description="of one image; 1: no animation")] = 1
    max_bytes: Annotated[int, Meta(ge=1, description="size of one image's file")] = 20_971_520
    max_count: Annotated[int, Meta(ge=1, description="images of one request")] = 16
    max_metadata_bytes: Annotated[
        int, Meta(ge=1, description="of metadata and colour profile that are kept, packed and unpacked")
    ] = 1_048_576
    metadata: Annotated[
        Literal["keep", "strip", "strip_all"],
        Meta(description="strip: without EXIF, XMP and comments; strip_all: without the colour profile too"),
    ] = "keep"
    fields: Annotated[
        list[str], Meta(description="paths of base64 or data URLs, besides those of the preset: inputs.*.image")
    ] = []


class Held(NamedTuple):
    """An image on its place, and what it was taken from."""

    holder: Any  # the container that holds it
    key: Any
    value: str | Upload
    declared: str  # media type; empty: none
    data: bytes


class Images:
    """The control; pure and reentrant."""

    type: ClassVar[str] = "images"

    def __init__(self, config: ImagesConfig, attachments: Iterable[Attachment]) -> None:
        """Look where `attachments` lie; raise ValueError for a field path that is none."""
        self._config = config
        self._strips = config.metadata != "keep" and config.mode is Mode.ENFORCE
        self._spots = [
            (parse_path(one.path) if one.path else None, one.takes, one.declared)
            for one in attachments
            if one.kind == "image"
        ] + [(parse_path(field), Takes.BASE64, "") for field in config.fields]

    def clean(self, content: Content) -> Any | Finding:
        """Return the document with every image as it may pass on, or the first finding; take images out of the text."""
        document, config = content.document, self._config
        texts: list[str] = []
        changed: dict[int, Any] = {}
        count = 0
        for holder, key, value, takes in self._values(document):
            try:
                held = _hold(holder, key, value, takes, config.max_bytes)
                if held is None:
                    continue
                count += 1
                if count > config.max_count:
                    raise ImageError("max_images")
                data = self._inspect(held)
            except ImageError as fault:
                return _finding(str(fault), find_pointer(document, holder, key))
            if data is not held.data:
                changed[id(value)] = new = _rewritten(held, data)
                if isinstance(new, str):
                    texts.append(new)
            if isinstance(value, str):
                texts.append(value)
        if changed:
            document = _replace(document, changed)
        if texts:
            content.set_aside(texts, document)
        return document

    def _values(self, document: Any) -> Iterator[tuple[Any, Any, Any, Takes]]:
        """Yield what lies at the places of images: a member, or each item of one that is a list."""
        for path, takes, declared in self._spots:
            if path is None:
                yield None, None, document, takes
                continue
            for holder, key in places(document, path):
                value = holder[key]
                if declared and not str(holder.get("media_type")).startswith(declared):
                    continue  # a document in an image's place
                if isinstance(value, dict) and takes is Takes.URL:  # {"image_url": {"url": ...}}
                    yield value, "url", value.get("url"), takes
                elif isinstance(value, list):
                    for index, item in enumerate(value):
                        yield value, index, item, takes
                else:
                    yield holder, key, value, takes

    def _inspect(self, held: Held) -> bytes:
        """Return the data to pass on; raise ImageError."""
        config, data = self._config, held.data
        if len(data) > config.max_bytes:
            raise ImageError("max_bytes")
        kind = find_type(data)
        if kind not in config.types or (held.declared not in UNDECLARED and _named(held.declared) != kind):
            raise ImageError(TYPE)
        picture = READERS[kind](data, config.max_frames)
        if picture.width * picture.height * picture.frames > config.max_pixels:
            raise ImageError("max_pixels")
        if not picture.width or not picture.height:
            raise ImageError(STRUCTURE)
        if picture.extras:
            self._inspect_extras(data, picture)
            if self._strips:
                return strip(data, picture, profile=config.metadata == "strip_all")
        return data

    def _inspect_extras(self, data: bytes, picture: Picture) -> None:
        """Look through the metadata that stays, packed or not, within its bound."""
        left = self._config.max_metadata_bytes
        for extra in picture.extras:
            if self._strips and (not extra.profile or self._config.metadata == "strip_all"):
                continue
            left -= extra.end - extra.start
            if left < 0:
                raise ImageError("max_metadata_bytes")
            span = memoryview(data)[extra.start : extra.end]
            if FOREIGN.search(span):
                raise ImageError(HIDDEN)
            if extra.packed:
                plain_text = _unpack(data[extra.packed : extra.end - 4], left)
                left -= len(plain_text)
                if FOREIGN.search(plain_text):
                    raise ImageError(HIDDEN)


READERS: dict[str, Callable[[bytes, int], Picture]] = {
    "png": png.read_png,
    "jpeg": jpeg.read_jpeg,
    "gif": gif.read_gif,
    "webp": webp.read_webp,
    "bmp": plain.read_bmp,
    "tiff": plain.read_tiff,
}


def find_type(data: bytes) -> str:
    """Name the format by its first bytes; empty for any other."""
    if data.startswith(png.MAGIC):
        return "png"
    if data.startswith(jpeg.MAGIC):
        return "jpeg"
    if data.startswith(gif.MAGICS):
        return "gif"
    if webp.is_webp(data):
        return "webp"
    if data.startswith(plain.TIFF_MAGICS):
        return "tiff"
    return "bmp" if data.startswith(b"BM") else ""


def _named(media_type: str) -> str | None:
    top, _, name = media_type.partition("/")
    return TYPES.get(name) if top == "image" else None


def _hold(holder: Any, key: Any, value: Any, takes: Takes, max_bytes: int) -> Held | None:
    """Read what lies on a place; None for what is no image's: an address, or a wrong type, which the schema refuses."""
    if isinstance(value, Upload):
        return Held(holder, key, value, value.media_type, value.data)
    if not isinstance(value, str) or takes is Takes.UPLOAD:
        return None
    if takes is Takes.URL and not is_data_url(value):
        return None
    if len(value) // 4 * 3 - 2 > max_bytes + 96:  # before it is decoded; 96: the head of a data URL
        raise ImageError("max_bytes")
    if is_data_url(value):
        return Held(holder, key, value, *read_data_url(value))
    declared = holder.get("media_type") if isinstance(holder, dict) else None
    return Held(holder, key, value, declared if isinstance(declared, str) else "", read_base64(value))


def _rewritten(held: Held, data: bytes) -> str | Upload:
    if isinstance(held.value, Upload):
        return held.value._replace(data=data)
    head, comma, _ = held.value[:256].rpartition(",")
    return head + comma + write_base64(data)


def _unpack(packed: bytes, most: int) -> bytes:
    try:
        text = zlib.decompressobj().decompress(packed, most + 1)
    except zlib.error as error:
        raise ImageError(STRUCTURE) from error
    if len(text) > most:
        raise ImageError(BOMB)
    return text


def _replace(item: Any, changed: dict[int, Any]) -> Any:
    """Copy what leads to a changed value; all else stays the same object.  Depth is bounded by the route."""
    if id(item) in changed:
        return changed[id(item)]
    if type(item) is dict:
        return {name: _replace(value, changed) for name, value in item.items()}
    return [_replace(value, changed) for value in item] if type(item) is list else item


def _finding(rule: str, where: str) -> Finding:
    if rule in REJECTED:
        return Finding(rule, where)
    return Finding(rule, where, reason=Reason.INVALID_REQUEST, public=True)
