"""A draft: routes with their schemas, and the policy file and schema files that they are written as."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DIALECT = "https://json-schema.org/draft/2020-12/schema"
HEAD = """\
# {title}
# Read it, then: vallum check {file}.  What is not named here does not exist: {hidden}
version: 1
upstreams:
  model:
    url: {upstream}
authenticators:
  keys: {{type: api_key}}
routes:
"""
NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
LINE_MAX_CHARS = 110


@dataclass(kw_only=True)
class RouteDraft:
    """What will be one route.  `notes` are told above it, a line each."""

    name: str
    method: str
    path: str
    body: Mapping[str, Any] | bool | None = None  # a schema; True: any; None: there is none
    parameters: Mapping[str, Any] | None = None  # a schema of {path, query}
    max_bytes: int | None = None
    headers: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def write(
    routes: Iterable[RouteDraft], *, file: str, upstream: str, title: str, hidden: str, notes: Iterable[str] = ()
) -> dict[str, str]:
    """Return the texts of the policy called `file` and of its schemas, by the names of their files."""
    texts: dict[str, str] = {}
    lines = [HEAD.format(title=_plain(title), file=file, hidden=hidden, upstream=json.dumps(upstream))]
    for route in sorted(routes, key=lambda route: (route.path.count("{"), route.path, route.method)):
        lines += [f"  # {_plain(note)}\n" for note in route.notes]
        lines.append(f"  - name: {json.dumps(route.name)}\n")
        lines.append(f"    match: {{methods: [{route.method}], path: {json.dumps(route.path)}}}\n")
        lines.append("    upstream: model\n    auth: {any_of: [keys]}\n    request:\n")
        if route.body is None:
            lines.append("      max_bytes: 0\n")
        elif route.max_bytes is not None:
            lines.append(f"      max_bytes: {route.max_bytes}\n")
        for key, schema in (("schema", route.body), ("parameters", route.parameters)):
            if schema is not None and schema is not True:
                name = f"schemas/{route.name}.{'body' if key == 'schema' else key}.json"
                texts[name] = json.dumps({"$schema": DIALECT, **_mapping(schema)}, indent=2, ensure_ascii=False) + "\n"
                lines.append(f"      {key}: {json.dumps(name)}\n")
        if route.headers:
            lines.append(f"      headers: {json.dumps(list(route.headers))}\n")
    lines += [f"# {_plain(note)}\n" for note in notes]
    return {file: "".join(lines), **texts}


def name_of(words: str, taken: set[str]) -> str:
    """Make a route's name of `words`, one that is not in `taken`, and put it there."""
    stem = NOT_IN_A_NAME.sub("-", words).strip("-.")[:56] or "route"
    name, count = stem, 1
    while name.lower() in taken:  # a file system may not tell letter cases apart
        count += 1
        name = f"{stem}-{count}"
    taken.add(name.lower())
    return name


def _mapping(schema: Mapping[str, Any] | bool) -> Mapping[str, Any]:
    return {"not": {}} if isinstance(schema, bool) else schema


def _plain(text: str) -> str:
    """Keep what others wrote on one line of a comment."""
    line = "".join(sign if sign.isprintable() else " " for sign in text)
    return line if len(line) <= LINE_MAX_CHARS else f"{line[: LINE_MAX_CHARS - 3]}..."
