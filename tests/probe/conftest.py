"""A probe's run against a server of the test, in this process."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from tests.wire.conftest import run_gateway, run_model

from vallum.probe.budget import Budget
from vallum.probe.catalogue import read_catalogue
from vallum.probe.finding import Finding, Verdict
from vallum.probe.run import run
from vallum.probe.session import Session
from vallum.probe.target import open_target
from vallum.probe.wire import Bounds

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from contextlib import AbstractAsyncContextManager

    from tests.wire.conftest import Door

    Prober = Callable[..., Awaitable["Probed"]]
    Guard = Callable[..., AbstractAsyncContextManager[Door]]

EXAMPLES = Path(__file__).parents[2] / "examples"


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test of this folder on the loop that `vallum serve` runs on."""
    return {"uvloop": uvloop.new_event_loop}


class Probed:
    """What a run found, by verdict."""

    def __init__(self, findings: list[Finding], session: Session) -> None:
        self.findings = {finding.name: finding for finding in findings}
        self.session = session

    def named(self, verdict: Verdict) -> set[str]:
        return {name for name, finding in self.findings.items() if finding.verdict is verdict}

    @property
    def weak(self) -> set[str]:
        return self.named(Verdict.WEAK)

    @property
    def held(self) -> set[str]:
        return self.named(Verdict.HELD)

    @property
    def untested(self) -> set[str]:
        return self.named(Verdict.UNTESTED)

    def why(self) -> str:
        """Say all that is not held, for a failing test."""
        return "\n".join(
            f"{finding.verdict} {name}: {finding.outcome.sentence} {finding.outcome.evidence}"
            for name, finding in self.findings.items()
            if finding.verdict is not Verdict.HELD
        )


@pytest.fixture
def probed() -> Prober:
    """Run probes: the quick ones and those of `more`, or only those of `only`."""

    async def go(
        url: str,
        document: Any,
        *,
        only: Iterable[str] = (),
        more: Iterable[str] = (),
        quick: bool = True,
        patience_s: float = 2.5,
        promises: Any = None,
        limits: dict[str, Any] | None = None,
        bounds: Bounds | None = None,
        surrogate: int = 0,
        **target: Any,
    ) -> Probed:
        budget = Budget(**{"per_second": 1000.0, "seconds": 40.0, **(limits or {})})
        session = Session(
            open_target(url, document, **target),
            budget,
            promises,
            quick=quick,
            surrogate=surrogate,
            patience_s=patience_s,
            bounds=bounds or Bounds(answer_s=5.0),
        )
        wanted = set(only)
        probes = [
            facts
            for facts in read_catalogue().values()
            if (
                facts.name in wanted
                if wanted
                else (facts.pace == "quick" and not facts.needs) or facts.name in set(more)
            )
        ]
        return Probed(await run(session, probes), session)

    return go


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    """Start a gateway with a policy text before the sample model, or before `upstream`."""

    @asynccontextmanager
    async def go(text: str, upstream: str | None = None, **listen: Any) -> AsyncIterator[Door]:
        folder = tmp_path / "gateway"
        folder.mkdir()
        async with (
            run_model() as model,
            run_gateway(text, folder, model, upstream or model.url, EXAMPLES, **listen) as door,
        ):
            yield door

    return go
