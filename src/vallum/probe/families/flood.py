"""Flood: whether the limit that is promised is the limit that holds, to the last request."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Sequence
from typing import Any

from vallum.probe.catalogue import read_corpus
from vallum.probe.finding import Outcome, UntestableError, held, weak
from vallum.probe.promises import Limit
from vallum.probe.session import Key, Session, retry_after
from vallum.probe.wire import Answer

BEYOND = 5  # requests over the limit that are sent at once
BLIND, BLIND_QUICK = 150, 40  # requests that are sent where no limit is promised
AT_ONCE_MAX = 256
JITTER_S = 0.25  # by which our clock may see a window otherwise than the endpoint's
WAIT_FACTOR = 1.25  # of the window: a counter that keeps sums for parts of it tells a little more than the truth
RESET = re.compile(r"t=(\d+)")
LEAD_S = 1.6  # before the edge of a window, since fields tell whole seconds
LEFT_S = 3.0


async def number(session: Session) -> Outcome:
    """Use up one key's limit, one request after the other, and count what was served."""
    limit = session.promises.limit
    if limit is None:
        return await _find_any(session)
    key = _fresh(session, limit)
    before, began = key.served_within(limit.window_s, time.monotonic()), time.monotonic()
    answer = Answer(0)
    for _ in range(limit.count - before + 2):
        answer = await session.ask(key=key)
        if answer.status == 429:
            break
    if time.monotonic() - began >= limit.window_s:
        raise UntestableError(f"{limit.count} requests take longer than the window of {limit.window_s:g} s")
    served = key.served_within(limit.window_s, time.monotonic())
    told = f"{served} of {limit.count} in {limit.window_s:g} s, as {session.promises.source} says; then {answer}"
    if served > limit.count:
        return weak(f"more than the limit of {limit.count} in {limit.window_s:g} s is served", told)
    if served < limit.count:
        raise UntestableError(f"the key was refused after {told}: it was used before, or another limit holds")
    session.over = (key, answer)
    return held(f"exactly {limit.count} in {limit.window_s:g} s are served, and not one more", told)


async def race(session: Session) -> Outcome:
    """Send more than the limit at one moment: a counter that reads first and writes later lets too many through."""
    limit = session.promises.limit
    if limit is None:
        raise UntestableError("no limit is known; name the policy with --policy")
    key = _fresh(session, limit)
    count = limit.count - key.served_within(limit.window_s, time.monotonic()) + BEYOND
    if count > AT_ONCE_MAX:
        raise UntestableError(f"a limit of {limit.count} is more than is sent at once ({AT_ONCE_MAX})")
    answers = await session.burst(key, count)
    served = key.served_within(limit.window_s, time.monotonic())
    told = f"{served} served of {count} at once; the limit is {limit.count} in {limit.window_s:g} s"
    if served > limit.count:
        return weak("requests at the same moment get through above the limit", told)
    if not any(answer.status == 429 for answer in answers):
        raise UntestableError(f"nothing was refused for a quota, though {told}")
    return held("requests at the same moment stay within the limit", told)


async def wait_told(session: Session) -> Outcome:
    """Look whether the refusal says when to come back, which keeps honest clients from knocking."""
    _, answer, limit = _over(session)
    value, reset = answer.get("retry-after"), RESET.search(answer.get("ratelimit"))
    if not value.isdigit() and reset is None:
        return weak("a refusal for a quota does not say when to come back", f"429 {_limits(answer)}")
    wait_s = retry_after(answer, float(reset[1]) if reset else 0.0)
    if limit is not None and not 0 < wait_s <= WAIT_FACTOR * limit.window_s + 1:
        return weak("a refusal names a wait that cannot be right", f"Retry-After: {value}, window {limit.window_s:g} s")
    return held(f"a refusal for a quota says to come back in {wait_s:g} s", f"429 {_limits(answer)}")


async def bypass(session: Session) -> Outcome:
    """Ask on with a key that is over its limit, as if from elsewhere, by other spellings and other fields."""
    key, _, _ = _over(session)
    tries = session.some([tuple(pair) for pair in read_corpus("flood")["fields"]], 5)
    path = session.target.path
    targets = [f"{path}?probe=1", f"{path}/", f"/{path}", f"{path}?"]
    name, value = (*session.target.key_fields(key.text), ("", ""))[0]
    secret = value.removeprefix("Bearer ")
    forms = [f"bearer {secret}", f"BEARER {secret}", f"Bearer  {secret}"] if value.startswith("Bearer ") else []
    served = [": ".join(pair) for pair in tries if (await _knock(session, key, fields=[pair])).ok]
    served += [target for target in targets if (await _knock(session, key, target=target)).ok]
    served += [form[:8] for form in forms if (await _knock(session, Key(None), fields=[(name, form)])).ok]
    if served:
        return weak(f"the limit is got round in {len(served)} ways", *served[:6])
    return held(f"the limit holds against {len(tries) + len(targets) + len(forms)} ways to look like somebody else")


async def amplification(session: Session) -> Outcome:
    """Ask for answers without measure: one request, and the work of a thousand."""
    document = session.target.document
    if not isinstance(document, dict) or not {"messages", "prompt", "inputs"} & set(document):
        raise UntestableError("this API has no member that multiplies the work")
    served = []
    for ask in read_corpus("flood")["asks"]:
        answer = await session.ask(document | ask, label=f"asking for {json.dumps(ask)}")
        if answer.ok:
            served.append(f"{json.dumps(ask)}: {answer}")
    if served:
        return weak("one request may ask for the work of many", *served)
    return held("answers without measure are refused")


async def retry(session: Session) -> Outcome:
    """Come back when the refusal said, and not before: then it must serve."""
    key, _, _ = _over(session)
    wait_s = key.rests_until - time.monotonic()
    if wait_s > session.budget.left_s - LEFT_S:
        raise UntestableError(f"the wait of {wait_s:.0f} s is longer than the time left; give more with --max-time")
    await asyncio.sleep(max(0.0, wait_s) + 0.05)
    answer = await session.ask(key=key)
    if answer.status == 429:
        return weak("a client that waits as long as it was told is refused again", f"after {wait_s:.1f} s: {answer}")
    return held("a client that waits as long as it was told is served", f"after {wait_s:.1f} s: {answer}")


async def edge(session: Session) -> Outcome:
    """Spend the limit just before a window ends and again just after: a fixed window serves twice as much."""
    limit = session.promises.limit
    if limit is None:
        raise UntestableError("no limit is known; name the policy with --policy")
    if limit.count < 2 or not limit.rolling:
        raise UntestableError("the policy counts in aligned windows here, which serve twice as much around their edges")
    key = _fresh(session, limit)
    if key.served_within(limit.window_s, time.monotonic()):
        raise UntestableError("every key was used within the window; give more keys with --keys")
    lead_s = min(LEAD_S, limit.window_s / 3)
    if limit.window_s + LEFT_S > session.budget.left_s:
        raise UntestableError(
            f"a window of {limit.window_s:g} s is longer than the time left; give more with --max-time"
        )
    first = await session.ask(key=key)
    ends = time.monotonic() + _reset_s(first, limit.window_s)
    await asyncio.sleep(max(0.0, ends - lead_s - time.monotonic()))
    await session.burst(key, limit.count - 1)
    await asyncio.sleep(max(0.0, ends + 0.1 - time.monotonic()))
    await session.burst(key, limit.count)
    most = _most_within(key.served, limit.window_s - JITTER_S)
    told = f"{most} were served within {limit.window_s:g} s around the edge of a window; the limit is {limit.count}"
    return weak("around the edge of a window more than the limit is served", told) if most > limit.count else held(told)


async def _find_any(session: Session) -> Outcome:
    """Look for any limit at all."""
    count = BLIND_QUICK if session.quick else BLIND
    if not session.budget.afford(count):
        raise UntestableError(f"{count} requests more are over the budget; give more with --max-requests")
    key = session.fresh_key(60.0)
    for sent in range(count):
        answer = await session.ask(key=key)
        if answer.status == 429:
            session.over = (key, answer)
            return held(f"a limit stops one caller after {sent} requests; how many it should be, nobody said")
    return weak(f"no limit: {count} requests of one caller were served without a pause")


def _fresh(session: Session, limit: Limit) -> Key:
    if not session.budget.afford(limit.count + BEYOND):
        raise UntestableError(f"a limit of {limit.count} is over the budget; give more with --max-requests")
    if limit.count / session.budget.per_second >= limit.window_s:
        raise UntestableError(f"{limit.count} in {limit.window_s:g} s is faster than this run may be; see --rate")
    return session.fresh_key(limit.window_s)


def _over(session: Session) -> tuple[Key, Answer, Limit | None]:
    if session.over is None:
        raise UntestableError("no key was brought over its limit")
    return (*session.over, session.promises.limit)


async def _knock(session: Session, key: Key, **how: Any) -> Answer:
    """Ask with a key that is over its limit, while it still is."""
    over, _, _ = _over(session)
    if over.rests_until - time.monotonic() < JITTER_S:
        raise UntestableError("the limit was over before it could be got round")
    rests_until = key.rests_until
    answer = await session.ask(key=key, **how)
    key.rests_until = max(rests_until, over.rests_until)
    return answer


def _limits(answer: Answer) -> str:
    names = ("retry-after", "ratelimit", "ratelimit-policy", "x-ratelimit-remaining")
    return ", ".join(f"{name}: {answer.get(name)}" for name in names if answer.get(name))


def _reset_s(answer: Answer, window_s: float) -> float:
    """Return in how many seconds the window ends, as the answer says; a whole window where it does not."""
    told = RESET.search(answer.get("ratelimit"))
    reset_s = float(told[1]) if told else window_s
    return reset_s if 0 < reset_s <= window_s else window_s


def _most_within(times: Sequence[float], window_s: float) -> int:
    return max((sum(start <= when < start + window_s for when in times) for start in times), default=0)


FLOOD = {
    "number": number,
    "race": race,
    "wait_told": wait_told,
    "bypass": bypass,
    "amplification": amplification,
    "retry": retry,
    "edge": edge,
}
