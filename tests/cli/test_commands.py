"""The command line as people and programs use it: every command, its answers and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import jsonschema_rs
import pytest
import yaml

from vallum.cli.main import COMMANDS
from vallum.cli.main import vallum as group

ROOT = Path(__file__).parents[2]
PREDICT = ROOT / "examples" / "predict.yaml"


def vallum(*args: str, folder: Path, said: str = "") -> subprocess.CompletedProcess[str]:
    environ = {"PATH": "/usr/bin:/bin", "VALLUM_REGISTRY": f"sqlite:///{folder}/vallum.db", "COLUMNS": "120"}
    environ["VALLUM_CACHE"] = os.environ["VALLUM_CACHE"]
    command = [sys.executable, "-m", "vallum", *args]
    return subprocess.run(
        command, cwd=folder, env=environ, input=said, capture_output=True, text=True, timeout=50, check=False
    )


def made(folder: Path, *more: str) -> Any:
    done = vallum("keys", "create", "--subject", "alice", "--json", *more, folder=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_demo_holds_every_control_and_explains_a_refusal(tmp_path: Path) -> None:
    done = vallum("demo", "--check", folder=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "Every control held." in done.stdout
    for said in ("401 unauthenticated", "403 request_rejected", "429 quota_exceeded", "502 upstream_error", "why"):
        assert said in done.stdout


def test_check_shows_what_is_enforced_and_what_is_absent(tmp_path: Path) -> None:
    done = vallum("check", str(PREDICT), folder=tmp_path)
    assert done.returncode == 0
    assert "enforced" in done.stdout
    document = json.loads(vallum("check", str(PREDICT), "--json", folder=tmp_path).stdout)
    assert document["valid"] is True
    assert document["routes"]["predict"]["credential"] == "api_key"


def test_check_names_every_mistake_and_exits_with_2(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("version: 1\nroutez: []\nupstreams: {m: {url: 'http://m'}}\n")
    done = vallum("check", "bad.yaml", folder=tmp_path)
    assert done.returncode == 2
    assert "bad.yaml:2:1: routez: unknown key (did you mean 'routes'?)" in done.stderr
    document = json.loads(vallum("check", "bad.yaml", "--json", folder=tmp_path).stdout)
    assert document["valid"] is False
    assert {error["place"] for error in document["errors"]} >= {"routez"}


def test_the_schema_takes_the_example_and_refuses_an_unknown_key(tmp_path: Path) -> None:
    schema = json.loads(vallum("schema", folder=tmp_path).stdout)
    policy = yaml.safe_load(PREDICT.read_text())
    assert jsonschema_rs.is_valid(schema, policy)
    assert not jsonschema_rs.is_valid(schema, {**policy, "routez": []})


def test_init_writes_a_policy_that_holds(tmp_path: Path) -> None:
    done = vallum("init", "--upstream", "http://127.0.0.1:9999", folder=tmp_path)
    (tmp_path / "vallum.yaml").write_text(done.stdout)
    assert "http://127.0.0.1:9999" in done.stdout
    assert vallum("check", folder=tmp_path).returncode == 0


def test_a_key_is_made_shown_listed_and_verified(tmp_path: Path) -> None:
    key = made(
        tmp_path, "--scope", "a", "--scope", "b", "--tenant", "t", "--expires", "12h", "--allow-ip", "10.0.0.0/8"
    )
    assert set(key) >= {"id", "key", "subject", "scopes", "expires_at"}
    assert (key["scopes"], key["tenant"]) == (["a", "b"], "t")
    listed = json.loads(vallum("keys", "list", "--json", folder=tmp_path).stdout)
    assert [(entry["id"], entry["state"]) for entry in listed] == [(key["id"], "active")]
    shown = vallum("keys", "show", key["id"], folder=tmp_path)
    assert "alice" in shown.stdout
    for done in (shown, vallum("keys", "list", folder=tmp_path)):
        assert key["key"] not in done.stdout
    verified = vallum("keys", "verify", "--json", folder=tmp_path, said=key["key"] + "\n")
    assert (verified.returncode, json.loads(verified.stdout)["state"]) == (0, "active")


def test_a_limit_is_raised_listed_and_lowered_and_stays_on_record(tmp_path: Path) -> None:
    said = ("--factor", "2.5", "--for", "2h", "--reason", "launch [day]", "--by", "ops")
    raised = vallum("limits", "raise", "alice", *said, "--json", folder=tmp_path)
    assert json.loads(raised.stdout)["factor"] == 2.5, raised.stderr
    (entry,) = json.loads(vallum("limits", "list", "--json", folder=tmp_path).stdout)
    assert (entry["subject"], entry["factor"], entry["by"], entry["state"]) == ("alice", 2.5, "ops", "in force")
    assert entry["until"] - entry["at"] == 7200
    shown = vallum("limits", "list", folder=tmp_path).stdout
    assert "launch [day]" in shown
    lowered = vallum("limits", "lower", "alice", "--json", folder=tmp_path)
    assert json.loads(lowered.stdout) == {"subject": "alice", "lowered": True}, lowered.stderr
    assert "No limits are raised." in vallum("limits", "list", folder=tmp_path).stdout
    past = json.loads(vallum("limits", "list", "--all", "--json", folder=tmp_path).stdout)
    assert [entry["state"] for entry in past] == ["lowered"]


def test_a_revoked_key_does_not_verify(tmp_path: Path) -> None:
    key = made(tmp_path)
    assert vallum("keys", "revoke", key["id"], folder=tmp_path).returncode == 0
    verified = vallum("keys", "verify", folder=tmp_path, said=key["key"] + "\n")
    assert (verified.returncode, "revoked" in verified.stdout) == (1, True)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["keys", "create"], 2),
        (["keys", "create", "--subject", " "], 2),
        (["keys", "create", "--subject", "a", "--expires", "soon"], 2),
        (["keys", "create", "--subject", "a", "--scope", "two words"], 2),
        (["keys", "create", "--subject", "a", "--allow-ip", "10.0.0.0/99"], 2),
        (["keys", "show", "key_none"], 1),
        (["keys", "revoke", "key_none"], 1),
        (["why", "none"], 1),
        (["limits", "lower", "nobody"], 1),
        (["limits", "raise", "a"], 2),
        (["limits", "raise", "a", "--factor", "2", "--for", "2h"], 2),
        (["limits", "raise", "a", "--factor", "2", "--for", "soon", "--reason", "r"], 2),
        (["limits", "raise", "a", "--factor", "2", "--for", "91d", "--reason", "r"], 2),
        (["limits", "raise", "a", "--factor", "0.5", "--for", "2h", "--reason", "r"], 2),
        (["limits", "raise", "a", "--factor", "nan", "--for", "2h", "--reason", "r"], 2),
        (["limits", "raise", "a", "--factor", "2", "--for", "2h", "--reason", " "], 2),
        (["limits", "raise", "a\nb", "--factor", "2", "--for", "2h", "--reason", "r"], 2),
        (["serve", "none.yaml"], 2),
        (["serve", "--upstream", "ftp://x"], 2),
        (["serve", "--listen", "127.0.0.1:1"], 2),
        (["nonsense"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_wrong_use_is_said_plainly(args: list[str], code: int, tmp_path: Path) -> None:
    done = vallum(*args, folder=tmp_path)
    assert done.returncode == code, done.stderr
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_the_list_of_commands_imports_none_of_them_and_says_what_they_say() -> None:
    script = "import sys; from vallum.cli.main import vallum; vallum(['--help'], standalone_mode=False); "
    script += (
        "print([name for name in ('numpy', 'msgspec', 'vallum.cli.serve', 'vallum.extraction') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout.endswith("[]\n")
    for name, entry in COMMANDS.items():
        command = group.get_command(click.Context(group), name)
        assert command is not None
        assert command.name == name
        assert command.get_short_help_str(100) == entry.says
