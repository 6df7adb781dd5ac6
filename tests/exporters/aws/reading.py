"""Policies in, templates out, and a reader of templates that is none of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cfnlint.decode import cfn_yaml

from tests.exporters.cases import Overlay, load, write_policy
from vallum.config.compile import load_policy
from vallum.config.source import parse_source, read_source
from vallum.exporters.aws import Aws
from vallum.exporters.export import Export

EXAMPLES = Path(__file__).parents[3] / "examples"
FILE = "cloudformation.yaml"
ENVIRONMENT = {
    "VALLUM_TLS_CERT": "cert.pem",
    "VALLUM_TLS_KEY": "key.pem",
    "VALLUM_TLS_CLIENT_CA": "ca.pem",
}


def export_file(path: Path, *, signed: bool = False) -> Export:
    config, policy = load_policy(read_source(path, ENVIRONMENT), certificates=False)
    return Aws(signed=signed).write(config, policy)


def export(folder: Path, overlay: Overlay, *, signed: bool = False) -> Export:
    return Aws(signed=signed).write(*load(folder, overlay))


def export_hostile(folder: Path, overlay: Overlay) -> Export:
    """Export a policy in which `${SUB}` stands for what CloudFormation would substitute: the environment can say it."""
    environ = {"SUB": "${AWS::AccountId}", "QUOTE": "'\""}
    source = parse_source(folder / "policy.yaml", write_policy(overlay), environ)
    return Aws().write(*load_policy(source, certificates=False))


def parse(text: str) -> dict[str, Any]:
    """Return a template as cfn-lint reads it: short functions in their long form, locations dropped."""
    return _bare(cfn_yaml.loads(text))


def read(made: Export) -> dict[str, Any]:
    return parse(made.files[FILE])


def template(folder: Path, overlay: Overlay, *, signed: bool = False) -> dict[str, Any]:
    return read(export(folder, overlay, signed=signed))


def properties(found: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Return the properties of all resources of a kind, by their names."""
    return {name: one["Properties"] for name, one in found["Resources"].items() if one["Type"] == kind}


def _bare(item: Any) -> Any:
    if isinstance(item, dict):
        return {str(key): _bare(value) for key, value in item.items()}
    if isinstance(item, list):
        return [_bare(value) for value in item]
    if isinstance(item, str):
        return str(item)
    return item
