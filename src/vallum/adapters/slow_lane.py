"""The slow lane: where models that take milliseconds are asked, so that the event loop serves others meanwhile.

Rule 1: one thread.  A model that is asked twice at once takes no less time, and a worker has a core.
Rule 2: at most WAITING_MAX texts are in hand, and no answer is waited for longer than WAIT_S: beyond that the question
        fails at once, and the route's `on_error` decides.
Rule 3: whoever stops waiting leaves no work behind: what has not begun is never done.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from vallum.core.errors import DependencyError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from vallum.core.effects import Classify

WAITING_MAX = 32
WAIT_S = 0.5


class SlowLane:
    """Asks models, one text after the other."""

    def __init__(self, waiting_max: int = WAITING_MAX, wait_s: float = WAIT_S) -> None:
        """Take no more than `waiting_max` texts at a time, and wait `wait_s` seconds for each."""
        self._waiting_max, self._wait_s = waiting_max, wait_s
        self._room = BoundedSemaphore(waiting_max)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vallum-slow-lane")

    async def ask(self, question: Classify) -> float:
        """Return what the model says.  Raise DependencyError where there is no room, no answer in time, or a fault."""
        if not self._room.acquire(blocking=False):
            raise DependencyError(f"{self._waiting_max} texts are waiting for the model")
        asked = self._thread.submit(question.classifier.classify, question.text)
        asked.add_done_callback(self._leave)
        try:
            # Cancelling what is waited for cancels what was asked, as long as that has not begun.
            return await asyncio.wait_for(asyncio.wrap_future(asked), self._wait_s)
        except TimeoutError:
            raise DependencyError(f"the model gave no answer within {self._wait_s:g} s") from None
        except Exception as error:  # noqa: BLE001  whatever a model raises; its words may quote the text
            raise DependencyError(f"the model failed: {type(error).__name__}") from None

    def _leave(self, _: Future[float]) -> None:
        self._room.release()

    def close(self) -> None:
        """Finish what has begun, and nothing else."""
        self._thread.shutdown(wait=True, cancel_futures=True)
