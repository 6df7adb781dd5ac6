"""Has one detector judge texts: a JSON list on standard input; a list of `[score, flagged, us]` on standard output.

    VENV/bin/python bench/rivals/judge.py NAME

Runs in the environment of the detector and imports nothing but it.  A text is judged ROUNDS times; the least CPU time
counts.
"""

import json
import os
import re
import sys
import time
from collections.abc import Callable

ROUNDS = 4
Judge = Callable[[str], tuple[float, bool]]


def four_patterns() -> Judge:
    """Return the four expressions that everybody starts from."""
    expressions = (r"ignore\s+previous\s+instructions", r"system\s+prompt", r"<\|im_start\|>", r"\n\nHuman:")
    patterns = [re.compile(expression, re.IGNORECASE) for expression in expressions]

    def judge(text: str) -> tuple[float, bool]:
        hits = sum(pattern.search(text) is not None for pattern in patterns)
        return hits, hits > 0

    return judge


def agentbastion() -> Judge:
    from agentbastion.inbound import InboundGuard

    guard = InboundGuard()

    def judge(text: str) -> tuple[float, bool]:
        result = guard.scan(text)
        return result.max_severity + len(result.matches) / 1000, guard.is_blocked(result)

    return judge


def ai_injection_guard() -> Judge:
    from prompt_shield import PromptScanner

    scanner = PromptScanner()

    def judge(text: str) -> tuple[float, bool]:
        result = scanner.scan(text)
        return result.risk_score, scanner._exceeds_threshold(result.severity)

    return judge


def inferwall() -> Judge:
    from inferwall import scan_input

    def judge(text: str) -> tuple[float, bool]:
        response = scan_input(text)
        return response.score, response.decision == "block"

    return judge


def prompt_armor() -> Judge:
    from prompt_armor import analyze

    def judge(text: str) -> tuple[float, bool]:
        result = analyze(text)
        return result.risk_score, result.decision.value == "block"

    return judge


def vallum() -> Judge:
    from vallum.checks.prompt_injection.judge import Judge as Layers
    from vallum.core.reading import read

    layers = Layers()
    least = layers.model.user.balanced

    def judge(text: str) -> tuple[float, bool]:
        logit = layers.judge(read(text)).logit
        return logit, logit >= least

    return judge


JUDGES = {
    make.__name__: make for make in (four_patterns, agentbastion, ai_injection_guard, inferwall, prompt_armor, vallum)
}


def main() -> None:
    """Judge what comes in."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    answers, sys.stdout = sys.stdout, sys.stderr  # some print while they load
    texts = json.load(sys.stdin)
    judge = JUDGES[sys.argv[1]]()
    judge("Hello!")
    said = []
    for text in texts:
        spans = []
        for _ in range(ROUNDS):
            begun = time.process_time_ns()
            score, flagged = judge(text)
            spans.append(time.process_time_ns() - begun)
        said.append([float(score), bool(flagged), min(spans) / 1000])
    json.dump(said, answers)


if __name__ == "__main__":
    main()
