"""Reasons: the table of the code is the table of the contract."""

from __future__ import annotations

import re

from vallum.core.decision import REASONS, Allow, Challenge, Deny, Reason

# The contract's table of refusals, word for word.
CONTRACT = """
| 400 | `malformed_request` | not parseable: JSON, encoding, duplicate keys, framing |
| 400 | `invalid_request` | the schema or a field rule is violated |
| 401 | `unauthenticated` | no credential, an unknown, wrong, expired or revoked one |
| 403 | `insufficient_scope` | known, but not allowed here |
| 403 | `request_rejected` | any content check |
| 404 | `not_found` | no route |
| 408 / 413 / 414 / 415 / 431 | `request_timeout` `body_too_large` `uri_too_long` `unsupported_media_type` `headers_too_large` | |
| 429 | `quota_exceeded` | with `Retry-After` |
| 500 | `internal_error` | |
| 502 / 503 / 504 | `upstream_error` `unavailable` `upstream_timeout` | |
"""  # noqa: E501  as the contract has it

ADDED = {"work_required": 428}  # since: codes may be added


def refusals(text: str) -> dict[str, int]:
    table: dict[str, int] = {}
    for statuses, codes in re.findall(r"^\| ([0-9 /]+) \| ((?:`[a-z_]+` ?)+)\|", text, re.MULTILINE):
        table |= zip(re.findall("[a-z_]+", codes), map(int, re.findall("[0-9]+", statuses)), strict=True)
    return table


def test_reasons_and_statuses_are_those_of_the_contract() -> None:
    assert {reason.value: reason.status for reason in Reason} == refusals(CONTRACT) | ADDED


def test_every_reason_has_a_row_of_its_own() -> None:
    assert set(REASONS) == set(Reason)
    assert len({reason.phrase for reason in Reason}) == len(Reason)
    assert all(when for _, _, when in REASONS.values())


def test_a_challenge_is_always_unauthenticated() -> None:
    assert Challenge("Bearer", "x").reason is Reason.UNAUTHENTICATED


def test_decisions_are_values() -> None:
    assert Allow() == Allow(None)
    assert Deny(Reason.NOT_FOUND, "route") == Deny(Reason.NOT_FOUND, "route")
    assert Deny(Reason.NOT_FOUND, "route") != Deny(Reason.NOT_FOUND, "other")
