"""Members that several of OpenAI's requests share, and the bounds that go with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.presets.preset import Bound, asks, asks_over, counts_as
from vallum.presets.shape import (
    ANY_OBJECT,
    FLAG,
    Shape,
    by_kind,
    either,
    listed,
    named,
    number,
    one_of,
    or_null,
    record,
    text,
    whole,
)

if TYPE_CHECKING:
    from vallum.presets.preset import Bounds

NAME: Shape = {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,64}$"}  # of a function, a tool, a schema
ID = text(256, 1)
SEED: Shape = whole(-(2**63), 2**63 - 1)
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
TIERS = ("auto", "default", "flex", "scale", "priority", "fast")

CHARACTERS = Bound(1_000_000, "characters of one text")
BAN = -100  # the bias of a token that is never chosen

OUTPUT_TOKENS = Bound(131_072, "tokens that an answer may be asked to have at most")
ANSWERS = Bound(8, "answers that may be asked for at once")
STOPS = Bound(4, "texts that end an answer")
BIASES = Bound(32, "tokens that an answer may not have: each with a `logit_bias` of -100")
NUDGES = Bound(4, "tokens whose `logit_bias` is another number, in a request that bans none")
NUDGE = Bound(2, "how large such a number may be")
BIAS_BOUNDS = {"logit_bias": BIASES, "nudges": NUDGES, "nudge": NUDGE}
# What tells more than one answer does: a nudge compares two tokens, an echo scores every token of the prompt.
TELLING = 10
NUDGED = counts_as(TELLING, *asks_over(-100, "logit_bias.*"))
ECHOED = counts_as(TELLING, *asks("echo", "prompt_logprobs"))
PAIRS = Bound(16, "pairs of metadata")
SCHEMA_DEPTH = Bound(16, "levels of a JSON Schema or of other free JSON in a request")
DATA = Bound(14_000_000, "characters of one image, sound or file, in base64 or as an address")

MODERATED: Shape = record("mode", mode=one_of("score", "block"))
BREAKPOINT = record("mode", mode=one_of("explicit"))  # where a prefix ends that the upstream's cache may keep
DETAILS = ("auto", "low", "high", "original")


def optional(**members: Shape) -> dict[str, Any]:
    """Let each member be null: to leave it out and to say null is the same."""
    return {name: or_null(shape) for name, shape in members.items()}


def common(bounds: Bounds) -> dict[str, Any]:
    """Return what nearly all generating endpoints take."""
    return optional(
        moderation=record(
            "model", model=ID, policy=or_null(record(input=or_null(MODERATED), output=or_null(MODERATED)))
        ),
        metadata=named(text(512), bounds["metadata"]),
        prompt_cache_key=text(256),
        prompt_cache_options=record(mode=one_of("implicit", "explicit"), ttl=text(16)),
        prompt_cache_retention=one_of("in-memory", "in_memory", "24h"),
        safety_identifier=text(256),
        service_tier=one_of(*TIERS),
        stream=FLAG,
        temperature=number(0, 2),
        top_p=number(0, 1),
        user=text(256),
    )


def sampling(bounds: Bounds) -> dict[str, Any]:
    """Return what chat and completions take besides: how tokens are chosen, and when to end."""
    return optional(
        frequency_penalty=number(-2, 2),
        logit_bias=_bias(bounds),
        max_tokens=whole(1, bounds["max_tokens"]),
        n=whole(1, bounds["n"]),
        presence_penalty=number(-2, 2),
        seed=SEED,
        stop=either(text(256), listed(text(256), bounds["stop"])),
        stream_options=record(include_usage=FLAG, include_obfuscation=FLAG),
    )


def _bias(bounds: Bounds) -> Shape:
    """Take bans, or a few small numbers: what is over the best by more than two of them cannot be measured."""
    nudge = bounds["nudge"]
    return {
        "type": "object",
        "propertyNames": {"pattern": "^[0-9]{1,7}$"},
        "if": {"additionalProperties": {"maximum": BAN}},
        "then": {"maxProperties": bounds["logit_bias"], "additionalProperties": number(BAN, BAN)},
        "else": {"maxProperties": bounds["nudges"], "additionalProperties": number(-nudge, nudge)},
    }


def function(bounds: Bounds) -> dict[str, Any]:
    """Return what defines a function: its name, what it does, and the schema of its arguments."""
    return {
        "name": NAME,
        "description": or_null(text(bounds["chars"])),
        "parameters": or_null(ANY_OBJECT),
        "strict": or_null(FLAG),
    }


def grammar(*, flat: bool) -> Shape:
    """Return the format of a custom tool's input; in responses the grammar lies flat, in chat one level down."""
    rule = {"definition": text(65_536), "syntax": one_of("lark", "regex")}
    inner = (
        record("definition syntax", **rule) if flat else record("grammar", grammar=record("definition syntax", **rule))
    )
    return by_kind("type", {"text": record(), "grammar": inner})


LOCATION: Shape = {
    "city": or_null(text(128)),
    "country": or_null(text(8)),
    "region": or_null(text(128)),
    "timezone": or_null(text(64)),
}
