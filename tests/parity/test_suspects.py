"""Whoever conducts an exchange, a suspect meets the same: coarser answers, one budget, work, refusal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests.clock import read_clock

from vallum.client import solve
from vallum.core.extraction import Account, Query, Terms, Verdict
from vallum.extraction.facts import Findings, Named
from vallum.extraction.watch import Watch

if TYPE_CHECKING:
    from tests.parity.conftest import Both
    from tests.parity.memory import Outcome, Way

ROUTE = """
  - name: {name}
    match: {{methods: [GET, HEAD, POST], path: /{name}}}
    upstream: model
    auth: {{any_of: [{auth}]}}
    mode: {mode}
    request: {{features: {{path: input, kind: vector}}}}
    response: {{fields: [prediction, confidence], confidence: {{field: confidence, round: 2}}}}
    extraction: {{model: m{name}, respond: {respond}, answers_a_day: 2, grades: [alert, coarser, {grade}],
                  work: {{bits: 6, after_days: 0.0000001}}}}
"""
POLICY = """
version: 1
upstreams: {model: {url: "http://127.0.0.1:9"}}
authenticators: {keys: {type: api_key}, open: {type: anonymous}}
routes:
""" + "".join(
    ROUTE.format(name=name, auth=auth, mode=mode, respond=respond, grade=grade)
    for name, auth, mode, respond, grade in (
        ("budget", "keys", "enforce", "graduated", "budget"),
        ("coarser", "keys", "enforce", "graduated", "alert"),
        ("proof", "keys", "enforce", "graduated", "proof"),
        ("deny", "keys", "enforce", "deny", "budget"),
        ("observe", "keys", "enforce", "observe", "budget"),
        ("shadow", "keys", "shadow", "deny", "budget"),
        ("open", "open", "enforce", "graduated", "budget"),
    )
)
ONE, BATCH = b'{"input": [1, 2]}', b'{"input": [[1, 2], [3, 4], [5, 6]]}'
FULL, LABEL, BAND = b'"confidence":0.93', b'{"prediction":"spam"}', b'"confidence":0.9'


class Row(NamedTuple):
    """What a caller does, and what comes of its last request."""

    name: str
    route: str
    status: int
    shows: bytes = b""
    who: str = "thief"
    times: int = 1
    body: bytes = ONE
    works: bool = False
    method: str = "POST"


ROWS = [
    Row("nobody suspects", "budget", 200, FULL, "honest", 3),
    Row("a named one is told the class", "budget", 200, LABEL, times=2),
    Row("and then no more", "budget", 429, times=3),
    Row("its mate shares with it", "budget", 429, who="thief mate thief"),
    Row("a second key of its changes nothing", "budget", 429, who="thief thief2 thief"),
    Row("a batch is three", "budget", 429, body=BATCH),
    Row("a head counts", "budget", 429, times=3, method="HEAD", body=b""),
    Row("an established one is told a band", "budget", 200, BAND, "old", 5),
    Row("without a budget there is no end", "coarser", 200, LABEL, times=5),
    Row("work is asked for", "proof", 428),
    Row("work is worth an answer", "proof", 200, LABEL, works=True),
    Row("a head takes work too", "proof", 428, method="HEAD", body=b""),
    Row("refused at once", "deny", 429),
    Row("but not the established", "deny", 200, BAND, "old"),
    Row("observed", "observe", 200, FULL, times=4),
    Row("in shadow", "shadow", 200, b'"logits": [1, 2]', times=4),
    Row("whoever comes from an address", "open", 429, who="anybody", times=3),
]


@pytest.fixture
def policy_text() -> str:
    return POLICY


class Told(Watch):
    """A watch that is told whom a sweep has named."""

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms=terms)
        self.noted: list[Query] = []
        now = read_clock()
        named = [
            *(Named(name, "a", 9.0, established=False) for name in ("subject\x1fthief", "subject\x1fmate")),
            Named("subject\x1fip:127.0.0.1", "b", 9.0, established=False),
            Named("subject\x1fold", "c", 9.0, established=True),
        ]
        for seconds in (3, 2, 1):
            self.ladder.update(Findings(now - seconds, named=tuple(named), calibrated=True), now - seconds)

    def judge(self, account: Account, now: float) -> Verdict:
        return self.ladder.verdict(account, now)

    def note(self, query: Query) -> None:
        self.noted.append(query)


async def send(way: Way, row: Row, keys: dict[str, str]) -> Outcome:
    for who in row.who.split() * row.times:
        fields = [("Content-Length", str(len(row.body)))] if row.body else []
        fields += [("Content-Type", "application/json")] if row.body else []
        fields += [("Authorization", f"Bearer {keys[who]}")] if who in keys else []
        outcome = await way.ask(row.method, f"/{row.route}", fields, row.body)
        if row.works and outcome.status == 428:
            asked = next(
                field for field in way.seen.decode().replace("('", "\n").splitlines() if "vallum-work" in field
            )
            challenge = asked[asked.index("challenge=") :].rstrip("'),")
            fields.append(("Vallum-Work", solve(challenge, row.body)))
            outcome = await way.ask(row.method, f"/{row.route}", fields, row.body)
    fields_left = tuple(field for field in outcome.fields if not field.startswith(("vallum-work", "retry-after")))
    return outcome._replace(fields=fields_left)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_both_ways_hold_a_suspect_alike(both: Both, row: Row) -> None:
    watchers = both.outer.gateway.vigil.watchers
    keys = {name: both.issue(name) for name in ("thief", "mate", "old", "honest")}
    keys["thief2"] = both.issue("thief")
    outcomes, noted = [], []
    for way in both.ways.values():
        for model in list(watchers._watches):
            route = next(one for one in both.inner.engine.policy.routes if f"m{one.name}" == model)
            assert route.extraction is not None
            watchers._watches[model] = Told(route.extraction.terms)
        outcomes.append(await send(way, row, keys))
        watch = watchers._watches[f"m{row.route}"]
        assert isinstance(watch, Told)
        noted.append([(query.account.name, query.inputs, query.answer, query.coarsened) for query in watch.noted])
    assert outcomes[0].status == row.status
    if row.method != "HEAD":
        assert row.shows in outcomes[0].body
    assert outcomes[0] == outcomes[1]
    assert noted[0] == noted[1]
    if row.status >= 400 and row.method != "HEAD":
        assert set(json.loads(outcomes[0].body)) == {"type", "title", "status", "code", "request_id"}
