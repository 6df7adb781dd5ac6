"""`vallum init`: a policy file to start from."""

from __future__ import annotations

import json
from difflib import get_close_matches

import click

from vallum.cli.terminal import DEFAULTS
from vallum.presets import PRESETS
from vallum.presets.paths import PATHS, method

DEFAULT_UPSTREAM = "http://127.0.0.1:9000"
TITLE = "# What may come in, what may go out.  `vallum check` explains it."
HEAD = (
    TITLE
    + """
version: 1
listen: {{address: "${{VALLUM_LISTEN:-127.0.0.1:8080}}"}}
admin: {{address: "${{VALLUM_ADMIN:-127.0.0.1:8081}}"}}

upstreams:
  model: {{url: {upstream}, timeout_s: 120}}

authenticators:
  keys: {{type: api_key}}

routes:
"""
)
QUOTAS = ("60 per minute", "2000 per day", "{limit: 600 per minute, per: ip}")
TOKENS = "{limit: 100000 per minute, unit: tokens}"
MAX_BYTES, FILE_MAX_BYTES = 1_048_576, 8_388_608
LINE_MAX_CHARS = 100


@click.command(short_help="Print a policy to start from.")
@click.option("--upstream", metavar="URL", help="The endpoint to protect.")
@click.option(
    "--preset",
    "wanted",
    multiple=True,
    metavar="NAME",
    help="A format that it speaks, such as ollama.chat, or all of a family: ollama.  May be given again.",
)
def init(upstream: str | None, wanted: tuple[str, ...]) -> None:
    """Print a policy as a start of your own: of the formats that you name, or the one that `serve --upstream` runs.

    \b
    Example:  vallum init --preset ollama --upstream http://127.0.0.1:11434 > vallum.yaml
              vallum check && vallum serve

    For an upstream with an OpenAPI document, as FastAPI has, see `vallum import-openapi`.
    """
    if wanted:
        click.echo(_draft(list(dict.fromkeys(name for word in wanted for name in _names(word))), upstream), nl=False)
        return
    text = DEFAULTS.read_text("utf-8")
    if upstream:
        text = text.replace(f"${{VALLUM_UPSTREAM:-{DEFAULT_UPSTREAM}}}", upstream)
    lines = text.splitlines()
    start = next(index for index, line in enumerate(lines) if not line.startswith("#"))
    click.echo("\n".join([TITLE, *lines[start:]]))


def _names(word: str) -> list[str]:
    """Return the presets that `word` names: itself, or those of its family that have a path each."""
    if word in PRESETS:
        return [word]
    family = {PATHS[name]: name for name in reversed(list(PRESETS)) if name.startswith(f"{word}.") and name in PATHS}
    if family:
        return sorted(family.values())
    members = [name for name in PRESETS if name.startswith(f"{word}.")]
    near = members or get_close_matches(word, PRESETS, 3, 0.4) or list(PRESETS)
    raise click.BadParameter(f"{word!r} is none; there is {', '.join(near)}", param_hint="--preset")


def _draft(names: list[str], upstream: str | None) -> str:
    """Write a policy with a route for each of these presets."""
    where = json.dumps(upstream or f"${{VALLUM_UPSTREAM:-{DEFAULT_UPSTREAM}}}")
    return HEAD.format(upstream=where) + "\n".join(_route(name) for name in names)


def _route(name: str) -> str:
    preset = PRESETS[name]
    asked, form = method(name), preset.request
    path = PATHS.get(name)
    yours = "" if path and "MODEL" not in path else "  # your own path"
    quotas = (*QUOTAS, TOKENS) if preset.meter is not None else QUOTAS
    lines = [
        f"  - name: {name}",
        f'    match: {{methods: [{asked}], path: "{path or "/predict"}"}}{yours}',
        "    upstream: model",
        f"    preset: {name}",
        f"    preset_version: {preset.version}",
        "    auth: {any_of: [keys]}",
        "    quotas:",
        *(f"      - {quota}" for quota in quotas),
    ]
    if asked == "POST" and form.media_types:
        lines += ["    request:", f"      max_bytes: {FILE_MAX_BYTES if form.attachments else MAX_BYTES}"]
        if form.bounds:
            bounds = [f"{key}: {bound.default}" for key, bound in form.bounds.items()]
            lines += _remark("to bound anew, by name", "bounds: {", bounds, "}")
        lines += ["    checks:", "      - {type: prompt_injection}"]
    if preset.answer.withheld:
        lines += ["    response:", "      disclose: []"]
        lines += _remark("withheld, until it is named there", "", list(preset.answer.withheld), "")
    return "\n".join([*lines, ""])


def _remark(title: str, before: str, items: list[str], after: str) -> list[str]:
    """Write items as a comment, wrapped."""
    lines = [f"      # {title}: {before}"]
    for index, item in enumerate(items):
        piece = item + (after if index + 1 == len(items) else ", ")
        if len(lines[-1]) + len(piece) > LINE_MAX_CHARS:
            lines.append("      #   ")
        lines[-1] += piece
    return [line.rstrip() for line in lines]
