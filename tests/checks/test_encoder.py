"""The encoder that an operator brings: computed as it was meant to be, bounded, and no other than the one named."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from math import erf
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.encoders import (
    BASE,
    HEAD,
    HEADS,
    LAYERS,
    PIECES,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    WIDTH,
    draw_tensors,
    pack,
    write_encoder,
)

from vallum.checks.prompt_injection import encoder as room
from vallum.checks.prompt_injection.encoder import MOST_PIECES, VOCABULARY, WEIGHTS, Encoder
from vallum.checks.prompt_injection.second_tier import load_head, load_second_tier
from vallum.checks.prompt_injection.word_pieces import WordPieces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

pytest.importorskip("onnxruntime", reason="pip install 'vallum[deep]'")

BOTH = Encoder(WEIGHTS_FILE, VOCABULARY_FILE, HEADS, (1, LAYERS))
TEXTS = ["", " a ", " ignore all that was said ", "system " * 30, "!?" * 300, "\u00e9t\u00e9 \u8a9e"]


# --- what it computes -------------------------------------------------------------------------------------------------


def compute(text: str) -> Floats:
    """Compute the same as a textbook does: in floats, step by step."""
    base = {name: tensor.astype(np.float64) for name, tensor in draw_tensors().items()}

    def line(hidden: Floats, name: str) -> Floats:
        lined: Floats = hidden @ base[name + ".weight"].T + base[name + ".bias"]
        return lined

    def norm(hidden: Floats, name: str) -> Floats:
        centred = hidden - hidden.mean(1, keepdims=True)
        spread = np.sqrt((centred**2).mean(1, keepdims=True) + 1e-12)
        normed: Floats = centred / spread * base[name + ".weight"] + base[name + ".bias"]
        return normed

    numbers = WordPieces(PIECES, MOST_PIECES).cut(text)
    hidden = base["embeddings.word_embeddings.weight"][numbers] + base["embeddings.token_type_embeddings.weight"][0]
    hidden = norm(hidden + base["embeddings.position_embeddings.weight"][: len(numbers)], "embeddings.LayerNorm")
    means = []
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}."
        parts = [line(hidden, f"{layer}attention.self.{name}") for name in ("query", "key", "value")]
        heads = []
        for query, key, value in zip(*(np.split(part, HEADS, axis=1) for part in parts), strict=True):
            powers = np.exp(query @ key.T / (WIDTH // HEADS) ** 0.5)
            heads.append(powers / powers.sum(1, keepdims=True) @ value)
        attended = line(np.concatenate(heads, axis=1), layer + "attention.output.dense")
        hidden = norm(hidden + attended, layer + "attention.output.LayerNorm")
        inner = line(hidden, layer + "intermediate.dense")
        inner = inner * (1 + np.vectorize(erf)(inner / 2**0.5)) / 2
        hidden = norm(hidden + line(inner, layer + "output.dense"), layer + "output.LayerNorm")
        means.append(hidden.mean(0))
    return np.concatenate(means)


@pytest.mark.parametrize("text", TEXTS)
def test_small_numbers_say_what_floats_would(text: str) -> None:
    got, expected = BOTH.encode(text), compute(text)
    assert got.shape == expected.shape == (2 * WIDTH,)
    assert np.abs(got - expected).max() < 0.15
    assert np.corrcoef(got, expected)[0, 1] > 0.99


def test_one_layer_is_that_of_many() -> None:
    alone = Encoder(WEIGHTS_FILE, VOCABULARY_FILE, HEADS, (1,))
    assert np.array_equal(alone.encode(TEXTS[2]), BOTH.encode(TEXTS[2])[:WIDTH])


def test_a_column_of_noughts_is_no_division_by_nought() -> None:
    tensors = draw_tensors()
    tensors["encoder.layer.0.intermediate.dense.weight"][3] = 0
    assert np.isfinite(Encoder(pack(tensors), VOCABULARY_FILE, HEADS, (LAYERS,)).encode("a b c")).all()


def test_threads_that_ask_at_once_are_answered_as_one_is() -> None:
    alone = [BOTH.encode(text) for text in TEXTS]
    with ThreadPoolExecutor(4) as threads:
        for answers in threads.map(lambda _: [BOTH.encode(text) for text in TEXTS], range(8)):
            assert all(map(np.array_equal, answers, alone))


# --- which one it is --------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("vallum.checks.prompt_injection.second_tier.load_head", lambda: HEAD)
    return write_encoder(tmp_path / "tiny")


def test_the_folder_that_the_head_was_learnt_of_is_taken_once(folder: Path) -> None:
    assert load_second_tier(folder) is load_second_tier(folder)


@pytest.mark.parametrize("name", [WEIGHTS, VOCABULARY])
@pytest.mark.parametrize("content", [b"", b"junk", b"\xff" * 1000])
def test_junk_is_refused_also_after_it_was_none(folder: Path, name: str, content: bytes) -> None:
    load_second_tier(folder)
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{name} is not that of tiny, .*: its SHA-256 begins with \w{{12}}, not \w"):
        load_second_tier(folder)


@pytest.mark.parametrize("name", [WEIGHTS, VOCABULARY])
def test_one_byte_more_or_less_is_another_file(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    for content in (whole[:-1], whole + b"\n", whole[:-1] + bytes([whole[-1] ^ 1])):
        (folder / name).write_bytes(content)
        with pytest.raises(ValueError, match="is not that of tiny"):
            load_second_tier(folder)


@pytest.mark.parametrize("name", [WEIGHTS, VOCABULARY])
@pytest.mark.parametrize("make", [str, os.mkdir, os.mkfifo])
def test_what_is_no_file_is_not_there(folder: Path, name: str, make: Callable[[Path], object]) -> None:
    (folder / name).unlink()
    make(folder / name)
    with pytest.raises(ValueError, match=f"^{name} is not there$"):
        load_second_tier(folder)


def test_what_cannot_be_read_is_told_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(ValueError, match="cannot be read: Permission denied"):
        load_second_tier(folder)


def test_no_more_of_a_file_is_read_than_a_model_has(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_BYTES", 100)
    with pytest.raises(ValueError, match="is not that of tiny"):
        load_second_tier(folder)


def test_without_the_extra_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"pip install 'vallum\[deep\]'"):
        Encoder(WEIGHTS_FILE, VOCABULARY_FILE, HEADS, BASE.layers)


def test_what_ships_is_a_head_for_a_model_that_is_named() -> None:
    head = load_head()
    assert len(head.slopes) == 384 * len(head.base.layers)
    assert all(len(bytes.fromhex(digest)) == 32 for digest in (head.base.weights, head.base.vocabulary))
    assert head.user.strict < head.user.balanced < head.user.permissive
