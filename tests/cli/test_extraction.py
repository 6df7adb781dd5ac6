"""`vallum extraction`: what operators are shown, what they can do, and what stays on record."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from tests.clock import read_clock

from vallum.cli.main import vallum
from vallum.cli.terminal import err, out
from vallum.core.extraction import Change, Grade
from vallum.stores.suspects import SqlSuspects

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Result]

VISION = Path(__file__).parents[2] / "examples" / "vision.yaml"
T0 = 1_700_000_000.0
WHY = "an account named with 9 others, 2 sweeps in a row, score 5"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/vallum.db"


@pytest.fixture
def run(url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("VALLUM_REGISTRY", url)
    for console in (out, err):  # as wide as its longest line, whatever the terminal is
        monkeypatch.setattr(console, "_width", 200)

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(vallum, ["extraction", *words, "--policy", str(VISION)])

    return invoke


@pytest.fixture
def suspected(url: str) -> None:
    with closing(SqlSuspects(url)) as store:
        for grades in ((Grade.CLEAR, Grade.ALERT), (Grade.ALERT, Grade.BUDGET)):
            store.write([("digits", Change("subject\x1falice", "c1", *grades, T0, WHY))])
        store.write([("digits", Change("ip\x1f2001:db8::/64", "c1", Grade.CLEAR, Grade.ALERT, T0, "[bold]"))])


def read(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_nobody_is_suspected_at_first(run: Run) -> None:
    assert "Nobody is suspected." in run("list").output


@pytest.mark.usefixtures("suspected")
def test_the_gravest_come_first_with_why_and_what_to_do_next(run: Run) -> None:
    document = read(run("list", "--json"))
    assert [(row["account"], row["grade"], row["cluster"]) for row in document["accounts"]] == [
        ("subject:alice", "budget", "c1"),
        ("ip:2001:db8::/64", "alert", "c1"),
    ]
    said = run("list")
    assert WHY in said.output
    assert "[bold]" in said.output
    assert "vallum extraction list --of subject:alice" in said.stderr
    assert "vallum extraction pardon subject:alice --for 7d" in said.stderr
    history = read(run("list", "--of", "alice", "--json"))["accounts"]
    assert [(row["before"], row["grade"]) for row in history] == [("alert", "budget"), ("clear", "alert")]


def test_what_is_offered_to_a_shell_runs_nothing_of_a_callers(run: Run, url: str) -> None:
    with closing(SqlSuspects(url)) as store:
        store.write([("digits", Change("subject\x1f$(reboot)", "c1", Grade.CLEAR, Grade.ALERT, T0, WHY))])
    said = run("list").stderr
    assert "--of 'subject:$(reboot)'" in said
    assert "pardon 'subject:$(reboot)'" in said


@pytest.mark.usefixtures("suspected")
@pytest.mark.parametrize(
    ("whom", "name", "known"),
    [
        ("alice", "subject:alice", True),
        ("ip:2001:db8::/64", "ip:2001:db8::/64", True),
        ("cluster:c1", "cluster:c1", True),
        ("c1", "subject:c1", False),
    ],
)
def test_a_pardon_is_given_shown_and_taken_back(run: Run, url: str, whom: str, name: str, known: bool) -> None:
    said = run("pardon", whom, "--for", "7d", "--because", "their test set", "--by", "ops")
    assert said.exit_code == 0
    assert f"vallum extraction unpardon {name}" in said.stderr
    assert ("Nobody of that name" in said.stderr) is not known
    assert f"{name} is pardoned until" in run("list").stdout
    with closing(SqlSuspects(url)) as store:
        (pardon,) = store.in_force(read_clock())
        assert (pardon.by, pardon.because) == ("ops", "their test set")
    assert read(run("unpardon", whom, "--json")) == {"whom": name, "lifted": True}
    assert [row["state"] for row in read(run("list", "--json"))["pardons"]] == ["lifted"]
    again = run("unpardon", whom)
    assert again.exit_code == 1
    assert "has no pardon" in again.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("pardon", "alice"),
        ("pardon", "alice", "--for", "7d"),
        ("pardon", "alice", "--for", "91d", "--because", "x"),
        ("pardon", "alice", "--for", "7d", "--because", " "),
        ("pardon", "a\nb", "--for", "7d", "--because", "x"),
        ("pardon", "a" * 400, "--for", "7d", "--because", "x"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Run, words: tuple[str, ...]) -> None:
    assert run(*words).exit_code == 2


def test_a_pardon_as_json_says_whether_anybody_is_meant(run: Run) -> None:
    document = read(run("pardon", "bob", "--for", "1h", "--because", "x", "--json"))
    assert (document["whom"], document["suspected"]) == ("subject:bob", False)
    assert "is judged again" in run("unpardon", "bob").stderr
