"""What leak checks cost: CPU of one core for a piece of a stream and for a whole answer, the best of five rounds.

    python bench/leaks.py
    python bench/leaks.py --honest FOLDER

The second looks for leaks where there are none: every text below a folder (`.py`, `.md`, `.rst`, `.txt`) is cut into
answers of 2,000 characters; it prints how many were flagged, by what, and what was found.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path

from vallum.codecs.json import AnswerJson
from vallum.core.content import Content, Passage, Voice
from vallum.core.exchange import Exchange, Headers, Request, ResponseHead
from vallum.core.leaks import Screen
from vallum.core.policy import Outlet, Policy, Sentry
from vallum.core.relay import Whole
from vallum.core.stream import Events
from vallum.leaks.canaries import Canaries, CanariesConfig
from vallum.leaks.keys import Keys
from vallum.leaks.personal import Personal, PersonalConfig
from vallum.leaks.prompt import PromptConfig, PromptWords

PROMPT = "You are a helpful assistant of Acme and answer in the tone of the house. " * 20
TEXT = "The gateway stands before the model, and looks at every answer that it gives; most of them are dull. "
ROUNDS = 5
PIECES = 400


def operators(_document: object) -> list[Passage]:
    """Say who spoke in the request."""
    return [Passage(Voice.OPERATOR, "/messages/0", PROMPT)]


KEYS = Sentry(Keys())
MARKERS = Sentry(Canaries(CanariesConfig(strings=["kestrel-plum-9041"])))
PERSONAL = Sentry(Personal(PersonalConfig(kinds=["emails", "ibans", "cards", "phones"])))
WORDS = Sentry(PromptWords(PromptConfig()))
WAYS: dict[str, tuple[Sentry, ...] | None] = {
    "read and written, no look": None,
    "errors inside": (),
    "keys": (KEYS,),
    "canaries": (MARKERS,),
    "prompt": (WORDS,),
    "personal": (PERSONAL,),
    "all four": (KEYS, MARKERS, WORDS, PERSONAL),
}


def screen(outlet: Outlet) -> Screen:
    """Begin to look at an answer."""
    x = Exchange(Policy((), {}), Request("id", "POST", "/", "", Headers(), "192.0.2.1", 0.0))
    x.content = Content({}, passages=operators)
    return Screen(x, outlet, ResponseHead(200, Headers()), enforce=True)


def look_at_honest(folder: Path) -> None:
    """Count the answers in which something was found."""
    answers = 0
    flagged: Counter[str] = Counter()
    shown: Counter[str] = Counter()
    checks = {"keys": KEYS, "canaries": MARKERS, "personal": PERSONAL, "prompt": WORDS}
    scans = {name: sentry.check.watch(Content({}, passages=operators)) for name, sentry in checks.items()}
    for path in sorted(folder.rglob("*")):
        if path.suffix not in {".py", ".md", ".rst", ".txt"} or not path.is_file():
            continue
        text = path.read_text("utf-8", "replace")
        for start in range(0, len(text), 2000):
            answer = text[start : start + 2000]
            answers += 1
            for name, scan in scans.items():
                assert scan is not None
                leaks = scan(answer, True).leaks
                flagged[name] += bool(leaks)
                for leak in leaks:
                    shown[f"{name} {leak.rule}: {answer[leak.start : leak.end]}"] += 1
    print(f"{answers} answers; flagged: {dict(flagged)}")
    for what, number in shown.most_common(40):
        print(f"  {number} x {what!r}")


def main() -> None:
    """Measure and print."""
    if len(sys.argv) == 3:
        look_at_honest(Path(sys.argv[2]))
        return
    words = (TEXT * 30).split(" ")[:PIECES]
    events = []
    for word in words:
        choice = {"index": 0, "delta": {"content": f"{word} "}, "logprobs": None, "finish_reason": None}
        body = {
            "id": "chatcmpl-9x8y7z",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [choice],
        }
        events.append(b"data: " + json.dumps(body).encode() + b"\n\n")
    choice = {"index": 0, "message": {"role": "assistant", "content": TEXT * 8}, "finish_reason": "stop"}
    whole = json.dumps(
        {"id": "chatcmpl-9x8y7z", "object": "chat.completion", "model": "m", "choices": [choice]}
    ).encode()
    print(f"an event of {len(events[0])} bytes; an answer of {len(whole)} bytes")
    print("| looks for | us an event | us an answer |\n| --- | --- | --- |")
    for name, leaks in WAYS.items():
        outlet = Outlet(AnswerJson(), leaks=leaks or (), errors_inside=leaks is not None)
        best = [1e9, 1e9]
        for _ in range(ROUNDS):
            stream = Events(outlet, set(), True, None, None if leaks is None else screen(outlet))
            began = time.process_time()
            for event in events:
                stream.chunk(event)
            best[0] = min(best[0], (time.process_time() - began) / len(events))
            screens = [None if leaks is None else screen(outlet) for _ in range(100)]
            began = time.process_time()
            for each in screens:
                answer = Whole(outlet, set(), True, None, each)
                answer.chunk(whole)
                answer.end()
            best[1] = min(best[1], (time.process_time() - began) / len(screens))
        print(f"| {name} | {best[0] * 1e6:.1f} | {best[1] * 1e6:.1f} |")


if __name__ == "__main__":
    main()
