"""Records on disk: batches, files of a bounded size and number, and the way back from a request id."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from vallum.core.errors import DependencyError
from vallum.core.requestid import compose_id
from vallum.stores import records as module
from vallum.stores.records import Records, find_record

if TYPE_CHECKING:
    from pathlib import Path


def record(number: int, **more: Any) -> dict[str, Any]:
    return {"request_id": compose_id(1_700_000_000 + number, number.to_bytes(10)), "number": number, **more}


def lines_of(folder: Path) -> list[str]:
    return [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def read_all(folder: Path) -> list[int]:
    return [json.loads(line)["number"] for line in lines_of(folder)]


def test_records_are_written_in_batches_and_in_order(tmp_path: Path) -> None:
    records = Records(tmp_path)
    for number in range(3):
        records.add(record(number))
    assert list(tmp_path.iterdir()) == [], "nothing is written before a flush"
    records.write(records.take())
    records.add(record(3))
    records.write(records.take())
    records.write(records.take())
    assert read_all(tmp_path) == [0, 1, 2, 3]
    records.close()
    assert records.lost == 0


def test_closing_writes_what_is_held(tmp_path: Path) -> None:
    records = Records(tmp_path / "new" / "folder")
    records.add(record(1))
    records.close()
    records.close()
    assert read_all(tmp_path / "new" / "folder") == [1]


def test_a_folder_that_is_made_is_the_operators_own(tmp_path: Path) -> None:
    records = Records(tmp_path / "records")
    records.add(record(1))
    records.close()
    assert (tmp_path / "records").stat().st_mode & 0o077 == 0


def test_nothing_to_write_makes_no_file(tmp_path: Path) -> None:
    Records(tmp_path / "records").close()
    assert not (tmp_path / "records").exists()


def test_files_are_of_a_bounded_size_and_number(tmp_path: Path) -> None:
    records = Records(tmp_path, max_bytes=200, max_files=3)
    for number in range(50):
        records.add(record(number))
        records.write(records.take())
    records.close()
    files = sorted(tmp_path.glob("*.jsonl"))
    assert len(files) == 3
    assert all(path.stat().st_size < 400 for path in files)
    kept = read_all(tmp_path)
    assert kept == list(range(kept[0], 50)), "the oldest went, the newest are whole"


def test_a_new_process_begins_a_new_file_and_keeps_the_old(tmp_path: Path) -> None:
    for number in range(3):
        records = Records(tmp_path)
        records.add(record(number))
        records.close()
    assert len(list(tmp_path.glob("*.jsonl"))) == 3
    assert read_all(tmp_path) == [0, 1, 2]


def test_what_is_held_is_bounded_and_what_is_lost_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_MAX", 2)
    records = Records(tmp_path)
    for number in range(5):
        records.add(record(number))
    records.close()
    assert read_all(tmp_path) == [0, 1]
    assert records.lost == 3


def test_a_folder_that_cannot_be_written_loses_records_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    records = Records(tmp_path / "taken")
    for number in range(2):
        records.add(record(number))
    records.write(records.take())
    assert records.lost == 2
    (tmp_path / "taken").unlink()
    records.add(record(2))
    records.close()
    assert records.lost == 2
    assert read_all(tmp_path / "taken") == [2]


def test_records_go_to_standard_output_where_there_is_no_folder(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    records = Records(None)
    records.add(record(7))
    records.close()
    assert json.loads(capfdbinary.readouterr().out)["number"] == 7


def test_a_record_is_found_by_its_request_id(tmp_path: Path) -> None:
    records = Records(tmp_path, max_bytes=200, max_files=100)
    written = [record(number, text="ü\n") for number in range(20)]
    for entry in written:
        records.add(entry)
        records.write(records.take())
    records.close()
    assert [find_record(tmp_path, entry["request_id"]) for entry in written] == written


@pytest.mark.parametrize("request_id", ["", "none", '"', "0", '","number":3'])
def test_what_was_not_recorded_is_not_found(tmp_path: Path, request_id: str) -> None:
    records = Records(tmp_path)
    records.add(record(3))
    records.close()
    assert find_record(tmp_path, request_id) is None
    assert find_record(tmp_path / "none", request_id) is None


def test_an_id_that_another_record_quotes_is_not_its_own(tmp_path: Path) -> None:
    records = Records(tmp_path)
    wanted = record(1)
    records.add(record(2, inner={"request_id": wanted["request_id"]}))
    records.add(wanted)
    records.close()
    assert find_record(tmp_path, wanted["request_id"]) == wanted


def test_a_line_that_was_cut_off_by_a_crash_hides_no_other(tmp_path: Path) -> None:
    records = Records(tmp_path)
    wanted = record(1)
    records.add(wanted)
    records.close()
    torn = json.dumps(record(2), separators=(",", ":"))[:-5]
    (tmp_path / f"{record(2)['request_id']}-1.jsonl").write_text(torn)
    assert find_record(tmp_path, record(2)["request_id"]) is None
    assert find_record(tmp_path, wanted["request_id"]) == wanted


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = 1_700_000_000.0

    def __call__(self) -> float:
        return self.at


def test_records_are_deleted_by_age_and_files_are_begun_in_time(tmp_path: Path) -> None:
    clock = Clock()
    records = Records(tmp_path, keep_s=1000.0, now=clock)
    for number in range(4):
        records.add(record(number * 400))
        records.write(records.take())
        for path in tmp_path.glob("*.jsonl"):
            if json.loads(path.read_text().splitlines()[-1])["number"] == number * 400:
                os.utime(path, (clock.at, clock.at))
        clock.at += 400
    records.write([])
    records.close()
    assert len(list(tmp_path.glob("*.jsonl"))) == 2, "what is younger than 1000 s"
    assert read_all(tmp_path) == [800, 1200]


def test_without_an_age_nothing_is_deleted_by_it(tmp_path: Path) -> None:
    clock = Clock()
    records = Records(tmp_path, now=clock)
    records.add(record(1))
    records.write(records.take())
    clock.at += 1e9
    records.write([])
    records.close()
    assert read_all(tmp_path) == [1]


async def test_a_record_is_found_where_it_is_held_and_on_disk(tmp_path: Path) -> None:
    records = Records(tmp_path)
    wanted = record(7)
    records.add(record(6))
    records.add(wanted)
    assert await records.find(wanted["request_id"]) == wanted
    records.write(records.take())
    records.add(record(8))
    assert await records.find(wanted["request_id"]) == wanted
    assert await records.find(record(9)["request_id"]) is None
    assert await records.find("../../etc/passwd") is None
    records.close()
    with pytest.raises(DependencyError):
        await Records(None).find(wanted["request_id"])
