"""The watches on duty: swept off the loop, kept in a file, and never in a request's way."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.vigil.conftest import NAMES, Counting

from vallum.core.extraction import Extraction
from vallum.stores.seal import Seal
from vallum.vigil.post import Posts
from vallum.vigil.vigil import KEEP_S, RETRY_S, Vigil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T0 = 1_700_000_000.0
RULE = Extraction("digits", "vector", lambda _: (), seed=lambda: b"secret")
SEAL = Seal(b"secret", "digits.vector")


class Swept(Counting):
    """A watch that sweeps when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.due = False
        self.find: Callable[[], Any] = lambda: "nobody"
        self.found: list[Any] = []

    def sweep_due(self, now: float) -> bool:
        return self.due

    def begin_sweep(self, now: float) -> Callable[[], Any]:
        return self.find

    def end_sweep(self, found: Any) -> Iterator[None]:
        self.due = False
        self.found.append(found)
        yield


class House:
    """A vigil on a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.now = 100.0
        self.folder = folder
        self.vigil = Vigil(Posts(None, folder, lambda: self.now), lambda: T0 + self.now, lambda: self.now)

    async def beat(self, step_s: float = 1.0) -> None:
        self.now += step_s
        self.vigil.beat()
        duties = [post.duty for post in self.vigil._posts.values() if post.duty is not None]
        await asyncio.gather(*duties)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def begin(house: House, watch: Swept | None = None) -> Swept:
    watch = watch or Swept()
    house.vigil.keep([(RULE, watch)])
    await house.vigil.start()
    return watch


async def test_what_is_known_comes_back_after_the_end(house: House) -> None:
    watch = await begin(house)
    watch.note(NAMES[0], 3)
    watch.judged = b"mallory is named"
    await house.vigil.close()
    again = House(house.folder)
    later = await begin(again)
    assert (later.counts(), later.judged) == ({NAMES[0]: 3}, b"mallory is named")
    await again.vigil.close()


async def test_what_is_known_is_kept_every_minute_for_who_is_killed(house: House) -> None:
    watch = await begin(house)
    await house.beat()
    watch.note(NAMES[0], 3)
    await house.beat(KEEP_S - 1)
    killed = await begin(House(house.folder))
    assert killed.counts() == {}
    await house.beat(2)
    killed = await begin(House(house.folder))
    assert killed.counts() == {NAMES[0]: 3}


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"VLw9" + bytes(40), SEAL.close(b"nonsense"), SEAL.close(b"")[:-1]]
)
async def test_a_broken_file_is_set_aside_and_said_loudly(
    house: House, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = house.folder / "digits.vector.watch"
    path.write_bytes(content)
    watch = await begin(house)
    assert (watch.counts(), watch.judged) == ({}, b"")
    assert any("WHAT WAS KNOWN OF digits IS LOST" in line for line in caplog.messages)
    assert path.with_suffix(".refused").read_bytes() == content
    watch.note(NAMES[0])
    await house.vigil.close()
    assert path.exists()


async def test_a_sweep_runs_in_another_thread_and_one_at_a_time(house: House) -> None:
    watch = await begin(house)
    released, running = threading.Event(), []

    def find() -> str:
        running.append(threading.current_thread())
        assert released.wait(10)
        return "mallory"

    watch.find, watch.due = find, True
    house.vigil.beat()
    while not running:  # noqa: ASYNC110  in another thread
        await asyncio.sleep(0)
    for _ in range(5):
        house.now += 100
        house.vigil.beat()
        await asyncio.sleep(0)
    assert watch.found == []
    released.set()
    await house.beat()
    assert watch.found == ["mallory"]
    assert running == [running[0]] != [threading.main_thread()]
    assert house.vigil.figures.sweeps == 1


async def test_a_sweep_that_fails_is_said_counted_and_tried_again(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    watch = await begin(house)

    def fail() -> str:
        raise FloatingPointError("a matrix that has no inverse")

    good, watch.find, watch.due = watch.find, fail, True
    for _ in range(3):
        await house.beat()
    assert (house.vigil.figures.failed, watch.found) == (1, [])
    assert "a sweep of digits failed" in caplog.text
    watch.find = good
    await house.beat(RETRY_S)
    assert (house.vigil.figures.sweeps, watch.found) == (1, ["nobody"])


async def test_a_watch_that_is_no_longer_wanted_is_kept_and_another_begins(house: House) -> None:
    watch = await begin(house)
    watch.note(NAMES[0], 3)
    house.vigil.keep([(RULE, watch)])
    assert house.vigil._posts["digits"].watch is watch
    house.vigil.keep([])
    await asyncio.gather(*house.vigil._leaving)
    back = Swept()
    house.vigil.keep([(RULE, back)])
    await house.beat()
    assert back.counts() == {NAMES[0]: 3}


async def test_a_file_that_cannot_be_written_is_said_and_stops_nothing(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    watch = await begin(house)
    (house.folder / "digits.vector.watch").mkdir()
    (house.folder / "digits.vector.watch" / "full").write_bytes(b"")
    watch.due = True
    with caplog.at_level(logging.ERROR):
        await house.beat()
        await house.vigil.close()
    assert "cannot be kept" in caplog.text
    assert watch.found == ["nobody"]


async def test_without_a_watch_there_is_no_thread_and_no_task(house: House) -> None:
    house.vigil.keep([])
    await house.vigil.start()
    before = asyncio.all_tasks()
    await house.beat()
    await house.vigil.close()
    assert asyncio.all_tasks() == before
    assert house.vigil._thread is None
