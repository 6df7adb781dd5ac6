"""One table of exchanges, every adapter: what the conversation decides in memory is what a client gets of all others.

Another adapter joins by a class with `ask` (`Way` in memory.py) and a line in conftest.py, and no row changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.parity.memory import ANSWERS
from tests.parity.table import FORMATS, POLICY, ROWS, Row, answers_of

if TYPE_CHECKING:
    from tests.parity.conftest import Both
    from tests.parity.memory import Outcome


@pytest.fixture
def policy_text() -> str:
    return POLICY


def fields_of(row: Row, both: Both) -> list[tuple[str, str]]:
    """Write the header fields of a row, with a key of its own."""
    good = both.issue("subject", "predict")
    keys: dict[str | None, list[tuple[str, str]]] = {
        None: [],
        "good": [("Authorization", f"Bearer {good}")],
        "x-api-key": [("X-API-Key", good)],
        "unknown": [("Authorization", "Bearer vlm_live_" + "0" * 49)],
        "lower": [("authorization", f"bearer {good}")],
        "tail": [("Authorization", f"Bearer {good} x")],
        "malformed": [("Authorization", f"Bearer {good[:-9]}")],
        "twice": [("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {good}")],
    }
    if row.key == "revoked":
        keys["revoked"] = [("Authorization", f"Bearer {both.issue('gone', 'predict')}")]
        both.revoke("gone")
    if row.key == "unscoped":
        keys["unscoped"] = [("Authorization", f"Bearer {both.issue('other', 'else')}")]
    fields = [*keys[row.key], *row.headers]
    if row.body is not None:
        if row.media_type is not None:
            fields.append(("Content-Type", row.media_type))
        fields.append(("Content-Length", str(len(row.body))))
    return fields


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
async def test_all_ways_decide_alike(both: Both, row: Row) -> None:
    fields = fields_of(row, both)
    inner = await ask_all(both, row, fields)
    assert (inner.decision, inner.reason, inner.status) == (row.decision, row.reason, row.status)
    assert b"canary" not in inner.body or row.target.startswith(("/raw", "/schema", "/search"))
    reached = row.decision == "allow" or row.target.rpartition("/")[2] in ANSWERS
    assert (inner.received is not None) == reached


@pytest.mark.parametrize("preset", FORMATS)
async def test_all_ways_know_the_format(both: Both, answers: dict[str, Any], preset: str) -> None:
    for word, body in answers_of(preset).items():
        media_type = "text/event-stream" if word == "events" else "application/json"
        answers[word] = (200, [("content-type", media_type)], body)
    for row in FORMATS[preset]:
        inner = await ask_all(both, row, fields_of(row, both))
        if row.decision == "allow":  # what becomes of the made-up answer is the same everywhere, whatever it is
            assert inner.received is not None, row.name
        else:
            assert (inner.reason, inner.status, inner.received) == (row.reason, row.status, None), row.name


async def ask_all(both: Both, row: Row, fields: list[tuple[str, str]]) -> Outcome:
    """Ask in every way, and return what all of them said."""
    outcomes: list[Outcome] = []
    for way in both.ways.values():
        for _ in range(row.times):
            outcome = await way.ask(row.method, row.target, fields, row.body or b"")
        outcomes.append(outcome)
    inner, *others = outcomes
    assert others == [inner] * len(others), row.name
    return inner


async def test_the_table_names_every_row_once() -> None:
    rows = [*ROWS, *(row for rows in FORMATS.values() for row in rows)]
    assert len({row.name for row in rows}) == len(rows)
    assert len(rows) >= 200
