"""A policy that names an encoder: found beside it, watched, and never another than the head was learnt of."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from tests.encoders import HEAD, WEIGHTS_FILE, write_encoder

from vallum.checks.prompt_injection.encoder import VOCABULARY, WEIGHTS
from vallum.cli.main import vallum
from vallum.config.compile import load_policy
from vallum.config.source import PolicyFileError, read_source

if TYPE_CHECKING:
    from pathlib import Path

    from vallum.config.source import Source
    from vallum.core.policy import Policy

pytest.importorskip("onnxruntime", reason="pip install 'vallum[deep]'")

POLICY = """version: 1
upstreams: {model: {url: "http://127.0.0.1:9000"}}
authenticators: {keys: {type: api_key}}
routes:
  - name: chat
    match: {methods: [POST], path: /chat}
    upstream: model
    auth: {any_of: [keys]}
    checks:
      - {type: prompt_injection, deep: {encoder: models/tiny}}
      - {type: prompt_injection, sensitivity: strict, mode: shadow, deep: {encoder: models/tiny}}
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A policy, and the encoder beside it."""
    monkeypatch.setattr("vallum.checks.prompt_injection.second_tier.load_head", lambda: HEAD)
    path = tmp_path / "vallum.yaml"
    path.write_text(POLICY)
    (tmp_path / "models").mkdir()
    write_encoder(tmp_path / "models/tiny")
    return path


def load(path: Path) -> tuple[Source, Policy]:
    source = read_source(path)
    return source, load_policy(source)[1]


def faults(path: Path) -> list[str]:
    with pytest.raises(PolicyFileError) as caught:
        load(path)
    return [str(fault) for fault in caught.value.faults]


def test_it_is_found_beside_the_policy_and_shared(path: Path) -> None:
    source, policy = load(path)
    first, second = (guard.check for guard in policy.routes[0].intake.checks)
    assert first._deep is second._deep is not None  # type: ignore[attr-defined]  # a check of this type
    watched = {path.parent / "models/tiny" / name for name in (WEIGHTS, VOCABULARY)}
    assert watched <= set(source.files)


def test_a_reload_after_it_was_replaced_by_junk_does_not_hold(path: Path) -> None:
    load(path)
    weights = path.parent / "models/tiny" / WEIGHTS
    weights.write_bytes(b"junk")
    for told, line in zip(faults(path), (10, 11), strict=True):
        assert told.startswith(f"{line}:")
        assert "].deep.encoder: models/tiny: model.safetensors is not that of tiny, which alone" in told
    weights.write_bytes(WEIGHTS_FILE)
    load(path)


def test_without_the_extra_the_policy_says_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vallum.checks.prompt_injection.second_tier._loaded", {})
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    told = faults(path)
    assert len(told) == 2
    assert all("pip install 'vallum[deep]'" in fault for fault in told)


def test_check_finds_what_is_missing_and_says_what_it_should_be(path: Path) -> None:
    assert CliRunner().invoke(vallum, ["check", str(path)]).exit_code == 0
    (path.parent / "models/tiny" / VOCABULARY).unlink()
    result = CliRunner().invoke(vallum, ["check", str(path)])
    assert result.exit_code != 0
    assert "vocab.txt is not there" in result.output
    assert "docs/injection.md" in result.output
    assert "Traceback" not in result.output


def test_tune_counts_with_the_second_tier(path: Path, tmp_path: Path) -> None:
    path.write_text("\n".join(POLICY.splitlines()[:-1]) + "\n")
    honest = tmp_path / "honest.txt"
    honest.write_text("Which bus goes to the museum?\nWhat is a system prompt?\n")
    result = CliRunner().invoke(vallum, ["tune", str(path), str(honest), "--text", "--json"])
    assert result.exit_code == 0, result.output
    assert '"requests": 2' in result.stdout
