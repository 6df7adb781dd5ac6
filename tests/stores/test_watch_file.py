"""A watch's file: whole or not at all, for its owner alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vallum.core.errors import DependencyError
from vallum.stores import watch_file
from vallum.stores.watch_file import WatchFile


def test_what_was_saved_last_is_loaded(tmp_path: Path) -> None:
    file = WatchFile(tmp_path / "vallum.watch" / "digits")
    assert file.load() is None
    for content in (b"one", b"and another"):
        file.save(content)
        assert WatchFile(file.path).load() == content
    assert [path.name for path in file.path.parent.iterdir()] == ["digits"]


def test_it_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        file = WatchFile(tmp_path / "vallum.watch" / "digits")
        file.save(b"one")
    finally:
        os.umask(before)
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_crash_in_the_middle_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = WatchFile(tmp_path / "digits")
    file.save(b"old")

    def fail(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DependencyError, match="No space left"):
        file.save(b"new")
    assert file.load() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]


def test_nobody_has_it_write_elsewhere(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    file = WatchFile(tmp_path / "digits")
    (tmp_path / f"digits.{os.getpid()}.new").symlink_to(victim)
    file.save(b"new")
    assert victim.read_bytes() == b"precious"
    assert not file.path.is_symlink()
    assert file.load() == b"new"


def test_what_cannot_be_read_or_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    with pytest.raises(DependencyError, match="cannot be read"):
        WatchFile(tmp_path / "digits").load()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DependencyError, match="cannot be written"):
        WatchFile(tmp_path / "file" / "digits").save(b"new")


def test_what_does_not_open_is_set_aside(tmp_path: Path) -> None:
    file = WatchFile(tmp_path / "digits")
    file.save(b"broken")
    assert file.set_aside() == tmp_path / "digits.refused"
    assert file.load() is None
    assert (tmp_path / "digits.refused").read_bytes() == b"broken"


def test_no_more_is_read_than_was_ever_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_file, "FILE_MAX_BYTES", 10)
    file = WatchFile(tmp_path / "digits")
    file.save(bytes(1000))
    assert len(file.load() or b"") == 11
