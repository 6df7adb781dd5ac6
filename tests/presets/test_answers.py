"""What leaves of real answers, format by format: the tables beside this file hold what goes in and what comes out.

The answers were written by hand after the servers' public references, with values of our own.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from vallum.config.compile import load_policy
from vallum.config.source import PolicyFileError, parse_source
from vallum.core.decision import Deny
from vallum.core.policy import Outlet
from vallum.core.relay import Whole
from vallum.core.stream import Events, Lines
from vallum.presets import PRESETS

FOLDER = Path(__file__).parent / "answers"


class Case(NamedTuple):
    """One answer of one format, under one policy."""

    preset: str
    facts: dict[str, Any]


CASES = [Case(path.stem, facts) for path in sorted(FOLDER.glob("*.json")) for facts in json.loads(path.read_text())]


def outlet_of(preset: str, response: dict[str, Any]) -> Outlet:
    """Compile a route of `preset`."""
    text = json.dumps(
        {
            "version": 1,
            "upstreams": {"model": {"url": "http://127.0.0.1:9000"}},
            "authenticators": {"keys": {"type": "api_key"}},
            "routes": [
                {
                    "name": "route",
                    "match": {"methods": ["POST"], "path": "/x"},
                    "upstream": "model",
                    "preset": preset,
                    "auth": {"any_of": ["keys"]},
                    "response": response,
                }
            ],
        }
    )
    _, policy = load_policy(parse_source(Path("policy.yaml"), text.encode(), {}))
    return next(route for route in policy.routes if route.name == "route").outlet


def send(outlet: Outlet, facts: dict[str, Any]) -> Any:
    """Send an answer through a relay of its kind and read what left; None for a refusal."""
    removed: set[str] = set()
    if "in" in facts:
        whole = Whole(outlet, removed, enforce=True)
        whole.chunk(json.dumps(facts["in"]).encode())
        out = whole.end()
        return None if isinstance(out, Deny) else json.loads(out)
    if "lines" in facts:
        lines = Lines(outlet, removed, enforce=True)
        sent = lines.chunk(b"".join([json.dumps(line).encode() + b"\n" for line in facts["lines"]]))
        rest = lines.end()
        assert isinstance(sent, bytes)
        assert isinstance(rest, bytes)
        return [json.loads(line) for line in (sent + rest).splitlines()]
    events = Events(outlet, removed, enforce=True)
    sent = events.chunk(b"".join([b"data: " + json.dumps(event).encode() + b"\n\n" for event in facts["events"]]))
    rest = events.end()
    assert isinstance(sent, bytes)
    assert isinstance(rest, bytes)
    return [json.loads(event.removeprefix(b"data: ")) for event in (sent + rest).split(b"\n\n") if event]


@pytest.mark.parametrize("case", CASES, ids=[f"{case.preset}: {case.facts['name']}" for case in CASES])
def test_only_what_the_preset_allows_comes_out(case: Case) -> None:
    facts = case.facts
    response = {"disclose": facts.get("disclose", [])} | facts.get("response", {})
    assert send(outlet_of(case.preset, response), facts) == facts["out"]


def test_every_preset_that_withholds_has_its_table() -> None:
    known = {case.preset for case in CASES}
    same = [replace(PRESETS[name].answer, apart=()) for name in known]
    withholding = {name: preset.answer for name, preset in PRESETS.items() if preset.answer.withheld}
    missing = [name for name, answer in withholding.items() if replace(answer, apart=()) not in same]
    assert missing == []


def test_every_source_is_named() -> None:
    assert all(case.facts["source"] for case in CASES)


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.answer.withheld])
def test_every_group_says_why_and_can_be_granted_unless_it_is_never(name: str) -> None:
    form = PRESETS[name].answer
    for group, withheld in form.withheld.items():
        assert withheld.why.endswith(".")
        assert withheld.paths or withheld.emptied or withheld.asked_by, group
        if not withheld.never:
            outlet_of(name, {"disclose": [group]})
            continue
        with pytest.raises(PolicyFileError, match=f"{group} never leave"):
            outlet_of(name, {"disclose": [group]})


def test_logits_and_nothing_else_never_leave() -> None:
    never = {group for preset in PRESETS.values() for group, held in preset.answer.withheld.items() if held.never}
    assert never == {"logits"}
    granted = {group for preset in PRESETS.values() for group, held in preset.answer.withheld.items() if not held.never}
    assert "logits" not in granted
