"""The struct of what may come in on a route."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from vallum.checks.images import ImagesConfig
from vallum.checks.remote_urls import RemoteUrlsConfig
from vallum.checks.sanitise import SanitiseConfig
from vallum.config.model.base import Base, Positive


class RequestConfig(Base, frozen=True):
    """What may come in."""

    max_bytes: Annotated[Positive, Meta(description="size of a body")] = 1_048_576
    max_depth: Annotated[Positive, Meta(le=128, description="nesting of a JSON body")] = 32
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
