"""Refusals on the wire: the code and the request id, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vallum.core.decision import Challenge, Deny, Reason
from vallum.core.problem import ErrorFormat, media_type, problem, problem_headers


@pytest.mark.parametrize("reason", list(Reason))
def test_every_refusal_is_one_object_of_five_members(reason: Reason) -> None:
    refusal = Deny(reason, "a control", "a detail", retry_after_s=1, headers=(("x", "y"),))
    body = json.loads(problem(refusal, "req-1"))
    assert body == {
        "type": {
            Reason.QUOTA_EXCEEDED: "https://iana.org/assignments/http-problem-types#quota-exceeded",
            Reason.WORK_REQUIRED: "urn:vallum:problem:work-required",
        }.get(reason, "about:blank"),
        "title": reason.phrase,
        "status": reason.status,
        "code": reason.value,
        "request_id": "req-1",
    }


def test_a_challenge_is_a_401() -> None:
    body = json.loads(problem(Challenge("Bearer", "authenticate:keys", "key_1 is revoked"), "req-1"))
    assert (body["status"], body["code"]) == (401, "unauthenticated")
    assert set(body) == {"type", "title", "status", "code", "request_id"}


def test_places_and_rules_of_violations_may_be_named() -> None:
    refusal = Deny(Reason.INVALID_REQUEST, "schema", "x", violations=({"pointer": "/a", "rule": "type"},))
    assert json.loads(problem(refusal, "req-1"))["errors"] == [{"pointer": "/a", "rule": "type"}]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (Reason.UNAUTHENTICATED, "authentication_error"),
        (Reason.INSUFFICIENT_SCOPE, "permission_error"),
        (Reason.REQUEST_REJECTED, "permission_error"),
        (Reason.NOT_FOUND, "not_found_error"),
        (Reason.QUOTA_EXCEEDED, "rate_limit_error"),
        (Reason.INVALID_REQUEST, "invalid_request_error"),
        (Reason.MALFORMED_REQUEST, "invalid_request_error"),
        (Reason.BODY_TOO_LARGE, "invalid_request_error"),
        (Reason.INTERNAL_ERROR, "server_error"),
        (Reason.UPSTREAM_ERROR, "server_error"),
        (Reason.UNAVAILABLE, "server_error"),
        (Reason.UPSTREAM_TIMEOUT, "server_error"),
    ],
)
def test_the_member_that_openais_clients_read(reason: Reason, kind: str) -> None:
    body = json.loads(problem(Deny(reason, "x"), "req-1", ErrorFormat.OPENAI))
    assert body["error"] == {"message": reason.phrase, "type": kind, "param": None, "code": reason.value}
    assert body["code"] == reason.value


@pytest.mark.parametrize(
    "refusal",
    [
        Deny(Reason.INVALID_REQUEST, "schema", violations=({"pointer": "/n", "rule": "denied_field"},)),
        Deny(
            Reason.INVALID_REQUEST,
            "schema",
            violations=({"pointer": "/n", "rule": "denied_field"}, {"pointer": "/m", "rule": "type"}),
        ),
    ],
)
def test_openais_param_is_the_first_place(refusal: Deny) -> None:
    assert json.loads(problem(refusal, "req-1", ErrorFormat.OPENAI))["error"]["param"] == "/n"


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (Reason.UNAUTHENTICATED, "authentication_error"),
        (Reason.INSUFFICIENT_SCOPE, "permission_error"),
        (Reason.REQUEST_REJECTED, "permission_error"),
        (Reason.NOT_FOUND, "not_found_error"),
        (Reason.BODY_TOO_LARGE, "request_too_large"),
        (Reason.QUOTA_EXCEEDED, "rate_limit_error"),
        (Reason.INVALID_REQUEST, "invalid_request_error"),
        (Reason.INTERNAL_ERROR, "api_error"),
        (Reason.UPSTREAM_ERROR, "api_error"),
        (Reason.UNAVAILABLE, "overloaded_error"),
        (Reason.UPSTREAM_TIMEOUT, "timeout_error"),
    ],
)
def test_the_member_that_anthropics_clients_read(reason: Reason, kind: str) -> None:
    body = json.loads(problem(Deny(reason, "x"), "req-1", ErrorFormat.ANTHROPIC))
    assert body["error"] == {"type": kind, "message": reason.phrase}
    assert body["code"] == reason.value


@pytest.mark.parametrize(
    ("place", "sentence"), [("/messages/0/role", "/messages/0/role (enum)"), ("", "the body (enum)")]
)
def test_a_sentence_says_the_place_and_the_rule(place: str, sentence: str) -> None:
    refusal = Deny(Reason.INVALID_REQUEST, "schema", violations=({"pointer": place, "rule": "enum"},))
    whole = f"{Reason.INVALID_REQUEST.phrase}: {sentence}"
    assert json.loads(problem(refusal, "req-1", ErrorFormat.ANTHROPIC))["error"]["message"] == whole
    assert json.loads(problem(refusal, "req-1", ErrorFormat.PLAIN))["error"] == whole


@pytest.mark.parametrize(
    ("refusal", "fields"),
    [
        (Deny(Reason.NOT_FOUND, "x"), []),
        (Challenge("Bearer", "x"), [("www-authenticate", "Bearer")]),
        (Deny(Reason.UNAVAILABLE, "x", retry_after_s=0), [("retry-after", "0")]),
        (Deny(Reason.QUOTA_EXCEEDED, "x", retry_after_s=7), [("retry-after", "7")]),
        (
            Deny(Reason.QUOTA_EXCEEDED, "x", retry_after_s=86_400, should_retry=False),
            [("retry-after", "86400"), ("x-should-retry", "false")],
        ),
        (Deny(Reason.INSUFFICIENT_SCOPE, "x", headers=(("www-authenticate", "B"),)), [("www-authenticate", "B")]),
    ],
)
def test_header_fields_of_a_refusal(refusal: Any, fields: list[tuple[str, str]]) -> None:
    assert problem_headers(refusal) == [("cache-control", "no-store"), *fields]


@pytest.mark.parametrize("error_format", [None, ErrorFormat.OPENAI, ErrorFormat.ANTHROPIC, ErrorFormat.PLAIN])
@pytest.mark.parametrize(
    "refusal",
    [
        Deny(Reason.REQUEST_REJECTED, "check:secret", "secret", violations=()),
        Deny(Reason.UPSTREAM_ERROR, "secret", "http://secret:9000"),
        Challenge("Bearer", "authenticate:secret", "secret"),
    ],
)
def test_neither_control_nor_detail_is_ever_in_it(refusal: Any, error_format: ErrorFormat | None) -> None:
    assert b"secret" not in problem(refusal, "req-1", error_format)
    assert not any("secret" in value for _, value in problem_headers(refusal))


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (Challenge("Bearer", "authenticate"), "invalid_client"),
        (Challenge('DPoP error="use_dpop_nonce"', "confirm"), "use_dpop_nonce"),
        (
            Deny(Reason.INVALID_REQUEST, "tokens", violations=({"pointer": "", "rule": "invalid_scope"},)),
            "invalid_scope",
        ),
        (Deny(Reason.MALFORMED_REQUEST, "parse"), "invalid_request"),
        (Deny(Reason.UNAVAILABLE, "registry"), "temporarily_unavailable"),
    ],
)
def test_oauths_clients_read_their_own_member_in_plain_json(refusal: Challenge | Deny, error: str) -> None:
    assert json.loads(problem(refusal, "req-1", ErrorFormat.OAUTH))["error"] == error
    assert media_type(ErrorFormat.OAUTH) == "application/json"
    assert media_type(None) == "application/problem+json"
