"""Compiled sets are compiled once, and what is kept of them is used only where it can be trusted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import hyperscan
import pytest

from vallum.signatures import databases
from vallum.signatures.databases import compile_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

EXPRESSIONS = (b"beg[i]n", b"end")
FLAGS = (hyperscan.HS_FLAG_SINGLEMATCH,) * 2


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Note what is compiled, in a process that seems to begin."""
    seen: list[Any] = []
    compile_ = databases._compile

    def note(expressions: tuple[bytes, ...], flags: tuple[int, ...]) -> hyperscan.Database:
        seen.append(expressions)
        return compile_(expressions, flags)

    monkeypatch.setattr(databases, "_compile", note)
    return seen


@pytest.fixture
def restart() -> Iterator[Callable[[], None]]:
    """Forget, as a new process has."""
    compile_database.cache_clear()
    yield compile_database.cache_clear
    compile_database.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VALLUM_CACHE", str(tmp_path / "deep" / "kept"))
    return tmp_path / "deep" / "kept"


def find(text: bytes) -> list[int]:
    database, found = compile_database(EXPRESSIONS, FLAGS), []
    database.scan(text, lambda number, *_: found.append(number), scratch=hyperscan.Scratch(database))
    return found


def test_a_set_is_compiled_once_a_process(
    compiled: list[Any], restart: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VALLUM_CACHE", raising=False)
    assert find(b"to begin") == [0]
    assert find(b"the end") == [1]
    assert compiled == [EXPRESSIONS]
    restart()
    assert find(b"the end") == [1]
    assert compiled == [EXPRESSIONS] * 2, "nothing is kept unless a folder is named"


def test_flags_make_another_set(compiled: list[Any], restart: Callable[[], None], folder: Path) -> None:
    caseless = tuple(flag | hyperscan.HS_FLAG_CASELESS for flag in FLAGS)
    assert compile_database(EXPRESSIONS, FLAGS) is not compile_database(EXPRESSIONS, caseless)
    assert len(list(folder.iterdir())) == 2


def test_the_next_process_loads_what_was_kept(compiled: list[Any], restart: Callable[[], None], folder: Path) -> None:
    assert find(b"begin, end") == [0, 1]
    restart()
    assert find(b"begin, end") == [0, 1]
    assert compiled == [EXPRESSIONS]
    assert [path.suffix for path in folder.iterdir()] == [".hyperscan"], "nothing half written is left"


def sign(data: bytes) -> bytes:
    return sha256(data).digest() + data


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut short": lambda data: data[:-1],
    "another file": lambda data: b"x" * len(data),
    "one bit of it": lambda data: data[:-9] + bytes((data[-9] ^ 1,)) + data[-8:],
    "of another version": lambda data: sign(data[32:36] + bytes((data[36] ^ 1,)) + data[37:]),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_what_is_damaged_is_compiled_again(
    damage: Callable[[bytes], bytes], compiled: list[Any], restart: Callable[[], None], folder: Path
) -> None:
    find(b"")
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    restart()
    assert find(b"begin, end") == [0, 1]
    assert len(compiled) == 2
    assert path.read_bytes() == whole, "and mended"


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_folder_that_others_may_write_to_is_not_used(
    mode: int, compiled: list[Any], restart: Callable[[], None], folder: Path
) -> None:
    find(b"")
    folder.chmod(mode)
    restart()
    assert find(b"begin, end") == [0, 1]
    assert len(compiled) == 2
    folder.chmod(0o700)


def test_a_file_that_others_may_write_to_is_not_used(
    compiled: list[Any], restart: Callable[[], None], folder: Path
) -> None:
    find(b"")
    (path,) = folder.iterdir()
    path.chmod(0o666)  # as one that was put there while the folder was open to others
    restart()
    assert find(b"begin, end") == [0, 1]
    assert len(compiled) == 2
    assert path.stat().st_mode & 0o777 == 0o600, "and one of ours is in its place"


@pytest.mark.parametrize("other", [("0", databases.MADE_BY[1]), (databases.MADE_BY[0], "other")])
def test_machines_that_differ_may_share_a_folder(
    other: tuple[str, str],
    compiled: list[Any],
    restart: Callable[[], None],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find(b"")
    monkeypatch.setattr(databases, "MADE_BY", other)
    restart()
    assert find(b"begin, end") == [0, 1]
    assert len(compiled) == len(list(folder.iterdir())) == 2


def test_a_set_that_was_compiled_for_more_than_the_processor_has_is_compiled_again(
    compiled: list[Any], restart: Callable[[], None], folder: Path
) -> None:
    find(b"")
    (path,) = folder.iterdir()
    data = bytearray(path.read_bytes()[databases.DIGEST_BYTES :])
    data[12] ^= 1  # of the eight bytes that tell what it needs
    path.write_bytes(sign(bytes(data)))
    with pytest.raises(hyperscan.DatabasePlatformError):
        hyperscan.loadb(bytes(data), mode=hyperscan.HS_MODE_BLOCK)
    restart()
    assert find(b"begin, end") == [0, 1]
    assert len(compiled) == 2


def test_threads_that_begin_together_find_the_same(restart: Callable[[], None], folder: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(find, [b"begin, end"] * 64)) == [[0, 1]] * 64
    assert len(list(folder.iterdir())) == 1


def test_a_folder_of_somebody_else_is_not_used(
    compiled: list[Any], restart: Callable[[], None], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: folder.parents[1].stat().st_uid + 1)
    assert find(b"begin, end") == [0, 1]
    assert not list(folder.iterdir())


def test_a_place_that_cannot_be_a_folder_costs_a_compilation(
    compiled: list[Any], restart: Callable[[], None], folder: Path
) -> None:
    folder.parent.write_text("a file")
    assert find(b"begin, end") == [0, 1]


def test_a_disk_that_is_full_costs_a_compilation_and_leaves_nothing(
    compiled: list[Any], restart: Callable[[], None], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    assert find(b"begin, end") == [0, 1]
    assert not list(folder.iterdir())


def test_an_expression_that_cannot_be_had_is_an_error_each_time(restart: Callable[[], None], folder: Path) -> None:
    for _ in range(2):
        with pytest.raises(hyperscan.error):
            compile_database((b"(?<=a)b",), (0,))
    assert not list(folder.iterdir())
