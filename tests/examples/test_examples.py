"""Every policy in examples/ holds, as it stands; without an environment of its own, but for the names of TLS files."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vallum.config.compile import load_policy
from vallum.config.source import read_source
from vallum.drafts.draft import write
from vallum.drafts.openapi import read_openapi

if TYPE_CHECKING:
    from tests.conftest import Authority

EXAMPLES = Path(__file__).parents[2] / "examples"
POLICIES = sorted(EXAMPLES.rglob("*.yaml"))


def test_there_are_examples() -> None:
    assert POLICIES


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_an_example_compiles(path: Path, tmp_path: Path, authority: Authority) -> None:
    cert, key = authority.issue("localhost").write(tmp_path, "server")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    files = {"CERT": cert, "KEY": key, "CLIENT_CA": tmp_path / "ca.pem"}
    config, policy = load_policy(read_source(path, {f"VALLUM_TLS_{name}": str(file) for name, file in files.items()}))

    written = [route.name for route in config.routes]
    assert [route.name for route in policy.routes if route.responder is None] == written
    assert policy.digest


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("identity", "f556e57978f8bc40320de418a88ca51038786e1c6fbd4020e575e108e658b140"),
        ("vision", "9654f8b1c91a7512388936350878c172dd4467e78797487b078719571a249d19"),
        ("fleet", "b70639919ed35cfc90e40dd1fe8b40e424dbaec2b82ba1e6e62366f4451f0962"),
    ],
)
def test_a_policy_that_users_were_promised_is_unchanged(name: str, digest: str) -> None:
    assert sha256((EXAMPLES / f"{name}.yaml").read_bytes()).hexdigest() == digest


SCORES = {"cat": 0.61234, "dog": 0.3, "owl": 0.06, "eel": 0.02766}


@pytest.mark.parametrize(
    ("name", "route", "answer", "left"),
    [
        (
            "triton",
            "digits",
            {
                "model_name": "digits",
                "model_version": "3",
                "outputs": [
                    {"name": "probabilities", "datatype": "FP32", "shape": [1, 4], "data": [0.61234, 0.3, 0.05, 0.037]},
                    {"name": "logits", "datatype": "FP32", "shape": [1, 4], "data": [3.1, 2.4, 0.6, 0.3]},
                ],
            },
            {
                "model_name": "digits",
                "outputs": [
                    {"name": "probabilities", "datatype": "FP32", "shape": [1, 4], "data": [0.61, 0.3, 0.05, None]}
                ],
            },
        ),
        (
            "vision-upload",
            "upload",
            {"label": "cat", "probabilities": SCORES, "embedding": [0.1], "inference_time_ms": 3.1},
            {"label": "cat", "probabilities": {"cat": 0.6, "dog": 0.3, "owl": 0.1}},
        ),
        ("fastapi/fastapi", "predict", {"price": 123456.0, "model": "v3"}, {"price": 123000.0}),
        ("fastapi/fastapi", "predict_batch", [{"price": 123456.0, "model": "v3"}], [{"price": 123000.0}]),
    ],
)
def test_an_answer_leaves_as_the_example_says(name: str, route: str, answer: Any, left: Any) -> None:
    _, policy = load_policy(read_source(EXAMPLES / f"{name}.yaml", {}))
    (outlet,) = [one.outlet for one in policy.routes if one.name == route]
    for step in outlet.transforms:
        answer = step.apply(answer, set())
    assert answer == left


def test_the_schemas_of_fastapi_are_those_of_its_document() -> None:
    folder = EXAMPLES / "fastapi"
    reading = read_openapi(json.loads((folder / "openapi.json").read_text()), loose=False)
    drafted = write(reading.routes, file="fastapi.yaml", upstream="http://m", title="", hidden="")
    del drafted["fastapi.yaml"]
    kept = {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.glob("schemas/*"))}
    assert kept == drafted
    config, _ = load_policy(read_source(folder / "fastapi.yaml", {}))
    assert [(route.name, route.match.path) for route in config.routes] == [(r.name, r.path) for r in reading.routes]
