"""Refuse text that tries to redirect the model: overrides, role tokens, prompt extraction, personas, exfiltration.

What it stops
    "Ignore all previous instructions" and its kin in some thirty languages, chat-template tokens in user text, requests
    for the system prompt or for a secret the model holds, well-known jailbreak personas, instructions hidden in
    documents and in invisible characters; also when encoded, spelled apart, written in look-alikes or cut over fields.
Config
    `sensitivity: strict | balanced | permissive`: by what share of honest requests it may refuse, 1, 0.1 and 0.03 % of
    those it was calibrated on; or `threshold`, a probability, which `vallum tune` finds for your own traffic.
    `trust`: whose words are not judged, `[operator]` unless you say otherwise.  `on_finding: deny | step_up`: whether
    what the permissive sensitivity would let through is refused, or let through with a bound credential.
    `deep: {encoder: FOLDER}`: asks a small transformer, which you bring, about users' words where the first two layers
    are in doubt; takes the extra `vallum[deep]`.
    `mode: enforce | shadow`.
Cost
    For 1 kB of text about 90 us, and 50 in the compiled build (105 and 60 where characters are beyond ASCII); 2 to 4 ms
    for 32 kB.  Time is linear, and of the floods that we measure none costs more than 0.15 us a byte: floods of trigger words
    are refused unread, a text that says enough is searched no further, and a code that is repeated is decoded once.  Text
    that is written against the patterns themselves may cost 0.3.
    Four seconds of CPU to compile the patterns, 3 MB.  With `deep` 1 to 5 ms off the event loop, for 3.4 % of honest
    text at `strict` and 0.4 % at `balanced`; half a second to load, 125 MB a worker.
Misses
    Of attacks from sources it never saw, 46 % at `balanced` and 35 % at `strict`: by kind, at `balanced`, 24 % of
    injected documents, 41 % of direct overrides, 56 % of prompt and secret extraction and most jailbreaks by
    role-play.  68 % of overrides that are not in English.  What it does not know: politeness (a game, a story, a
    hypothetical that names none of the usual words), Morse and home-made codes, images, an attack spread over several
    requests, poisoned tool definitions and system messages (both are trusted as the operator's), and a harmful request
    that redirects nobody.  Text that quotes an attack, such as a report about injections, may be refused.
Example
    checks:
      - {type: prompt_injection, sensitivity: balanced}
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from vallum.checks.prompt_injection.judge import Judge
from vallum.checks.prompt_injection.scorer import Sensitivity
from vallum.checks.prompt_injection.second_tier import excerpt
from vallum.checks.prompt_injection.voices import hear
from vallum.core.decision import Finding
from vallum.core.effects import Classify, Steps, ask
from vallum.core.errors import DependencyError
from vallum.core.policy import Mode
from vallum.core.reading import read
from vallum.signatures.patterns import MOST_PLACES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vallum.checks.prompt_injection.judge import Judgement
    from vallum.checks.prompt_injection.scorer import Thresholds
    from vallum.checks.prompt_injection.second_tier import SecondTier
    from vallum.checks.prompt_injection.voices import Standing
    from vallum.core.content import Content

    Heard = tuple[Standing, Judgement]

__all__ = ["DeepConfig", "PromptInjection", "PromptInjectionConfig", "Sensitivity"]


Trusted = Literal["operator", "model", "tool", "document"]


class DeepConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The second tier."""

    encoder: Annotated[
        str,
        Meta(description="folder of all-MiniLM-L6-v2 with model.safetensors and vocab.txt, beside the policy file"),
    ]


class PromptInjectionConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="prompt_injection", kw_only=True
):
    """How likely an attack must be to be refused, and in whose words it is looked for."""

    mode: Annotated[Mode, Meta(description="shadow: record what would be refused")] = Mode.ENFORCE
    sensitivity: Annotated[
        Sensitivity,
        Meta(description="by the share of honest requests it refused in calibration: 1 %, 0.1 % or 0.03 %"),
    ] = "balanced"
    threshold: Annotated[
        Annotated[float, Meta(gt=0, lt=1)] | None,
        Meta(description="least probability that is refused, in place of `sensitivity`: see `vallum tune`"),
    ] = None
    trust: Annotated[
        list[Trusted],
        Meta(description="whose words are not judged; none: judge system messages and tool definitions too"),
    ] = msgspec.field(default_factory=lambda: ["operator"])
    on_finding: Annotated[
        Literal["deny", "step_up"],
        Meta(description="step_up: ask for a bound credential where `sensitivity: permissive` would not refuse"),
    ] = "deny"
    deep: Annotated[
        DeepConfig | None,
        Meta(description="ask a small transformer where the first two layers are in doubt; takes vallum[deep]"),
    ] = None

    def __post_init__(self) -> None:
        """Raise ValueError where nothing lies between the threshold and the permissive one."""
        if self.on_finding == "step_up" and self.threshold is None and self.sensitivity == "permissive":
            raise ValueError("on_finding: step_up asks where permissive would not refuse: choose balanced or strict")


class PromptInjection:
    """The check; pure and reentrant."""

    type: ClassVar[str] = "prompt_injection"

    def __init__(self, config: PromptInjectionConfig, deep: SecondTier | None = None) -> None:
        """Get ready: four seconds of CPU, once a process; `deep` is what the config names."""
        self.config = config
        self._deep = deep
        self._judge = Judge()

    def inspect(self, content: Content) -> Finding | None:
        """Judge by the first two layers what was said with each standing."""
        return self._find(content, self.judge(content))

    def consult(self, content: Content) -> Finding | Steps[Finding | None] | None:
        """Judge likewise; ask the second tier, if it is wanted, where that can turn the verdict."""
        if self._deep is None:
            return self.inspect(content)
        heard = list(self.judge(content))
        if not any(self._is_open(self._deep, *spoken) for spoken in heard):
            return self._find(content, heard)
        return self._ask(self._deep, content, heard)

    def _ask(self, deep: SecondTier, content: Content, heard: Iterable[Heard]) -> Steps[Finding | None]:
        """Ask the second tier about what is open, unless what is not settles the matter."""
        settled: list[Heard] = []
        opened: list[Heard] = []
        for spoken in heard:
            (opened if self._is_open(deep, *spoken) else settled).append(spoken)
        finding = self._find(content, settled)
        if finding is not None and not finding.step_up:
            return finding
        for standing, judgement in opened:
            try:
                opinion = yield from ask(Classify(deep, excerpt(judgement.text, judgement.score)))
            except DependencyError:
                # What the first two layers refuse stays refused; what they would let through is for `on_error`.
                if self._find(content, [(standing, judgement)]) is None:
                    raise
                settled.append((standing, judgement))
            else:
                settled.append((standing, deep.weigh(judgement, opinion)))
        return self._find(content, settled)

    def _is_open(self, deep: SecondTier, standing: Standing, judgement: Judgement) -> bool:
        """Say whether the second tier could turn what becomes of this; of documents it knows less than the first."""
        if standing != "user":
            return False
        thresholds = self.thresholds(standing)
        steps = [self._least(thresholds)] + [thresholds.permissive] * (self.config.on_finding == "step_up")
        return any(deep.can_turn(judgement.logit, step) for step in steps)

    def _find(self, content: Content, heard: Iterable[Heard]) -> Finding | None:
        """Return, of what reaches its threshold, the least doubtful."""
        doubtful = None
        for standing, judgement in heard:
            thresholds = self.thresholds(standing)
            if judgement.logit < self._least(thresholds):
                continue
            detail = f"{standing}: {judgement.detail}"
            in_doubt = self.config.on_finding == "step_up" and judgement.logit < thresholds.permissive
            finding = Finding(
                self.type, self.locate(content, standing), detail, judgement.probability, step_up=in_doubt
            )
            if not in_doubt:
                return finding
            doubtful = finding
        return doubtful

    def judge(self, content: Content) -> Iterator[Heard]:
        """Yield what the first two layers say of each standing, whatever the threshold."""
        for standing, readings in hear(content, self.config.trust):
            yield standing, self._judge.judge(readings)

    def judge_whole(self, content: Content) -> Iterator[Heard]:
        """Yield what all tiers say of each standing, the second without being in doubt: what `vallum tune` counts."""
        deep = self._deep
        for standing, judgement in self.judge(content):
            if deep is not None and standing == "user":
                said = deep.classify(excerpt(judgement.text, judgement.score))
                yield standing, deep.weigh(judgement, said)
            else:
                yield standing, judgement

    def thresholds(self, standing: Standing) -> Thresholds:
        """Return the thresholds that ship, of the user's words or of what was brought in."""
        if standing != "user":
            return self._judge.model.document
        return self._judge.model.user if self._deep is None else self._deep.head.user

    def _least(self, thresholds: Thresholds) -> float:
        """Return the least logit that is refused."""
        given = self.config.threshold
        return thresholds.of(self.config.sensitivity) if given is None else log(given / (1 - given))

    def locate(self, content: Content, standing: Standing) -> str:
        """Find the first string that is suspect by itself: what is refused as a whole may be less so in parts."""
        if len(content.values) + len(content.keys) > MOST_PLACES:
            return ""
        least = self.thresholds(standing).strict
        return content.locate(lambda text: self._judge.judge(read(text)).logit >= least)
