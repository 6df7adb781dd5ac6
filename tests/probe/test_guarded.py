"""Before a server with every weakness at once Vallum stands with its example policies: everything holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.probe.test_mutations import put
from tests.probe.weak import BODY, PATH, WEAKNESSES, run_server

from vallum.probe.example import example_of
from vallum.probe.promises import Limit, Promises, read_promises

if TYPE_CHECKING:
    from tests.probe.conftest import Guard, Prober
    from tests.wire.conftest import Door

EXAMPLES = Path(__file__).parents[2] / "examples"
CHAT = "/v1/chat/completions"
# Loose framing has a server of its own.  That a model server computes what it reads, or opens files, shows in its
# answer alone, and no gateway can tell such an answer from another: these two are found behind Vallum as well.
ALL = set(WEAKNESSES) - {"loose framing", "evaluates", "opens files"}


def promised(door: Door, path: str) -> Promises:
    return read_promises(door.gateway.config, door.gateway.engine.policy, "POST", path)


async def test_predict(probed: Prober, guard: Guard) -> None:
    text = (EXAMPLES / "predict.yaml").read_text()
    async with run_server(ALL, guarded=False) as server, guard(text, server.url) as door:
        promises = promised(door, PATH)
        assert promises.limits == (Limit(10, 60.0), Limit(50, 3600.0), Limit(200, 86_400.0))
        with pytest.raises(ValueError, match="no route for POST /elsewhere"):
            promised(door, "/elsewhere")
        keys = tuple(door.issue(f"caller-{number}", "predict:read") for number in range(30))
        seen = await probed(
            f"http://127.0.0.1:{door.port}{PATH}",
            BODY,
            keys=keys,
            refused_keys=(door.issue("stranger"),),
            promises=promises,
        )
    assert not seen.weak, seen.why()
    assert seen.untested == {"flood.amplification"}, seen.why()


async def test_predict_before_a_server_that_parses_loosely(probed: Prober, guard: Guard) -> None:
    text = (EXAMPLES / "predict.yaml").read_text()
    async with run_server(["loose framing"], guarded=False) as server, guard(text, server.url) as door:
        keys = tuple(door.issue(f"caller-{number}", "predict:read") for number in range(8))
        seen = await probed(
            f"http://127.0.0.1:{door.port}{PATH}", BODY, keys=keys, only=["malformed.framing", "malformed.bodies"]
        )
    assert seen.held == {"malformed.framing", "malformed.bodies"}, seen.why()


async def test_chat(probed: Prober, guard: Guard) -> None:
    text = (EXAMPLES / "chat.yaml").read_text()
    async with guard(text) as door:
        keys = tuple(door.issue(f"caller-{number}", "chat:write") for number in range(8))
        seen = await probed(
            f"http://127.0.0.1:{door.port}{CHAT}",
            example_of("openai.chat", "m"),
            keys=keys,
            refused_keys=(door.issue("stranger"),),
            promises=promised(door, CHAT),
        )
    assert not seen.weak, seen.why()
    assert not seen.untested, seen.why()


async def test_the_limits_edge_and_its_wait(probed: Prober, guard: Guard) -> None:
    """With a window that a test can wait for."""
    text = (EXAMPLES / "predict.yaml").read_text().replace("10 per minute", "10 per 3 seconds")
    async with run_server(guarded=False) as server, guard(text, server.url) as door:
        keys = tuple(door.issue(f"caller-{number}", "predict:read") for number in range(4))
        only = ["flood.number", "flood.race", "flood.retry", "flood.edge"]
        seen = await probed(f"http://127.0.0.1:{door.port}{PATH}", BODY, keys=keys, only=only)
    assert seen.held == set(only), seen.why()


@pytest.mark.parametrize(
    ("check", "denied", "whole", "broken"),
    [
        ("{type: sqli}", "echo", "held", "weak"),
        ("{type: sqli, prompts: search}", "echo", "held", "weak"),
        ("{type: sqli}", "user, metadata", "untested", "untested"),
    ],
)
async def test_sql_is_put_where_the_policy_looks(
    probed: Prober, guard: Guard, check: str, denied: str, whole: str, broken: str
) -> None:
    text = (EXAMPLES / "chat.yaml").read_text().replace("echo]", f"{denied}]")
    async with guard(text.replace("checks:", f"checks:\n      - {check}")) as door:
        promises = promised(door, CHAT)
        assert promises.sql_in_prompts is ("search" in check)
        for verdict in (whole, broken):
            keys = tuple(door.issue(f"{verdict}-{number}", "chat:write") for number in range(8))
            url = f"http://127.0.0.1:{door.port}{CHAT}"
            body = example_of("openai.chat", "m")
            seen = await probed(url, body, keys=keys, only=["injection.sql"], promises=promises)
            assert getattr(seen, verdict) == {"injection.sql"}, seen.why()
            put(door, lambda route: [replace(route, intake=replace(route.intake, checks=()))])
