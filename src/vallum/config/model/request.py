"""The struct of what may come in on a route."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from vallum.checks.images import ImagesConfig
from vallum.checks.remote_urls import RemoteUrlsConfig
from vallum.checks.sanitise import SanitiseConfig
from vallum.config.model.base import Base, Positive
from vallum.config.model.extraction import FeaturesConfig


class NumbersConfig(Base, frozen=True):
    """What numbers a body may hold, wherever they stand."""

    max_abs: (
        Annotated[float, Meta(gt=0, description="furthest from zero; what is not finite is refused always")] | None
    ) = None
    max_digits: (
        Annotated[int, Meta(ge=1, le=4300, description="significant digits; 17 hold every double, 9 every float")]
        | None
    ) = None


class RequestConfig(Base, frozen=True):
    """What may come in."""

    max_bytes: Annotated[int, Meta(ge=0, description="size of a body; 0: none may come")] = 1_048_576
    max_depth: Annotated[Positive, Meta(le=128, description="nesting of a JSON body")] = 32
    max_keys: Annotated[Positive | None, Meta(description="members of one object")] = None
    max_items: Annotated[Positive | None, Meta(description="items of one array")] = None
    max_chars: Annotated[Positive | None, Meta(description="characters of one string, of those in the query too")] = (
        None
    )
    numbers: NumbersConfig = NumbersConfig()
    schema: Annotated[str | None, Meta(description="file with a JSON Schema, beside the policy")] = None
    bounds: Annotated[
        dict[str, Annotated[int, Meta(ge=0, le=2**31 - 1)]],
        Meta(description="bounds of the preset, set anew by name, such as `messages: 50`"),
    ] = {}
    allow_fields: Annotated[
        list[str], Meta(description="members that pass though the preset does not know them, or refuses them")
    ] = []
    deny_fields: Annotated[list[str], Meta(description="members that a JSON body may not have at its top")] = []
    query: Annotated[
        list[str] | Literal["any"], Meta(description="query parameters that may appear, or any; none by default")
    ] = []
    parameters: Annotated[
        str | None,
        Meta(description="file with a JSON Schema of `{path: {..}, query: {..}}`, which also names what may appear"),
    ] = None
    headers: Annotated[list[str], Meta(description="header fields that reach the upstream besides the usual")] = []
    encodings: Annotated[
        list[Literal["gzip", "deflate"]],
        Meta(description="content codings that are undone, within max_bytes and 100 to 1; none by default"),
    ] = []
    images: Annotated[ImagesConfig | None, Meta(description="what images may be, wherever the API takes them")] = None
    remote_urls: Annotated[
        RemoteUrlsConfig | None, Meta(description="addresses of files that the model server may be told to fetch")
    ] = None
    sanitize: SanitiseConfig | None = None
    features: Annotated[
        FeaturesConfig | list[FeaturesConfig] | None,
        Meta(description="where the model's input lies; where the preset says by default"),
    ] = None
    max_output_tokens: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=10_000_000,
                description="most tokens of one answer, which a request that names no bound is given too",
            ),
        ]
        | None
    ) = None
