"""Every weakness of a server that has one is found, and nothing else is found there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.probe.weak import BODY, KEYS, PATH, WEAKNESSES, run_server

if TYPE_CHECKING:
    from tests.probe.conftest import Prober


@pytest.mark.parametrize("weakness", WEAKNESSES)
async def test_a_server_with_one_weakness(probed: Prober, weakness: str) -> None:
    found = WEAKNESSES[weakness]
    async with run_server([weakness]) as server:
        seen = await probed(f"{server.url}{PATH}", BODY, keys=KEYS, more=found)
    assert seen.weak == found, seen.why()


async def test_a_server_without_a_weakness(probed: Prober) -> None:
    async with run_server() as server:
        seen = await probed(
            f"{server.url}{PATH}",
            BODY,
            keys=KEYS,
            refused_keys=("revoked",),
            more=["flood.edge", "flood.retry", "leakage.size"],
        )
    assert not seen.weak, seen.why()
    assert seen.untested == {"flood.amplification"}, seen.why()
