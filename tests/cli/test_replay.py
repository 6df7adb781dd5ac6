"""`vallum replay`: a log through a policy, on a clock of its own; nothing of the operator's is touched."""

from __future__ import annotations

import gc
import json
import socket
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.cli.main import vallum
from vallum.cli.replay import read_lines
from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.replay.lines import Line, LineError, read_line
from vallum.replay.play import Log, Played, play
from vallum.replay.tally import SPANS, Tally, Times

if TYPE_CHECKING:
    from collections.abc import Iterable

POLICY = """version: 1
upstreams: {model: {url: "http://127.0.0.1:9"}}
counters: redis://192.0.2.1:1/0
registry: postgresql://nobody@192.0.2.1/none
authenticators: {keys: {type: api_key}}
routes:
  - name: predict
    match: {methods: [POST], path: /predict}
    upstream: model
    auth: {any_of: [keys], scopes: ["predict:read"]}
    quotas: [2 per minute, {limit: 1, unit: concurrent}, {limit: 1 per hour, mode: shadow}]
    request: {max_bytes: 1000}
    checks: [{type: sqli}]
    response: {fields: [label]}
"""
T0 = 1_750_000_000.0


def line(at: Any = T0, who: Any = "alice", **more: Any) -> dict[str, Any]:
    answered = {"answer": {"label": "cat", "logits": [1]}, "status": 200}
    return {"at": at, "subject": who, "method": "POST", "path": "/predict", "body": {"x": "a"}, **answered, **more}


def write(folder: Path, lines: Iterable[Any], policy: str = POLICY) -> list[str]:
    (folder / "vallum.yaml").write_text(policy)
    text = "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines)
    (folder / "log.jsonl").write_text(text)
    return [str(folder / "vallum.yaml"), str(folder / "log.jsonl")]


def replay(folder: Path, lines: Iterable[Any], *args: str, policy: str = POLICY) -> Result:
    return CliRunner().invoke(vallum, ["replay", *write(folder, lines, policy), *args])


def report(folder: Path, lines: Iterable[Any], policy: str = POLICY) -> Any:
    result = replay(folder, lines, "--json", policy=policy)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_time_passes_on_the_logs_clock_and_quotas_hold_by_it(tmp_path: Path) -> None:
    told = report(tmp_path, [line(T0 + at) for at in (0, 1, 2, 63, 64, 65)])
    assert (told["total"]["allowed"], told["total"]["refused"], told["total"]["newly"]) == (4, 2, 2)
    (control,) = [row for row in told["controls"] if row["control"] == "quota:minute"]
    assert (control["refused"], control["callers"], control["lines"]) == (2, 1, [3, 6])
    (shadowed,) = [row for row in told["controls"] if row["control"] == "quota:hour"]
    assert (shadowed["refused"], shadowed["would_refuse"]) == (0, 3)
    assert (told["from"], told["to"]) == (T0, T0 + 65)


def test_callers_are_told_apart_and_the_address_too(tmp_path: Path) -> None:
    told = report(tmp_path, [line(who=f"user-{number}", ip=f"192.0.2.{number}") for number in range(5)])
    assert (told["total"]["allowed"], told["callers_in_all"], told["callers_refused"]) == (5, 5, 0)


def test_what_overlaps_in_the_log_overlaps_in_the_replay(tmp_path: Path) -> None:
    slow = [line(T0, duration_s=10), line(T0 + 5, duration_s=1), line(T0 + 11, "bob")]
    told = report(tmp_path, slow)
    assert [(row["control"], row["lines"]) for row in told["controls"] if row["refused"]] == [("quota:concurrent", [2])]


def test_a_lease_outlives_its_span_while_the_answer_takes_its_time(tmp_path: Path) -> None:
    policy = POLICY.replace('"http://127.0.0.1:9"', '"http://127.0.0.1:9", timeout_s: 500')
    told = report(tmp_path, [line(T0, duration_s=200), line(T0 + 150)], policy)
    assert told["total"]["refused"] == 1


def test_controls_see_what_was_asked_and_answered(tmp_path: Path) -> None:
    lines = [
        line(body={"x": "1' OR '1'='1' UNION SELECT password FROM users --"}),
        line(who="bob", body={"x": "a" * 2000}),
        line(who="carol", path="/elsewhere"),
        line(who="dave", answer={"traceback": "x"}, status=500),
        line(T0, None),
    ]
    told = report(tmp_path, lines)
    found = {row["control"]: row["refused"] for row in told["controls"] if row["refused"]}
    assert found == {"check:sqli": 1, "max_bytes": 1, "route": 1, "upstream": 1, "authenticate": 1}
    assert (told["total"]["refused"], told["total"]["failed"]) == (4, 1)
    assert told["lines"]["without_caller"] == 1


def test_lines_that_are_no_exchanges_are_counted_and_passed_over(tmp_path: Path) -> None:
    wrong = ["", "null", "{", '{"at": NaN, "path": "/predict"}', json.dumps(line(path=None)), json.dumps(line("soon"))]
    told = report(tmp_path, [*wrong, line(), "[" * 5000, line("inf")])
    assert (told["lines"]["played"], told["lines"]["broken"]) == (1, 7)
    assert told["lines"]["first_broken"][0] == {"line": 2, "why": "not an object"}
    nothing = replay(tmp_path, ["x", "{}"])
    assert nothing.exit_code == 1
    assert "line 1: not JSON" in nothing.output
    assert "no line that is an exchange" in nothing.output


def test_a_line_without_its_body_is_judged_by_head_and_quotas(tmp_path: Path) -> None:
    bare = [{"at": T0 + number, "subject": "alice", "method": "POST", "path": "/predict"} for number in range(3)]
    told = report(tmp_path, bare)
    assert (told["total"]["allowed"], told["total"]["refused"], told["lines"]["without_body"]) == (2, 1, 3)
    assert any("without a body" in words for words in told["assumed"])


def test_what_is_out_of_order_is_put_right_or_told(tmp_path: Path) -> None:
    lines = [line(T0 + at, f"u{at}") for at in (5, 3, 4, 1)]
    assert report(tmp_path, lines)["lines"]["out_of_order"] == 0
    log = Log([json.dumps(one).encode() for one in lines], most=1)
    tally = Tally()
    policy = load_policy(parse_source(tmp_path / "p.yaml", POLICY.encode(), {}))[1]
    play(log, policy, tally.add)
    assert (tally.late, tally.latest_s, tally.total.allowed) == (3, 4.0, 4)


SCRIPT = "<script>alert(1)</script>"


def test_the_page_holds_nothing_that_runs_or_loads(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    lines = [line(T0 + number, f'{SCRIPT}"><img src=x onerror=1>\u202e\x1b[31m') for number in range(4)]
    result = replay(tmp_path, [*lines, line(path=f"/{SCRIPT}")], "--html", "--out", str(out))
    assert result.exit_code == 0, result.output
    page = out.read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;" in page
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page
    assert "<svg" in page
    assert "http://" not in page
    shown = replay(tmp_path, lines)
    assert "\x1b" not in shown.output
    assert "[31m" in shown.output or "script" in shown.output


def test_no_store_registry_or_upstream_of_the_policy_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a replay connects to nothing")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.chdir(tmp_path)
    before = {"vallum.yaml", "log.jsonl"}
    assert report(tmp_path, [line()])["total"]["allowed"] == 1
    assert {path.name for path in tmp_path.iterdir()} == before, "no registry, no records, no key"


def test_the_terminal_shows_it_in_80_columns(tmp_path: Path) -> None:
    result = replay(tmp_path, [line(T0 + number, "x" * 300) for number in range(4)])
    assert result.exit_code == 0, result.output
    assert max(map(len, result.output.splitlines())) <= 80
    assert "quota:minute" in result.output
    assert "Taken for granted" in result.output
    assert replay(tmp_path, [line()], "--json", "--html").exit_code == 2


def test_secrets_in_a_log_are_not_repeated(tmp_path: Path) -> None:
    secret = "sk-" + "a" * 45
    asked = line(headers={"Authorization": f"Bearer {secret}", "X-API-Key": secret}, subject=None, key=secret)
    for how in ((), ("--json",), ("--html",)):
        assert secret not in replay(tmp_path, [asked, asked, asked], *how).output


# --- lines


@pytest.mark.parametrize(
    ("at", "seconds"),
    [
        (1750000000, 1750000000.0),
        (1750000000.5, 1750000000.5),
        ("1750000000.5", 1750000000.5),
        (1750000000500, 1750000000.5),
        (1750000000500000, 1750000000.5),
        (1750000000500000000, 1750000000.5),
        ("2025-06-15T15:06:40Z", 1750000000.0),
        ("2025-06-15T17:06:40.5+02:00", 1750000000.5),
        ("2025-06-15 15:06:40", 1750000000.0),
    ],
)
def test_times_as_logs_write_them(at: Any, seconds: float) -> None:
    assert read_line(json.dumps({"ts": at, "path": "/"}).encode()).at == seconds


@pytest.mark.parametrize("at", [None, True, [], {}, "", "now", "nan", "-inf", -1, 5e12, 10**400, "9" * 400])
def test_times_that_are_none(at: Any) -> None:
    with pytest.raises(LineError, match="time"):
        read_line(json.dumps({"time": at, "path": "/"}).encode())


def read(**members: Any) -> Line:
    return read_line(json.dumps({"ts": 1, "path": "/x"} | members).encode())


def test_spellings() -> None:
    nginx = read(path=None, request="POST /a?b=c HTTP/1.1", remote_addr="2001:db8::1", request_time=0.5, status="200")
    assert (nginx.method, nginx.target, nginx.client, nginx.status) == ("POST", "/a?b=c", "2001:db8::1", 200)
    nested = read(request={"method": "POST", "url": "/y", "body": {"a": 1}}, response={"status": 201, "body": {"b": 2}})
    assert (nested.method, nested.body, nested.status) == ("POST", b'{"a": 1}', 201)
    assert nested.reply is not None
    assert nested.reply.body == b'{"b": 2}'
    whole = read(principal={"subject": "s", "tenant": "t", "scopes": ["a", 5]}, body="{}", query="q=1")
    assert whole.who is not None
    assert (whole.who.subject, whole.who.tenant, whole.who.scopes) == ("s", "t", frozenset({"a"}))
    assert (whole.body, whole.target) == (b"{}", "/x?q=1")
    assert read(body="hello", headers=[["Content-Type", "text/plain"]]).body == b"hello"
    assert read(body="hello").body == b'"hello"'
    assert read(body_base64="AAE=").body == b"\x00\x01"
    assert read(ip="not one").client == "0.0.0.0"
    assert read(received_bytes=10).body is None
    assert read().body == b""
    stream = read(body={}, answer='data: {"a": 1}\n\n').reply
    assert stream is not None
    assert ("content-type", "text/event-stream") in stream.fields
    assert read(body={}, answer={"error": 1}, status=429).reply is None, "a refusal is no answer of the model's"
    assert read(headers={"Cookie": "a", "X": "1\r\nY: 2", "Z": ["1", "2"]}).fields == (("z", "1"), ("z", "2"))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.sampled_from(
    "at ts path url method headers body body_base64 query subject principal key tenant ip request response answer"
    " status duration_s latency_ms scopes received_bytes".split()
)


@given(st.dictionaries(MEMBERS, ANYTHING))
@settings(max_examples=400)
def test_no_line_raises_anything_but_a_line_error(members: dict[str, Any]) -> None:
    with suppress(LineError):
        read_line(json.dumps({"at": 1.0, "path": "/x"} | members).encode())


@given(st.lists(st.dictionaries(MEMBERS, ANYTHING), min_size=1, max_size=6))
@settings(max_examples=60)
def test_no_log_ends_a_replay(rows: list[dict[str, Any]]) -> None:
    policy = load_policy(parse_source(Path("p.yaml"), POLICY.encode(), {}))[1]
    log = Log(
        [json.dumps({"at": 1.0, "path": "/predict", "method": "POST", "body": {}} | row).encode() for row in rows]
    )
    tally = Tally()
    play(log, policy, tally.add)
    assert tally.total.asked + log.broken == len(rows)
    assert json.dumps(tally.tell(log, "d", "n"))


def test_long_lines_wait_in_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vallum.replay.play.WINDOW_BYTES", 10_000)
    read = 0

    def lines() -> Iterable[bytes]:
        nonlocal read
        for number in range(100):
            read += 1
            yield json.dumps({"at": T0 + number, "path": "/", "body": "x" * 1000}).encode()

    first, _ = next(iter(Log(lines())))
    assert (first, read) == (1, 10)


def test_a_line_over_the_bound_is_one_broken_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vallum.cli.replay.LINE_MAX_BYTES", 64)
    path = tmp_path / "log"
    path.write_bytes(b"x" * 1000 + b"\n" + b'{"a": 1}\n' + b"y" * 64)
    sizes: list[int] = []
    lines = list(read_lines(path, sizes.append))
    assert [text.strip() for text in lines] == [b"{", b'{"a": 1}', b"y" * 64]
    assert sum(sizes) == path.stat().st_size


def test_spans_of_time_are_bounded_however_long_the_log() -> None:
    times = Times()
    for at in range(0, 10**7, 997):
        times.add(float(at), ["allowed"], 1)
    assert len(times.counts) <= SPANS
    assert sum(count.asked for count in times.counts.values()) == len(range(0, 10**7, 997))


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    policy = load_policy(parse_source(tmp_path / "p.yaml", POLICY.encode(), {}))[1]

    def held(count: int) -> int:
        sizes: list[int] = []
        tally = Tally()

        def note(played: Played) -> None:
            tally.add(played)
            if tally.total.asked == count - 1:
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])

        log = Log((json.dumps(line(T0 + number, f"u{number % 7}")).encode() for number in range(count)), most=64)
        play(log, policy, note)
        return sizes[0]

    tracemalloc.start()
    held(500)
    few, many = held(500), held(2000)
    tracemalloc.stop()
    assert many < few + 60_000
