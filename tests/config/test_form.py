"""A preset's form under a route's wishes: bounds, members let through, a schema of one's own, and what comes first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.core.content import Content

if TYPE_CHECKING:
    from pathlib import Path

    from vallum.core.policy import Intake

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def intake_of(folder: Path, preset: str = "openai.chat", **request: Any) -> Intake:
    policy = {
        "version": 1,
        "upstreams": {"model": {"url": "http://127.0.0.1:9"}},
        "authenticators": {"open": {"type": "anonymous"}},
        "routes": [
            {
                "name": "it",
                "match": {"methods": ["POST"], "path": "/it"},
                "upstream": "model",
                "auth": {"any_of": ["open"]},
                "preset": preset,
                "request": request,
            }
        ],
    }
    return load_policy(parse_source(folder / "policy.yaml", json.dumps(policy).encode(), {}))[1].routes[0].intake


def violation(intake: Intake, **members: Any) -> tuple[str, str] | None:
    assert intake.schema is not None
    finding = intake.schema(Content(CHAT | members))
    return None if finding is None else (finding.where, finding.rule)


def test_a_preset_is_strict_by_default(tmp_path: Path) -> None:
    intake = intake_of(tmp_path)
    assert intake.schemas == ("openai.chat 2",)
    assert violation(intake) is None
    assert violation(intake, top_k=1) == ("/top_k", "additionalProperties")
    assert violation(intake, store=True) == ("/store", "enum")
    assert intake_of(tmp_path, "json").schema is None


def test_a_bound_is_set_anew_up_and_down(tmp_path: Path) -> None:
    assert violation(intake_of(tmp_path), n=9) == ("/n", "maximum")
    assert violation(intake_of(tmp_path, bounds={"n": 9}), n=9) is None
    assert violation(intake_of(tmp_path, bounds={"messages": 1})) is None
    assert violation(intake_of(tmp_path, bounds={"messages": 0})) == ("/messages", "maxItems")
    assert violation(intake_of(tmp_path, bounds={"tools": 0}), tools=[]) is None


@pytest.mark.parametrize("value", [5, "x", {"deep": [1]}, None])
def test_a_member_that_is_allowed_is_taken_as_it_comes(tmp_path: Path, value: Any) -> None:
    intake = intake_of(tmp_path, allow_fields=["top_k", "store"])
    assert violation(intake, top_k=value, store=value) is None
    assert violation(intake, top_p=value) == (
        None if value is None else ("/top_p", "type" if value != 5 else "maximum")
    )
    assert violation(intake, min_p=0) == ("/min_p", "additionalProperties")


def test_a_refused_member_is_allowed_wherever_it_stands(tmp_path: Path) -> None:
    said = {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}
    assert violation(intake_of(tmp_path), **said) == ("/messages/0/audio/id", "refused_field")
    intake = intake_of(tmp_path, allow_fields=["audio.id"])
    assert violation(intake, **said) is None
    calls = [{"id": 5, "type": "function", "function": {"name": "f", "arguments": ""}}]
    wrong = {"messages": [{"role": "assistant", "tool_calls": calls}]}
    assert violation(intake, **wrong) == ("/messages/0/tool_calls/0/id", "type")  # another member of that name


def test_a_schema_of_ones_own_is_held_besides(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text('{"properties": {"model": {"const": "m"}, "top_k": {"maximum": 5}}}')
    intake = intake_of(tmp_path, schema="own.json", allow_fields=["top_k"])
    assert intake.schemas == ("openai.chat 2", "own.json")
    assert violation(intake, top_k=5) is None
    assert violation(intake, top_k=6) == ("/top_k", "maximum")
    assert violation(intake, model="other") == ("/model", "const")
    assert violation(intake, model=5) == ("/model", "type")  # the preset's word comes first
