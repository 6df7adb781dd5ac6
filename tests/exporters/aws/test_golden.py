"""Each kind of rule as a policy has it, and as AWS WAF has it: pairs of files in `golden/`.

`{rules, mode, inspect_bytes}` are a web ACL's, `route` is merged into the route that it stands before, and `others` are
paths of routes without it.  After a change: `GOLDEN=write pytest` this file, and read the diff.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.exporters.aws.reading import FILE, export

if TYPE_CHECKING:
    from tests.exporters.cases import Overlay

GOLDEN = Path(__file__).parent / "golden"
PAIRS = sorted(path for path in GOLDEN.glob("*.yaml") if not path.name.endswith(".aws.yaml"))
CLOSED = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "user": {"type": "string"},
        "prompt": {"type": "string"},
        "size": {"enum": ["small", "large"]},
        "meta": {"type": "object", "additionalProperties": False, "properties": {"a": {"type": "string"}}},
        "tags": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
        "odd/name~": {"type": ["string", "null"]},
    },
}


def overlay(given: dict[str, Any]) -> Overlay:
    made: dict[str, Any] = {"routes.0.request": {"max_bytes": 1_000_000}}
    if "rules" in given:
        keys = ("rules", "mode", "inspect_bytes")
        acl = {"inspect_bytes": 65_536} | {key: given[key] for key in keys if key in given}
        made |= {"web_acls": {"acl": acl}, "routes.0.web_acl": "acl"}
    for key, value in given.get("route", {}).items():
        made[f"routes.0.{key}"] = {"max_bytes": 1_000_000, **value} if key == "request" else value
    if "others" in given:
        first = {"name": "predict", "match": {"methods": ["POST"], "path": "/predict"}, "web_acl": "acl"}
        paths = [
            {"name": f"r{index}", "match": {"methods": ["POST"], "path": path}}
            for index, path in enumerate(given["others"])
        ]
        common = {"upstream": "model", "auth": {"any_of": ["keys"]}}
        return {
            "web_acls": made["web_acls"],
            "routes": [{**common, **one, "request": {"max_bytes": 1_000_000}} for one in (first, *paths)],
        }
    return made


def part(text: str) -> str:
    """Return the sets and the rules of the web ACL: all that a rule becomes."""
    before, _, after = text.partition("  # Capacity: ")
    sets = [block for block in before.split("\n  # ") if block.startswith(("The addresses", "The expressions"))]
    return "".join(f"# {block}\n" for block in sets) + f"# Capacity: {after.partition('  FirewallAssociation:')[0]}"


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.stem)
def test_a_rule_becomes_this(path: Path, tmp_path: Path) -> None:
    (tmp_path / "closed.json").write_text(json.dumps(CLOSED))
    found = part(export(tmp_path, overlay(yaml.safe_load(path.read_text()))).files[FILE])
    wanted = path.with_suffix(".aws.yaml")
    if os.environ.get("GOLDEN") == "write":
        wanted.write_text(found)
    assert found == wanted.read_text()
