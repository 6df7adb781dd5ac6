"""`vallum export`: the file to standard output or where one says, what is lost to standard error and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from vallum.cli import export as command
from vallum.cli.main import vallum
from vallum.exporters.export import Export, ExportError, Kind, Loss

if TYPE_CHECKING:
    from click.testing import Result

SAMPLE = Path(__file__).parents[2] / "examples" / "gateways" / "kong.yaml"


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(vallum, ["export", *map(str, words)], env={"COLUMNS": "120"})


def test_the_file_goes_to_standard_output_and_losses_to_standard_error() -> None:
    done = run("kong", SAMPLE)
    assert done.exit_code == 0
    assert done.stdout.startswith("# Kong")
    assert "name: ml-inference-api" in done.stdout
    assert "request.query" in done.stderr
    assert "-> Run Vallum behind Kong" in done.stderr
    assert "Defaults: not in your file" in done.stderr
    assert "lost" in done.stderr.splitlines()[-1]
    assert "request.query" not in done.stdout.replace("# Lost here: preset.json, request.query", "")


def test_files_are_written_where_one_says(tmp_path: Path) -> None:
    done = run("kong", SAMPLE, "-o", tmp_path / "kong.yaml", "--losses", tmp_path / "losses.json")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "ml-inference-api" in (tmp_path / "kong.yaml").read_text()
    losses = json.loads((tmp_path / "losses.json").read_text())
    assert losses
    for loss in losses:
        assert set(loss) == {"feature", "where", "kind", "detail", "remedy", "default", "says"}
        assert all(value for key, value in loss.items() if key != "default")
    assert {loss["kind"] for loss in losses} == {"lost", "approximate"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nonesuch", SAMPLE), "nonesuch"),
        (("kong", SAMPLE, "-o", "{folder}/no/such/folder/kong.yaml"), "No such file"),
        (("kong", SAMPLE, "--losses", "{folder}/no/losses.json"), "No such file"),
    ],
)
def test_wrong_use_is_two(words: tuple[Any, ...], says: str, tmp_path: Path) -> None:
    done = run(*(str(word).replace("{folder}", str(tmp_path)) for word in words))
    assert done.exit_code == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_an_invalid_policy_is_two_with_its_line(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(SAMPLE.read_text().replace("upstream: ml-inference-api", "upstream: nobody"))
    done = run("kong", policy)
    assert done.exit_code != 0
    assert done.stdout == ""
    assert "upstream" in str(done.exception)


def test_a_policy_is_never_written_over(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(SAMPLE.read_text())
    done = run("kong", policy, "-o", policy)
    assert done.exit_code == 2
    assert "is the policy itself" in done.stderr
    assert policy.read_text() == SAMPLE.read_text()


class Several:
    """Writes two files, and loses nothing, or fails."""

    name = "several"

    def __init__(self, *losses: Loss, fails: bool = False) -> None:
        self.losses = losses
        self.fails = fails

    def write(self, config: object, policy: object) -> Export:
        if self.fails:
            raise ExportError("this gateway has no room")
        return Export({"a.yaml": "a\n", "b.yaml": "b\n"}, self.losses)


@pytest.fixture
def several(monkeypatch: pytest.MonkeyPatch) -> Several:
    exporter = Several()
    monkeypatch.setattr(command, "EXPORTERS", {"kong": exporter})
    return exporter


def test_several_files_want_a_folder(several: Several, tmp_path: Path) -> None:
    done = run("kong", SAMPLE)
    assert done.exit_code == 2
    assert "several files (a.yaml, b.yaml): say -o FOLDER" in done.stderr
    done = run("kong", SAMPLE, "-o", tmp_path / "new" / "folder")
    assert done.exit_code == 0
    assert "All that the policy says is in the export for kong." in done.stderr
    assert [path.read_text() for path in sorted((tmp_path / "new" / "folder").iterdir())] == ["a\n", "b\n"]


def test_several_files_do_not_go_into_a_file(several: Several, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    done = run("kong", SAMPLE, "-o", tmp_path / "file")
    assert done.exit_code == 2
    assert "is a file, the export is several (a.yaml, b.yaml): say -o FOLDER" in done.stderr.replace("\n", "")
    assert (tmp_path / "file").read_text() == "mine"


def test_one_file_goes_into_a_folder_under_its_own_name_and_replaces_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "kong.yaml").write_text("old")
    assert run("kong", SAMPLE, "-o", tmp_path).exit_code == 0
    assert (tmp_path / "kong.yaml").read_text().startswith("# Kong")


def test_losses_and_export_are_two_files(tmp_path: Path) -> None:
    done = run("kong", SAMPLE, "-o", tmp_path / "one", "--losses", tmp_path / "one")
    assert (done.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "-o and --losses name one file" in done.stderr


def test_losses_never_take_the_place_of_the_policy(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(SAMPLE.read_text())
    assert run("kong", policy, "--losses", policy).exit_code == 2
    assert policy.read_text() == SAMPLE.read_text()


def test_a_missing_policy_is_said(tmp_path: Path) -> None:
    done = run("kong", tmp_path / "none.yaml")
    assert done.exit_code != 0
    assert "none.yaml" in f"{done.stderr}{done.exception}"


@pytest.mark.parametrize("gateway", ["aws", "aws-iam", "envoy", "kong", "nginx"])
def test_losses_fit_a_terminal_of_eighty_columns(gateway: str) -> None:
    chat = SAMPLE.parents[1] / "chat.yaml"
    done = CliRunner().invoke(vallum, ["export", gateway, str(chat)], env={"COLUMNS": "80"})
    lines = done.stderr.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) < 100


def test_an_export_that_fails_is_two(several: Several) -> None:
    several.fails = True
    done = run("kong", SAMPLE)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "this gateway has no room" in done.stderr


def test_losses_of_one_kind_are_counted_not_listed(several: Several, tmp_path: Path) -> None:
    places = [f"routes.[bold]r{number}" for number in range(9)]
    several.losses = tuple(Loss("auth.scopes", place, Kind.VALLUM, "it is [red]asked", "keep it") for place in places)
    done = run("kong", SAMPLE, "-o", tmp_path)
    assert "Through Vallum" in done.stderr
    assert "routes.[bold]r2" in done.stderr
    assert "and 6 more" in done.stderr
    assert "it is [red]asked" in done.stderr
