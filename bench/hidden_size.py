"""Whether the width of a language model's last layer can be computed from its answers (Carlini et al. 2024).

    python bench/hidden_size.py [--queries 50000] [--accounts 100] [--json FILE]

The victim is a softmax head of width 64 over 2,000 tokens behind an OpenAI-shaped chat endpoint: the easiest there is,
for real models are 10 to 200 times as wide.  Its prompts lie near one another, which helps the attacker: the same
tokens are likely after all of them.  Each attack asks the bare endpoint, and then the same through the gateway's
engine, where a refused attacker goes on to the next best thing that the gateway lets through.

    logprobs + bias     log-probabilities of tokens that a bias has lifted among the best
    logprobs, sampled   no bias; at a high temperature the chosen token is any token, and its score is told
    argmax + bias       no log-probabilities: the bias at which a token becomes the best, by bisection
    argmax, in bounds   the same with nudges of at most 2 on at most 4 tokens, of whatever they reach

What an attacker knows is a matrix, prompts by tokens.  Its rank is the width: recovered where the largest gap between
two singular values stands at 64.  Where every prompt tells k tokens, no more than k can be told of any width over k.

Then 20,000 requests of 200 honest accounts that use the same parameters go through the same policy.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.core.principal import Principal
from vallum.testing import Call, MemoryGateway, Reply, run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

WIDTH, TOKENS, SPREAD = 64, 2000, 3.0
PROMPTS, WANTED = 84, 84  # as many of each as an attacker asks about: over the width
STEPS = 11  # of one bisection
GAP = 5.0  # between two singular values, where no more follow
NEAR = 0.4  # how far prompts of one topic lie from it
FINE = 0.02  # how exactly a logit is measured by many at once
FURTHEST = 30.0  # of a token from the best
POLICY = """
version: 1
upstreams: {model: {url: "http://127.0.0.1:9000"}}
authenticators: {keys: {type: api_key}}
routes:
  - name: chat
    match: {methods: [POST], path: /v1/chat/completions}
    upstream: model
    preset: openai.chat
    auth: {any_of: [keys]}
    quotas: [2000 per day]
    response: {disclose: [logprobs]}
"""
JSON = [("content-type", "application/json")]
DAY_S = 86_400.0
MESSAGES = "messages"


class Head:
    """The victim."""

    def __init__(self, seed: int = 0, width: int = WIDTH, tokens: int = TOKENS) -> None:
        """Draw its weights."""
        rng = np.random.default_rng(seed)
        self.width, self.tokens = width, tokens
        self._weights = rng.normal(0, SPREAD / np.sqrt(width), (tokens, width))
        self._known: dict[str, np.ndarray] = {}
        self.asked = 0

    def logits(self, prompt: str) -> np.ndarray:
        """Return the logits after a prompt: by its topic, and a little by the rest, where it has one."""
        if prompt not in self._known:
            if len(self._known) > 4096:
                self._known.clear()
            topic, _, rest = prompt.rpartition("|")
            parts = [np.random.default_rng(crc32(text.encode())).normal(size=self.width) for text in (topic, rest)]
            share = NEAR if topic else 1.0
            self._known[prompt] = self._weights @ (np.sqrt(1 - share**2) * parts[0] + share * parts[1])
        return self._known[prompt]

    def answer(self, call: Call) -> Reply:
        """Answer a request as an OpenAI-shaped server does whose log-probabilities follow the bias."""
        said = json.loads(call.body)
        self.asked += 1
        logits = self.logits(said[MESSAGES][-1]["content"])
        bias = said.get("logit_bias") or {}
        if bias:
            logits = logits.copy()
            logits[[int(token) for token in bias]] += list(bias.values())
        heat = said.get("temperature", 1)
        if heat:
            noise = np.random.default_rng(self.asked).gumbel(size=self.tokens)
            chosen = int((logits / heat + noise).argmax())
        else:
            chosen = int(logits.argmax())
        choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": f"t{chosen}"}}
        if said.get("logprobs"):
            scores = logits - np.logaddexp.reduce(logits)
            best = np.argsort(-scores)[: said.get("top_logprobs") or 0]
            listed = [{"token": f"t{token}", "logprob": float(scores[token])} for token in best]
            told = {"token": f"t{chosen}", "logprob": float(scores[chosen]), "top_logprobs": listed}
            choice["logprobs"] = {"content": [told]}
        answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        return Reply(200, JSON, json.dumps(answer).encode())


class RefusedError(Exception):
    """The endpoint will not answer this."""


class SpentError(Exception):
    """No more queries are left."""


class Door:
    """What attackers ask through: counts what they ask."""

    def __init__(self, budget: int) -> None:
        """Let at most `budget` queries through."""
        self.budget = budget
        self.queries = self.answered = 0
        self.days = 0.0

    async def ask(self, prompt: str, **settings: Any) -> tuple[int, dict[str, Any]]:
        """Ask about one prompt; return the token of the answer, and its choice.  Raises RefusedError and SpentError."""
        if self.queries >= self.budget:
            raise SpentError
        self.queries += 1
        body = {"model": "m", MESSAGES: [{"role": "user", "content": prompt}], "max_tokens": 1, **settings}
        answer = await self._send(json.dumps(body).encode())
        self.answered += 1
        choice = answer["choices"][0]
        return int(choice["message"]["content"][1:]), choice

    async def _send(self, body: bytes) -> dict[str, Any]:
        raise NotImplementedError


class Bare(Door):
    """The endpoint itself."""

    def __init__(self, head: Head, budget: int) -> None:
        """Ask `head`."""
        super().__init__(budget)
        self._head = head

    async def _send(self, body: bytes) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._head.answer(Call("model", "POST", "/", (), body)).body)
        return answer


class Guarded(Door):
    """The same through a gateway, in turn by as many accounts; who has used up a quota waits for it."""

    def __init__(self, gateway: MemoryGateway, budget: int, accounts: int) -> None:
        """Ask through `gateway`."""
        super().__init__(budget)
        self._gateway = gateway
        self._accounts = [Principal(f"thief-{number}") for number in range(accounts)]
        self._began = gateway.now

    async def _send(self, body: bytes) -> dict[str, Any]:
        for attempt in range(len(self._accounts) + 1):
            who = self._accounts[(self.queries + attempt) % len(self._accounts)]
            told = await self._gateway.ask("POST", "/v1/chat/completions", body, who=who)
            if told.status == 200:
                self.days = (self._gateway.now - self._began) / DAY_S
                answer: dict[str, Any] = json.loads(told.body)
                return answer
            if told.status != 429:
                raise RefusedError(told.body[:200])
            if attempt == len(self._accounts) - 1:  # nobody has any left
                await asyncio.sleep(float(dict(told.fields)["retry-after"]))
        raise RefusedError("429 after waiting")


# --- attacks ----------------------------------------------------------------------------------------------------------

Known = dict[int, dict[int, float]]  # prompt -> token -> logit, up to a constant of the prompt


def prompt_of(number: int) -> str:
    """Return one of the attacker's prompts that lie near one another."""
    return f"topic|{number}"


async def measure_by_scores(door: Door, known: Known) -> None:
    """Lift four tokens at a time among the best, and read their scores beside that of one that stays."""
    for number in range(PROMPTS):
        anchor, _ = await door.ask(prompt_of(number), temperature=0)
        row = known.setdefault(number, {})
        for start in range(0, WANTED, 4):
            bias = {str(token): 40 for token in range(start, start + 4)} | {str(anchor): 40}
            _, choice = await door.ask(prompt_of(number), temperature=0, logprobs=True, top_logprobs=5, logit_bias=bias)
            told = {one["token"]: one["logprob"] for one in choice["logprobs"]["content"][0]["top_logprobs"]}
            for token in range(start, start + 4):
                row[token] = told[f"t{token}"] - told[f"t{anchor}"]
        # Rows differ by a constant, and so does the reference token: one more direction at most.


async def measure_by_samples(door: Door, known: Known) -> None:
    """Read the best twenty, and what a high temperature happens to choose."""
    while True:
        for number in range(PROMPTS):
            _, choice = await door.ask(prompt_of(number), temperature=2, logprobs=True, top_logprobs=20)
            row = known.setdefault(number, {})
            told = choice["logprobs"]["content"][0]
            for one in (told, *told["top_logprobs"]):
                row[int(one["token"][1:])] = one["logprob"]


async def bisect(door: Door, prompt: str, token: int, anchor: int, most: float) -> float | None:
    """Find the bias, half up and half down, at which `token` is over `anchor`; None: `most` is not enough."""

    async def wins(bias: float) -> bool:
        given = {str(token): bias / 2, str(anchor): -bias / 2}
        best, _ = await door.ask(prompt, temperature=0, logit_bias=given)
        return best == token

    if not await wins(most):
        return None
    low, high = 0.0, most
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if await wins(middle) else (middle, high)
    return (low + high) / 2


async def measure_by_argmax(door: Door, known: Known) -> None:
    """Bisect the biases of many tokens at once: each is given a small chance to be over the best."""
    for number in range(PROMPTS):
        prompt = f"{number}"
        anchor, _ = await door.ask(prompt, temperature=0)
        tokens = [token for token in range(WANTED) if token != anchor]
        low, high = np.zeros(len(tokens)), np.full(len(tokens), FURTHEST)
        while (high - low).max() > FINE:
            wide = np.flatnonzero(high - low > FINE)
            bias = low[wide] + (high - low)[wide] / (len(wide) + 1)
            given = {str(tokens[index]): float(value) for index, value in zip(wide, bias, strict=True)}
            best, _ = await door.ask(prompt, temperature=0, logit_bias=given)
            if best == anchor:
                low[wide] = bias
                continue
            won = int(np.flatnonzero(wide == tokens.index(best))[0])
            high[wide[won]] = bias[won]
            low[wide] = np.maximum(low[wide], bias - (bias[won] - low[wide[won]]))
        known[number] = dict(zip(tokens, (-(low + high) / 2).tolist(), strict=True)) | {anchor: 0.0}


async def measure_in_bounds(door: Door, known: Known) -> None:
    """Ban the best one by one to see who comes next, then bisect with nudges on both sides, as far as they reach."""
    for number in range(10 * PROMPTS):
        prompt = prompt_of(number)
        ranked: list[int] = []
        for _ in range(33):
            bans = {str(token): -100 for token in ranked}
            token, _ = await door.ask(prompt, temperature=0, **({"logit_bias": bans} if bans else {}))
            ranked.append(token)
        row = known.setdefault(number, {ranked[0]: 0.0})
        misses = 0
        for token in ranked[1:]:
            gap = await bisect(door, prompt, token, ranked[0], 4.0)
            misses += gap is None
            if gap is not None:
                row[token] = -gap
            elif misses > 3:
                break


ATTACKS: dict[str, tuple[Callable[[Door, Known], Coroutine[Any, Any, None]], ...]] = {
    "logprobs + bias": (measure_by_scores, measure_by_samples),
    "logprobs, sampled": (measure_by_samples,),
    "argmax + bias": (measure_by_argmax, measure_in_bounds),
    "argmax, in bounds": (measure_in_bounds,),
}


class Outcome(NamedTuple):
    """What came of one attack."""

    width: int | None  # None: no gap was found
    rows: int
    columns: int
    reach: int  # tokens that are known of the prompt of which most are
    queries: int
    answered: int
    days: float


def judge(known: Known) -> tuple[int | None, int, int]:
    """Return the width that matrices without holes betray, where two of them agree, and the size of the largest."""
    counts = Counter(token for row in known.values() for token in row)
    found: Counter[int] = Counter()
    most = (0, 0)
    for size in range(8, 200, 4):
        columns = [token for token, _ in counts.most_common(size)]
        rows = [row for row in known.values() if all(token in row for token in columns)]
        if len(columns) < size or len(rows) < 8:
            break
        matrix = np.array([[row[token] for token in columns] for row in rows])
        matrix -= matrix.mean(axis=1, keepdims=True)  # a row is known up to a constant
        matrix -= matrix.mean(axis=0)  # what all prompts share says little
        width = find_gap(np.linalg.svd(matrix, compute_uv=False)[:-1])  # the last is gone with the constants
        if width is not None:
            found[width] += 1
        most = max(most, (len(rows), size), key=min)
    width, times = found.most_common(1)[0] if found else (0, 0)
    return (width if times > 1 else None, *most)


def find_gap(values: np.ndarray) -> int | None:
    """Return after how many singular values they fall to what is only noise."""
    ratios = values[:-1] / np.maximum(values[1:], 1e-12)
    if len(ratios) < 3:
        return None
    at = int(ratios[:-1].argmax())
    return at + 1 if ratios[at] > GAP else None


async def attack(door: Door, ways: tuple[Callable[[Door, Known], Coroutine[Any, Any, None]], ...]) -> Outcome:
    """Try one way after the other until no queries are left, and judge by all that is known."""
    width, rows, columns, reach = None, 0, 0, 0
    for way in ways:
        known: Known = {}
        with suppress(RefusedError, SpentError):
            await way(door, known)
        width, rows, columns = judge(known)
        reach = max(reach, max(map(len, known.values()), default=0))
        if width is not None:
            break
    return Outcome(width, rows, columns, reach, door.queries, door.answered, door.days)


# --- honest callers ---------------------------------------------------------------------------------------------------


def honest_settings(rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """Draw the settings of an honest request that uses one of the parameters."""
    kind = rng.random()
    tokens = [str(token) for token in rng.choice(TOKENS, 40, replace=False)]
    if kind < 0.60:  # words that a brand does not want said
        count = min(int(rng.geometric(0.3)), 30)
        return "bans", {"logit_bias": dict.fromkeys(tokens[:count], -100)}
    if kind < 0.80:  # a little more or less of a word
        return "nudges", {
            "logit_bias": {token: round(float(rng.uniform(-2, 2)), 1) for token in tokens[: int(rng.integers(1, 4))]}
        }
    if kind < 0.9995:  # how sure is it
        return "logprobs", {"logprobs": True, "top_logprobs": int(rng.integers(0, 6)), "temperature": 0}
    # What is refused by design: a token forced, a ban and a nudge at once, a bias beside log-probabilities.
    return "refused by design", [
        {"logit_bias": {tokens[0]: 100}},
        {"logit_bias": {tokens[0]: -100, tokens[1]: 1}},
        {"logit_bias": {tokens[0]: -100}, "logprobs": True},
    ][int(rng.integers(3))]


async def serve_honest(gateway: MemoryGateway, count: int, accounts: int = 200) -> dict[str, tuple[int, int]]:
    """Send honest requests; return asked and served of each kind."""
    rng = np.random.default_rng(7)
    volumes = rng.pareto(1.5, accounts) + 0.2
    who = rng.choice(accounts, count, p=volumes / volumes.sum())
    asked: Counter[str] = Counter()
    served: Counter[str] = Counter()
    for number, account in enumerate(who):
        kind, settings = honest_settings(rng)
        body = {"model": "m", MESSAGES: [{"role": "user", "content": f"question|{number}"}], **settings}
        told = await gateway.ask(
            "POST", "/v1/chat/completions", json.dumps(body).encode(), who=Principal(f"honest-{account}")
        )
        asked[kind] += 1
        served[kind] += told.status == 200
        await asyncio.sleep(7 * DAY_S / count)
    return {kind: (asked[kind], served[kind]) for kind in sorted(asked)}


# --- one command ------------------------------------------------------------------------------------------------------


def compile_policy(text: str = POLICY) -> Any:
    """Compile the policy under test."""
    return load_policy(parse_source(Path("hidden_size.yaml"), text.encode(), {}))[1]


def assail(name: str, *, guarded: bool, queries: int, accounts: int, seed: int = 0, **head: int) -> Outcome:
    """Run one attack against one victim."""

    async def main() -> Outcome:
        victim = Head(seed, **head)
        door: Door = Bare(victim, queries)
        if guarded:
            door = Guarded(MemoryGateway(compile_policy(), victim.answer), queries, accounts)
        return await attack(door, ATTACKS[name])

    return run(main())


def honest(count: int) -> dict[str, tuple[int, int]]:
    """Run the honest callers."""

    async def main() -> dict[str, tuple[int, int]]:
        return await serve_honest(MemoryGateway(compile_policy(), Head().answer), count)

    return run(main())


def main() -> None:
    """Attack, serve, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=50_000)
    parser.add_argument("--accounts", type=int, default=100)
    parser.add_argument("--honest", type=int, default=20_000)
    parser.add_argument("--only", choices=ATTACKS, help="one attack")
    parser.add_argument("--json", type=Path, help="write every figure")
    options = parser.parse_args()
    figures: dict[str, Any] = {"width": WIDTH, "tokens": TOKENS, "attacks": {}, "honest": {}}
    print(f"width {WIDTH}, {TOKENS} tokens, {options.queries:,} queries over {options.accounts} accounts")
    print("| attack | endpoint | width found | queries | answered | tokens told of one prompt | days | s |")
    print("|---|---|---|---|---|---|---|---|")
    for name in [options.only] if options.only else ATTACKS:
        for guarded in (False, True):
            began = time.perf_counter()
            found = assail(name, guarded=guarded, queries=options.queries, accounts=options.accounts)
            spent_s = time.perf_counter() - began
            where = "gateway" if guarded else "bare"
            figures["attacks"][f"{name}, {where}"] = found._asdict() | {"recovered": found.width == WIDTH}
            told = "none" if found.width is None else str(found.width)
            print(
                f"| {name} | {where} | {told} | {found.queries:,} | {found.answered:,} | {found.reach} |"
                f" {found.days:.1f} | {spent_s:.0f} |"
            )
    if options.only:
        return
    print("\n| honest requests with | asked | served |\n|---|---|---|")
    kinds = honest(options.honest)
    for kind, (asked, served) in kinds.items():
        print(f"| {kind} | {asked:,} | {served:,} |")
    asked, served = (sum(column) for column in zip(*kinds.values(), strict=True))
    print(f"| all | {asked:,} | {served:,} ({served / asked:.2%}) |")
    figures["honest"] = {kind: {"asked": pair[0], "served": pair[1]} for kind, pair in kinds.items()}
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
