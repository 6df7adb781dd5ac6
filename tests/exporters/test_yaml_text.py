"""YAML that is written reads back as it was meant, whatever stands in its strings."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.exporters.kong.notation import Reference, scalar
from vallum.exporters.yaml_text import Noted, write_scalar, write_yaml

HOSTILE = [
    "no",
    "null",
    "1e3",
    "0x1",
    "a: b",
    "- a",
    "#c",
    "'",
    '"',
    "a\nb: c",
    "{a",
    "*a",
    "&a",
    "!a",
    "é\u2028\U0001f600",
]
texts = st.text(st.characters(codec="utf-8"))
names = st.text(st.characters(codec="utf-8"), max_size=40)  # a key of more than 1,024 signs is none in YAML
values = st.recursive(
    st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize("text", ["", " ", "3.0", "~", *HOSTILE])
def test_a_string_reads_back(text: str) -> None:
    assert msgspec.yaml.decode(f"a: {write_scalar(text)}") == {"a": text}


@given(st.dictionaries(names, st.lists(st.dictionaries(names, values, min_size=1, max_size=3), max_size=3), max_size=3))
def test_a_document_reads_back(document: dict[str, list[object]]) -> None:
    assert (msgspec.yaml.decode(write_yaml(document)) or {}) == document


@given(texts)
def test_no_string_or_comment_is_a_template_of_decks_or_ends_its_line(text: str) -> None:
    written = write_yaml({"a": Noted(f'${{{{ env "DECK_X" }}}}{text}', f"${{{{ {text}\n{text}")}, text)
    assert "${{" not in written
    assert msgspec.yaml.decode(written) == {"a": f'${{{{ env "DECK_X" }}}}{text}'}
    assert sum(bool(line) and not line.startswith("#") for line in written.splitlines()) == 1


def test_comments_stand_above_what_they_are_of() -> None:
    document = {"a": [Noted({"b": Noted(1, "of b")}, "of the item"), Noted(None, "of nothing"), "c"]}
    assert write_yaml(document, "of the file") == (
        "# of the file\n\na:\n  # of the item\n  # of b\n  - b: 1\n  # of nothing\n  - c\n"
    )


def test_a_reference_stays_one_and_is_nothing_else() -> None:
    assert scalar(Reference("X-Key:", "DECK_KEY")) == "'X-Key:${{ env \"DECK_KEY\" }}'"
    assert scalar(Reference("it's ${{", "DECK_KEY")) == "'it''s $ {{${{ env \"DECK_KEY\" }}'"
    for before, variable in (("a\nb", "DECK_KEY"), ("a", 'DECK" }} {{')):
        with pytest.raises(ValueError, match="a reference is"):
            scalar(Reference(before, variable))


def test_a_long_list_stands_item_by_item() -> None:
    addresses = [f"192.0.2.{number}" for number in range(40)]
    written = write_yaml({"deny": addresses})
    assert max(map(len, written.splitlines())) < 40
    assert msgspec.yaml.decode(written) == {"deny": addresses}
