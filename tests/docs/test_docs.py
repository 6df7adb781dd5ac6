"""The docs say what the code does: pages are fresh, policies compile, links lead somewhere, nothing is undescribed."""

import re
import types
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

import pytest

from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.core.content import Content

ROOT = Path(__file__).parents[2]
HAND_WRITTEN = [
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    ROOT / "changes" / "README.md",
    ROOT / "examples" / "README.md",
]
PAGES = [*HAND_WRITTEN, *sorted((ROOT / "docs" / "reference").glob("*.md"))]
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


generator = import_module("scripts.generate_docs")


class Block(NamedTuple):
    """A fenced block: its page, its line, its language and its text."""

    page: Path
    line: int
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found["language"], dedent(found["text"]))
        for found in FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text("utf-8"))


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


# --- generated pages --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", generator.PAGES)
def test_a_generated_page_is_fresh(page: str) -> None:
    assert generator.find_stale({page: generator.PAGES[page]()}) == ""


def test_every_generated_page_has_a_maker() -> None:
    assert {path.name for path in (ROOT / "docs" / "reference").glob("*.md")} == set(generator.PAGES)


def test_check_tells_a_stale_page_with_a_diff(tmp_path: Path) -> None:
    fresh = generator.reasons_page()
    (tmp_path / "reasons.md").write_text(fresh.replace("429", "428"), "utf-8")

    diff = generator.find_stale({"reasons.md": fresh}, tmp_path)

    assert "-| 428 |" in diff
    assert "+| 429 |" in diff


PLUGINS = list(generator.plugin_modules())


def test_every_room_has_plugins() -> None:
    assert {room for room, _, _ in PLUGINS} == {room for room, _, _ in generator.ROOMS}


@pytest.mark.parametrize(("room", "plugin", "module"), PLUGINS, ids=[module.__name__ for _, _, module in PLUGINS])
def test_a_plugin_has_its_five_headings(room: str, plugin: str, module: types.ModuleType) -> None:
    summary, parts, _ = generator.read_block(module)

    assert summary
    assert list(parts) == list(generator.HEADINGS)


def test_a_plugin_that_does_not_say_what_it_misses_is_an_error() -> None:
    module = types.ModuleType(
        "mute", "Stop it.\n\nWhat it stops\n    It.\nConfig\n    None.\nCost\n    None.\nMisses\n"
    )

    with pytest.raises(generator.DocsError, match="mute: the doc block lacks Misses, Example"):
        generator.read_block(module)


def test_every_config_key_has_a_description() -> None:
    missing = [f"{one.title}: {key.place}" for one in generator.sections() for key in one.keys if not key.text]
    missing += [one.title for one in generator.sections() if not one.text]

    assert missing == []


COMMANDS = list(generator.commands())


@pytest.mark.parametrize("context", [context for _, context in COMMANDS], ids=[path for path, _ in COMMANDS])
def test_a_command_has_an_example_in_its_help(context: Any) -> None:
    text = context.command.get_help(context)
    is_group = hasattr(context.command, "commands")

    assert is_group or f"Example:  {context.command_path}" in text


# --- what is written by hand ------------------------------------------------------------------------------------------

POLICIES = [
    block
    for page in HAND_WRITTEN
    for block in blocks(page)
    if block.language in ("yaml", "yml") and block.text.startswith("version: 1")
]


def test_the_docs_show_whole_policies() -> None:
    assert {name(block.page) for block in POLICIES} >= {"docs/policy.md", "docs/quickstart.md"}


@pytest.mark.parametrize("block", POLICIES, ids=lambda block: f"{name(block.page)}:{block.line}")
def test_a_policy_in_the_docs_compiles(block: Block) -> None:
    # As if it stood in examples/, so that the schema beside it is found.
    source = parse_source(ROOT / "examples" / "docs.yaml", block.text.encode(), {})

    _, policy = load_policy(source)

    assert policy.routes


LINKS = [
    (page, found["target"])
    for page in PAGES
    for found in LINK.finditer(CODE.sub("`", prose(page)))
    if "://" not in found["target"]
]


@pytest.mark.parametrize(("page", "target"), LINKS, ids=[f"{name(page)}>{target}" for page, target in LINKS])
def test_a_link_leads_somewhere(page: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    found = (page.parent / path).resolve() if path else page

    assert found.is_relative_to(ROOT)
    assert found.exists()
    if anchor:
        assert anchor in {generator.slug(heading) for heading in HEADING.findall(prose(found))}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_anchors_of_a_page_are_unique(page: Path) -> None:
    anchors = [generator.slug(heading) for heading in HEADING.findall(prose(page))]

    assert sorted(set(anchors)) == sorted(anchors)


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / found["target"].partition("#")[0]).resolve() for found in LINK.finditer(prose(index))}

    assert linked >= {page.resolve() for page in PAGES if (ROOT / "docs") in page.parents and page != index}


def test_the_check_that_the_architecture_page_shows_works() -> None:
    (shown,) = (
        block for block in blocks(ROOT / "docs" / "architecture.md") if block.text.startswith('"""Refuse text with')
    )
    module = types.ModuleType("links")
    exec(compile(shown.text, "links.py", "exec"), module.__dict__)  # our own page

    check = module.Links(module.LinksConfig(max=1))
    _, parts, _ = generator.read_block(module)

    assert check.inspect(Content({"text": "see http://a and http://b"})) is not None
    assert check.inspect(Content({"text": "see http://a"})) is None
    assert list(parts) == list(generator.HEADINGS)
