"""What the sample upstream's chat says, in the OpenAI chat format: whole, as a stream, or refused.

Nothing here reads a clock or opens a socket: the time and the id of an answer are arguments.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from vallum.demo.chat import MODEL, ChatModel, Token, count_tokens, max_tokens_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence


class Refusal(NamedTuple):
    """A status and a body in the OpenAI error format."""

    status: int
    body: dict[str, Any]


def refuse(request: object) -> Refusal | None:
    """Check a request as servers of this format do: None if it can be answered, else status 400 and an error."""
    if not isinstance(request, dict):
        return _refusal("The body must be a JSON object.", None)
    for name in ("model", "messages"):
        if request.get(name) is None:
            return _refusal(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
    for name, holds, expected in _RULES:
        value = request.get(name)
        if value is not None and not holds(value):
            return _refusal(f"Invalid '{name}': expected {expected}.", name, "invalid_value")
    if request.get("top_logprobs") and not request.get("logprobs"):
        return _refusal("'top_logprobs' needs 'logprobs' to be true.", "top_logprobs")
    return None


def completion(
    model: ChatModel, request: Mapping[str, Any], tokens: Sequence[Token], *, answer_id: str, created: int
) -> dict[str, Any]:
    """Shape a whole answer as a `chat.completion`; `created` is in seconds since the epoch."""
    message = {"role": "assistant", "content": "".join(token.text for token in tokens), "refusal": None}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": _logprobs(tokens) if request.get("logprobs") else None,
        "finish_reason": _finish_reason(request, len(tokens)),
    }
    head = _head(model, "chat.completion", answer_id, created)
    return head | {"choices": [choice], "usage": _usage(request, len(tokens))}


def chunks(
    model: ChatModel, request: Mapping[str, Any], tokens: Iterable[Token], *, answer_id: str, created: int
) -> Iterator[dict[str, Any]]:
    """Shape an answer as `chat.completion.chunk` objects, one a token as it comes.

    The role comes first, then the content, then the finish reason, then the usage if `stream_options` ask for it.
    """
    head = _head(model, "chat.completion.chunk", answer_id, created)
    counted = bool((request.get("stream_options") or {}).get("include_usage"))
    if counted:
        head["usage"] = None  # every chunk but the last says so

    def chunk(delta: dict[str, Any], token: Token | None = None, finish_reason: str | None = None) -> dict[str, Any]:
        logprobs = _logprobs([token]) if token and request.get("logprobs") else None
        return head | {"choices": [{"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}]}

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    sent = 0
    for token in tokens:
        yield chunk({"content": token.text}, token)
        sent += 1
    yield chunk({}, finish_reason=_finish_reason(request, sent))
    if counted:
        yield head | {"choices": [], "usage": _usage(request, sent)}


def _head(model: ChatModel, kind: str, answer_id: str, created: int) -> dict[str, Any]:
    return {
        "id": answer_id,
        "object": kind,
        "created": created,
        "model": MODEL,
        "system_fingerprint": model.fingerprint,
        "service_tier": "default",
    }


def _usage(request: Mapping[str, Any], completion_tokens: int) -> dict[str, int]:
    prompt_tokens = count_tokens(request["messages"])
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def _finish_reason(request: Mapping[str, Any], completion_tokens: int) -> str:
    return "length" if completion_tokens == max_tokens_of(request) else "stop"


def _logprobs(tokens: Iterable[Token]) -> dict[str, Any]:
    content = [
        _logprob(token.text, token.logprob) | {"top_logprobs": [_logprob(*other) for other in token.top]}
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def _logprob(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def _refusal(message: str, param: str | None, code: str | None = None) -> Refusal:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return Refusal(400, {"error": error})


def _is_whole(value: object, low: int, high: float = inf) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_message(message: object) -> bool:
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        return False
    content: object = message.get("content")
    if content is None:
        return "tool_calls" in message  # the model's own, which only called tools
    return isinstance(content, str) or (isinstance(content, list) and all(map(_is_text, content)))


def _is_text(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


_ROLES = ("assistant", "developer", "system", "tool", "user")

_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("model", lambda value: isinstance(value, str), "a string"),
    (
        "messages",
        lambda value: isinstance(value, list) and value != [] and all(map(_is_message, value)),
        "an array, not empty, of messages with a role and text",
    ),
    ("max_tokens", lambda value: _is_whole(value, 1), "an integer of at least 1"),
    ("max_completion_tokens", lambda value: _is_whole(value, 1), "an integer of at least 1"),
    ("temperature", lambda value: type(value) in (int, float) and 0 <= value <= 2, "a number from 0 to 2"),
    ("seed", lambda value: type(value) is int, "an integer"),
    ("n", lambda value: _is_whole(value, 1, 1), "1, the only number of choices offered"),
    ("logprobs", lambda value: isinstance(value, bool), "a boolean"),
    ("top_logprobs", lambda value: _is_whole(value, 0, 20), "an integer from 0 to 20"),
    ("stream", lambda value: isinstance(value, bool), "a boolean"),
    ("stream_options", lambda value: isinstance(value, dict), "an object"),
)
