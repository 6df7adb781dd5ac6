"""Learning: what was seen is accepted, all of it; what is worse is refused; and nothing sent is kept."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.drafts.traffic_kinds import KINDS, Mutator

from vallum.adapters.proxy.server import Listener
from vallum.checks.schema import Schema
from vallum.cli.learn import learn, read_line
from vallum.cli.watching import watch
from vallum.config.compile import load_policy
from vallum.config.source import read_source
from vallum.core.content import Content
from vallum.demo.upstream import SampleUpstream
from vallum.drafts.propose import propose
from vallum.drafts.seen import MEMBERS_MAX, WORDS_MAX, Seen
from vallum.drafts.traffic import ROUTES_MAX, Sample, Traffic, template_of

COUNT = 1_000
CALLERS = 20


def record(kind: str, seed: int) -> list[dict[str, Any]]:
    r = Random(seed)
    return [
        {
            "method": "POST",
            "path": f"/{kind}",
            "body": KINDS[kind](r),
            "caller": f"c{r.randrange(CALLERS)}",
            "status": 200,
        }
        for _ in range(COUNT)
    ]


def run_learn(folder: Path, lines: list[dict[str, Any]], *more: str) -> Any:
    recording = folder / "requests.jsonl"
    recording.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return CliRunner().invoke(learn, [str(recording), "-o", str(folder / "vallum.yaml"), *more], standalone_mode=False)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_policy_after_a_thousand_requests(tmp_path: Path, kind: str) -> None:
    lines = record(kind, 1)
    done = run_learn(tmp_path, lines)
    assert done.exit_code == 0, (done.output, done.exception)
    _, policy = load_policy(read_source(tmp_path / "vallum.yaml", {}))
    (route,) = policy.routes
    inspect = route.intake.schema
    assert inspect is not None

    def takes(document: Any) -> bool:
        fits = len(json.dumps(document, ensure_ascii=False).encode()) <= route.intake.max_bytes
        return fits and inspect(Content(document)) is None

    honest = [line["body"] for line in lines]
    assert all(map(takes, honest))

    held_out = [line["body"] for line in record(kind, 2)]
    accepted = sum(map(takes, held_out)) / COUNT
    mutator, r = Mutator(honest + held_out), Random(3)
    met: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for document in held_out * 2:
        way, worse = mutator.mutate(document, r)
        met[way] += 1
        refused[way] += not takes(worse)
    ways = ", ".join(f"{way} {100 * refused[way] / met[way]:.1f}" for way in sorted(met))
    share = refused.total() / met.total()
    print(f"\nlearn {kind}: held-out {100 * accepted:.2f}% accepted; mutations {100 * share:.2f}% refused ({ways})")
    assert accepted >= 0.995
    assert share >= 0.95


def test_evidence_stands_beside_every_bound(tmp_path: Path) -> None:
    run_learn(tmp_path, record("tabular", 1))
    policy = (tmp_path / "vallum.yaml").read_text()
    assert "Seen 1,000 times from several callers." in policy
    schema = json.loads((tmp_path / "schemas" / "post-tabular.body.json").read_text())
    assert schema["properties"]["threshold"]["$comment"].startswith("seen ")
    assert "proposed 0.." in schema["properties"]["threshold"]["$comment"]


def test_no_secret_that_was_sent_is_written(tmp_path: Path) -> None:
    lines = record("chat", 1)
    for index, line in enumerate(lines):
        line["body"]["user"] = f"secret-{index % 5}"  # few and often, but each from one caller
        line["caller"] = f"c{index % 5}"
    run_learn(tmp_path, lines)
    text = "".join(path.read_text() for path in tmp_path.rglob("*.json")) + (tmp_path / "vallum.yaml").read_text()
    assert "secret" not in text
    assert '"small"' in text, "a word that several callers send"


def test_memory_is_bounded_whatever_comes() -> None:
    def grow(count: int) -> int:
        traffic, r = Traffic(), Random(1)
        tracemalloc.start()
        for number in range(count):
            body = {f"k{r.random()}": {f"x{number}": "v" * 30, "deep": [[[str(number)]]]} for _ in range(5)}
            traffic.add(Sample("POST", f"/a{number}", (), body, 100, f"c{number}"))
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return size

    assert grow(2 * ROUTES_MAX) * 1.2 > grow(6 * ROUTES_MAX)


def test_many_names_make_a_map() -> None:
    seen = Seen()
    for number in range(200):
        seen.add({f"key{number}": number})
    assert seen.members is None
    schema = propose(seen)
    assert "properties" not in schema
    Schema(schema)
    assert Schema(schema).hold({"anything": 3}) is None
    assert Schema(schema).hold({"anything": "3"}) is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcdef"), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(JSON, min_size=1, max_size=12), st.integers(0, 12))
@settings(max_examples=150)
def test_what_was_seen_is_accepted_and_halves_make_the_whole(documents: list[Any], cut: int) -> None:
    whole, left, right = Seen(), Seen(), Seen()
    for document in documents:
        whole.add(document)
    for document in documents[:cut]:
        left.add(document)
    for document in documents[cut:]:
        right.add(document)
    left.merge(right)
    assert propose(left) == propose(whole)
    schema = Schema(propose(whole))
    for document in documents:
        assert schema.hold(document) is None


def test_bounds_of_the_state() -> None:
    seen = Seen()
    for number in range(1000):
        seen.add({"word": f"w{number}"})
    assert seen.members is not None
    assert seen.members["word"].words is None
    assert (MEMBERS_MAX, WORDS_MAX) == (64, 24)


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v1/chat", "/v1/chat"),
        ("/users/12/orders/7", "/users/{id}/orders/{id2}"),
        ("/x/0b5cf0a8-93a4-4d3e-8a9b-1f1b6a1d2c3e", "/x/{id}"),
        ("/x/%2e%2e", None),
        ("/a//b", None),
        ("no slash", None),
        ("/a" * 30, None),
    ],
)
def test_paths_become_patterns(path: str, template: str | None) -> None:
    assert template_of(path) == template


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{",
        b'{"path": "/"}',
        b'{"method": 1, "path": "/"}',
        b'{"method": "GET", "path": "/", "status": 404}',
        b'{"method": "GET", "path": "/", "status": "x"}',
        b'{"method": "GET", "path": "/", "query": 3}',
        b'{"method": "GET", "path": "/", "path": "/b"}',
    ],
)
def test_lines_that_are_no_requests(line: bytes) -> None:
    assert read_line(line) is None


def test_a_query_is_learnt(tmp_path: Path) -> None:
    lines = [{"method": "GET", "path": "/items", "query": f"limit={n % 50 + 1}&q=word{n}"} for n in range(100)]
    assert run_learn(tmp_path, lines).exit_code == 0
    _, policy = load_policy(read_source(tmp_path / "vallum.yaml", {}))
    (route,) = policy.routes
    hold = route.intake.parameters
    assert hold is not None
    assert hold({}, [("limit", "5"), ("q", "word7")]) is None
    assert hold({}, [("limit", "500"), ("q", "word7")]) is not None
    assert hold({}, [("limit", "5"), ("q", "x" * 500)]) is not None
    assert hold({}, [("q", "word7")]) is not None
    assert route.intake.query == frozenset({"limit", "q"})
    assert route.intake.max_bytes == 0


def test_nothing_to_learn_from_is_told(tmp_path: Path) -> None:
    assert run_learn(tmp_path, []).return_value == 1
    assert CliRunner().invoke(learn, []).exit_code == 2
    assert CliRunner().invoke(learn, [str(tmp_path / "none.jsonl")]).exit_code == 2


def test_a_file_is_not_written_over(tmp_path: Path) -> None:
    lines = record("tabular", 1)[:50]
    assert run_learn(tmp_path, lines).exit_code == 0
    assert run_learn(tmp_path, lines).exception is not None
    assert run_learn(tmp_path, lines, "--force").exit_code == 0


async def test_an_upstream_is_watched() -> None:
    loop = asyncio.get_running_loop()
    upstream = Listener(SampleUpstream().serve)
    server = await loop.create_server(upstream.connect, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    traffic, listening = Traffic(), loop.create_future()
    watching = asyncio.ensure_future(watch(traffic, url, ("127.0.0.1", 0), 60, lambda _: None, listening))
    port = await listening
    answers = []
    for body in (b'{"input_text": "a good day", "temperature": 1.0}', b'{"input_text": 1', b'{"wrong": 1}'):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /api/v1/predict HTTP/1.1\r\nHost: x\r\nX-API-Key: secret\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        answers.append(int((await reader.read(-1)).split()[1]))
        writer.close()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    server.close()
    await upstream.drain(0.5)
    assert answers == [200, 500, 500]
    assert traffic.count == 1
    (route,) = traffic.propose()
    assert (route.method, route.path) == ("POST", "/api/v1/predict")
    assert "secret" not in json.dumps(route.body)
