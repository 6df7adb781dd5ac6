"""The structs of web ACLs: rules on requests, in the vocabulary of AWS WAF.

Names and meanings are AWS WAF's (its API of 2019-07-29), in snake case: an ACL can be read, exported and compared.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from vallum.config.model.base import Base
from vallum.core.policy import Mode

Transformation = Literal[
    "base64_decode",
    "base64_decode_ext",
    "cmd_line",
    "compress_white_space",
    "css_decode",
    "escape_seq_decode",
    "hex_decode",
    "html_entity_decode",
    "js_decode",
    "lowercase",
    "md5",
    "none",
    "normalize_path",
    "normalize_path_win",
    "remove_comments_char",
    "remove_nulls",
    "remove_whitespace",
    "replace_comments",
    "replace_nulls",
    "sha256",
    "sql_hex_decode",
    "trim",
    "trim_left",
    "trim_right",
    "uppercase",
    "url_decode",
    "url_decode_uni",
    "utf8_to_unicode",
]
Part = Literal["method", "uri_path", "query_string", "all_query_arguments", "headers", "cookies", "body"]
Oversize = Literal["match", "no_match", "continue"]


class JsonBody(Base, frozen=True, kw_only=True):
    """Strings of a JSON body, by where they stand."""

    include: Annotated[list[str], Meta(description="JSON pointers, `*` for any item or member; absent: all")] = []
    exclude: Annotated[list[str], Meta(description="JSON pointers that are left out; AWS has no word for this")] = []
    scope: Annotated[Literal["all", "key", "value"], Meta(description="what of each member is looked at")] = "all"
    invalid: Annotated[
        Literal["match", "no_match", "evaluate_as_string"], Meta(description="what a body that is no JSON does")
    ] = "match"


class FieldToMatch(Base, frozen=True, kw_only=True):
    """One part of a request that needs a name: `{header: user-agent}`, `{json_body: {include: [/user]}}`."""

    header: Annotated[str | None, Meta(description="one header field")] = None
    query_argument: Annotated[str | None, Meta(description="one query parameter")] = None
    json_body: JsonBody | None = None


Field = Annotated[Part | FieldToMatch, Meta(description="what is looked at")]
Transformations = Annotated[
    list[Transformation], Meta(description="done to the text first, in this order; url_decode before a match, say")
]


class MatchBase(Base, frozen=True, kw_only=True):
    """What statements that look at text share."""

    field: Field
    transforms: Transformations = []
    oversize: Annotated[Oversize, Meta(description="what a body over `inspect_bytes` does")] = "match"


class SqliMatch(MatchBase, frozen=True, kw_only=True):
    """Text that breaks out of an SQL statement."""

    sensitivity: Annotated[Literal["low", "high"], Meta(description="high finds more, and takes more amiss")] = "low"


class XssMatch(MatchBase, frozen=True, kw_only=True):
    """Text that a browser would run."""


class ByteMatch(MatchBase, frozen=True, kw_only=True):
    """Text that begins or ends with, holds or is a string."""

    search: Annotated[str, Meta(min_length=1, max_length=200, description="the string")]
    position: Annotated[
        Literal["exactly", "starts_with", "ends_with", "contains", "contains_word"], Meta(description="where it stands")
    ] = "contains"


class RegexMatch(MatchBase, frozen=True, kw_only=True):
    """Text that one of some regular expressions matches, in linear time."""

    patterns: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=512)]],
        Meta(min_length=1, max_length=10, description="expressions without backreferences or lookaround"),
    ]


class SizeConstraint(MatchBase, frozen=True, kw_only=True):
    """A part that is longer or shorter than so many bytes."""

    comparison: Annotated[Literal["eq", "ne", "le", "lt", "ge", "gt"], Meta(description="how it compares")]
    size: Annotated[int, Meta(ge=0, le=21_474_836_480, description="bytes")]


class IpSet(Base, frozen=True, kw_only=True):
    """The caller's address."""

    addresses: Annotated[list[str], Meta(min_length=1, max_length=10_000, description="networks, as CIDR")]


class LabelMatch(Base, frozen=True, kw_only=True):
    """A label that an earlier rule has put on the request."""

    key: Annotated[str, Meta(pattern=r"^[0-9A-Za-z_:-]{1,1024}$", description="a label, or a namespace ending in :")]


class AggregateKey(Base, frozen=True, kw_only=True):
    """One part of the key that requests are counted by."""

    header: Annotated[str | None, Meta(description="one header field")] = None
    query_argument: Annotated[str | None, Meta(description="one query parameter")] = None


class RateBased(Base, frozen=True, kw_only=True):
    """More requests than a limit, by a key, within a window."""

    limit: Annotated[int, Meta(ge=10, le=2_000_000_000, description="requests that pass; the next match")]
    window_s: Annotated[Literal[60, 120, 300, 600], Meta(description="the window")] = 300
    per: Annotated[
        Literal["ip", "constant"] | list[Literal["ip", "method", "uri_path", "query_string"] | AggregateKey],
        Meta(description="what has a counter of its own: an address, all together, or up to five parts of a request"),
    ] = "ip"
    scope_down: Annotated[Statement | None, Meta(description="only requests that match this are counted")] = None


class Statement(Base, frozen=True, rename={"and_": "and", "or_": "or", "not_": "not"}):
    """One condition: exactly one of these keys."""

    sqli_match: SqliMatch | None = None
    xss_match: XssMatch | None = None
    byte_match: ByteMatch | None = None
    regex_match: RegexMatch | None = None
    size_constraint: SizeConstraint | None = None
    ip_set: IpSet | None = None
    label_match: LabelMatch | None = None
    rate_based: Annotated[RateBased | None, Meta(description="at the top of a rule only")] = None
    and_: Annotated[list[Statement], Meta(min_length=2, description="all of them")] | None = None
    or_: Annotated[list[Statement], Meta(min_length=2, description="any of them")] | None = None
    not_: Annotated[Statement | None, Meta(description="not this")] = None


class RuleConfig(Base, frozen=True, kw_only=True):
    """What is done with requests that match a statement."""

    name: Annotated[str, Meta(pattern="^[0-9A-Za-z_-]{1,128}$", description="what records and metrics call it")]
    priority: Annotated[int, Meta(ge=0, le=2_147_483_647, description="lowest first; no two alike")]
    action: Annotated[Literal["block", "count"], Meta(description="count: record, label and go on")] = "block"
    labels: Annotated[
        list[Annotated[str, Meta(pattern=r"^[0-9A-Za-z_:-]{1,1024}$")]],
        Meta(max_length=100, description="put on requests that match, for later rules and the record"),
    ] = []
    statement: Statement


class WebAclConfig(Base, frozen=True, kw_only=True):
    """Rules that hold before all else on the routes that name it."""

    rules: Annotated[list[RuleConfig], Meta(min_length=1, description="in the order of their priorities")]
    inspect_bytes: Annotated[
        int, Meta(ge=8192, le=16_777_216, description="how much of a body is looked at; the rest is oversize")
    ] = 1_048_576
    mode: Annotated[Mode, Meta(description="shadow: record what would be refused")] = Mode.ENFORCE
