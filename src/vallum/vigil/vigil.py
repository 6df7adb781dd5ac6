"""The watches of this process on duty: in step with other processes, swept off the event loop, and kept.

    counters are in      what is known is shared by      and comes back after a restart from
    memory://            nobody else                     a file beside the registry
    embedded://          the workers of this host        a file beside the registry, written by whoever leads
    a store              all replicas                    the store

Rule 1: the request path waits for none of it.  One exchange or one sweep of a watch at a time.
Rule 2: a sweep that fails changes no verdict.  It is said, counted, and tried again.
Rule 3: while the store cannot be asked, each process judges by what it knows, and the log says so once.
Rule 4: a file that does not open is set aside, and said loudly: the watch begins anew, and only reports until it has
        calibrated.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from vallum.config.extraction import plant
from vallum.core.errors import DependencyError
from vallum.extraction.sample import live_through
from vallum.extraction.shared_watch import SharedWatch
from vallum.extraction.watchers import Watchers
from vallum.stores.watch_secret import find_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vallum.core.extraction import Extraction
    from vallum.core.policy import Policy
    from vallum.vigil.post import Post, Posts
    from vallum.vigil.replica import Replica

    Clock = Callable[[], float]

log = logging.getLogger("vallum")

START_S = 10.0
EXCHANGE_S = 0.5
KEEP_S = 60.0  # between two writings of a file
SWEEP_PAUSE_S, SWEEP_PAUSES = 0.5, 9.0  # between two sweeps: so long, and so many times as long as one took
RETRY_S = 10.0  # after a sweep that failed
CLOSING_TRIES, CLOSING_PAUSE_S = 20, 0.05  # for the lease, of those who end at the same time

T = TypeVar("T")


@dataclass
class Figures:
    """What has been done, for metrics."""

    sweeps: int = 0
    failed: int = 0
    last_s: float = 0.0
    refused: int = 0
    leading: int = 0


class Vigil:
    """All watches of this process."""

    def __init__(self, posts: Posts, now: Clock, clock: Clock, registry: str = "") -> None:
        """Have posts made by `posts`; `now` gives Unix seconds, `clock` seconds that never go back.

        A policy that names no seed gets the one in the database at `registry`.
        """
        self.watchers = Watchers(
            lambda rule: SharedWatch(rule.seed(), kind=rule.kind, shared=posts.are_shared, now=now)
        )
        self._making = posts
        self._registry = registry
        self._now = now
        self._clock = clock
        self._thread: ThreadPoolExecutor | None = None
        self._posts: dict[str, Post] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self.figures = Figures()

    def plant(self, policy: Policy) -> None:
        """Give a policy that watches its seed.  It may ask the database: off the event loop.  Raise DependencyError."""
        plant(policy, lambda: find_secret(self._registry))

    def follow(self, policy: Policy) -> None:
        """Watch what a policy names, which has its seed.  Raise DependencyError."""
        self.watchers.keep(policy)
        self.keep(self.watchers.ruled())

    def keep(self, watches: Iterable[tuple[Extraction, Any]]) -> None:
        """Be on duty for these watches, and let go of all others.  Raise DependencyError."""
        wanted = {rule.model: (rule, watch) for rule, watch in watches}
        for name, post in list(self._posts.items()):
            if name not in wanted or wanted[name][1] is not post.watch:
                del self._posts[name]
                task = asyncio.ensure_future(self._leave(post))
                self._leaving.add(task)
                task.add_done_callback(self._leaving.discard)
        for name, (rule, watch) in wanted.items():
            if name not in self._posts:
                self._posts[name] = self._making.make(rule, watch, self.aside)

    async def start(self) -> None:
        """Find out what is known, before the first request; a store that does not answer is not waited for."""
        for post in self._posts.values():
            post.duty = asyncio.ensure_future(self._learn(post))
        duties = [post.duty for post in self._posts.values() if post.duty is not None]
        if duties:
            await asyncio.wait(duties, timeout=START_S)

    def beat(self) -> None:
        """Begin whatever is due.  Call a few times a second."""
        for post in self._posts.values():
            if post.duty is None or post.duty.done():
                post.duty = asyncio.ensure_future(self._attend(post))

    async def close(self) -> None:
        """Hand in and keep what was seen last."""
        posts = list(self._posts.values())
        self._posts.clear()
        await asyncio.gather(*self._leaving, *(self._leave(post) for post in posts))
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
        self._making.close()

    async def aside(self, function: Callable[..., T], *words: Any) -> T:
        """Call a function in the one thread that watches have: what is long does not hold up requests."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="vallum-watch")
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *words)

    # --- one watch

    async def _attend(self, post: Post) -> None:
        now = self._clock()
        if not post.has_learnt:
            await self._learn(post)
        elif now >= post.exchange_due:
            post.exchange_due = now + EXCHANGE_S
            await self._share(post)
        sweeps = post.replica is None or post.replica.sweeps
        if sweeps and now >= post.sweep_after and post.watch.sweep_due(self._now()):
            await self._sweep(post)
        if post.file is not None and now >= post.keep_due and (post.replica is None or post.replica.leads):
            post.keep_due = now + KEEP_S
            await self._keep_file(post)

    async def _learn(self, post: Post) -> None:
        """Begin with what the others know, or with what the file has."""
        await self._share(post)
        post.has_learnt = True
        if not await self._load(post):
            await self._live_through(post)

    async def _share(self, post: Post) -> None:
        if post.replica is None:
            return
        try:
            await post.replica.exchange()
        except DependencyError as error:
            if not post.trouble:
                log.warning("what is known of %s cannot be shared; each process goes by its own: %s", post.name, error)
            post.trouble = str(error)
        else:
            if post.trouble:
                log.info("what is known of %s is shared again", post.name)
            post.trouble = ""
        replicas = [each.replica for each in self._posts.values() if each.replica is not None]
        self.figures.refused = sum(replica.refused for replica in replicas)
        self.figures.leading = sum(replica.leads for replica in replicas)

    async def _sweep(self, post: Post) -> None:
        began = self._clock()
        try:
            for _ in post.watch.end_sweep(await self.aside(post.watch.begin_sweep(self._now()))):
                await asyncio.sleep(0)  # requests go first
        except Exception as error:  # noqa: BLE001  arithmetic on what strangers sent: nobody's request may depend on it
            self.figures.failed += 1
            post.sweep_after = self._clock() + RETRY_S
            log.error(
                "a sweep of %s failed, and verdicts stay as they are: %s: %s", post.name, type(error).__name__, error
            )
            return
        self.figures.sweeps += 1
        self.figures.last_s = self._clock() - began
        post.sweep_after = self._clock() + max(SWEEP_PAUSE_S, SWEEP_PAUSES * self.figures.last_s)
        if post.replica is not None:
            post.replica.publish(whole=False)
            post.exchange_due = 0.0

    async def _load(self, post: Post) -> bool:
        """Begin with what the file has, unless others know better; say whether anything is known now."""
        if post.replica is not None and post.replica.knows:
            return True
        if post.file is None:
            return False
        try:
            content = await self.aside(post.file.load)
            if content is None:
                return False
            self._begin_with(post, await self.aside(self._unpack, post, content))
        except (DependencyError, ValueError) as error:
            aside = post.file.set_aside()
            begins = "its watch begins anew, and only reports until it has calibrated"
            log.error("WHAT WAS KNOWN OF %s IS LOST: %s; it is set aside as %s; %s", post.name, error, aside, begins)
            return False
        return True

    async def _live_through(self, post: Post) -> None:
        """Begin with what a watch knows that has lived through the policy's sample, if it has one."""
        rule = post.rule
        if rule is None or not rule.sample:
            return
        log.info("the watch of %s lives through %d recorded requests", post.name, len(rule.sample))
        try:
            lived = await self.aside(live_through, rule, self._now())
            self._begin_with(post, await self.aside(post.watch.unpack, lived))
        except Exception as error:  # noqa: BLE001  arithmetic on a file: what cannot be learnt from it is waited for
            log.error("the sample of %s teaches nothing: %s: %s", post.name, type(error).__name__, error)

    def _begin_with(self, post: Post, unpacked: Any) -> None:
        if post.replica is None:
            post.watch.restore(unpacked)
        else:
            post.replica.begin_with(unpacked)

    def _unpack(self, post: Post, content: bytes) -> Any:
        return post.watch.unpack(post.seal.open(content))

    async def _keep_file(self, post: Post) -> None:
        assert post.file is not None
        write, file = post.watch.capture(), post.file
        try:
            await self.aside(lambda: file.save(post.seal.close(write())))
        except DependencyError as error:
            log.error("what is known of %s cannot be kept: %s", post.name, error)

    async def _leave(self, post: Post) -> None:
        if post.duty is not None:
            await asyncio.gather(post.duty, return_exceptions=True)
        if not post.has_learnt:
            return  # what was kept before stays
        is_saver = True
        if post.replica is not None:
            is_saver = await self._hand_over(post, post.replica)
        if post.file is not None and is_saver:
            await self._keep_file(post)

    async def _hand_over(self, post: Post, replica: Replica) -> bool:
        """Hand in the last; say whether it is for this process to write the file."""
        try:
            for _ in range(CLOSING_TRIES if post.file is not None else 1):
                if await replica.close():
                    return True
                await asyncio.sleep(CLOSING_PAUSE_S)
        except DependencyError as error:
            log.warning("what was last seen of %s was not handed in: %s", post.name, error)
            return True  # somebody has to
        return False
