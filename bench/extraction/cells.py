"""The cells of the table, each by a name that says what it is.

    WORLD-WAY-ACCOUNTS[-MORE ...]     an attack:  synth-jbda-100, digits-random-1000, synth-strange-100-half
    honest-WORLD-DRIFT-WEEKS[-light]  nobody attacks:  honest-synth-none-4, honest-digits-launch-4
    stolen-WORLD-WAY                  thirty established accounts are stolen, in one week:  stolen-chat-code

WORLD: synth, digits, cancer, table, chat.  WAY: jbda, targeted, random, strange, active, natural; for chat questions,
template, code, sentences, natural.  DRIFT: none, classes, brightness, launch, integration;
all: each of them in turn, evenly over the weeks, to stay.  light: who asks most asks a tenth of it, which saves hours.
MORE: half or most (camouflage of 50 or 80 %), alternate, dormant, slow (seven days, not three), weak (solves no more
than 18 bits), renew (a fresh account for each that is known), poison (a first raid, by others, within calibration),
proof (the policy allows every grade, and probation), and the route's form of answer: all, all2, round2 (as it is
without a word), band, label.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.extraction.answers import FORMS
from bench.extraction.population import DRIFTS
from bench.extraction.thieves import WAYS, Plan

CAMOUFLAGE = {"half": 0.5, "most": 0.8}
PROMPTS = 1500  # of a raid on a chat
ALL = "all"  # drifts, one after another
LIGHT = 0.1  # of what who asks most asks
WORLD_NAMES = ("synth", "digits", "cancer", "table", "chat")


@dataclass(frozen=True)
class Cell:
    """One line of the table."""

    name: str
    world: str
    plan: Plan | None = None  # None: nobody attacks
    form: str = "round2"
    drift: str = "none"  # of `DRIFTS`, or `ALL`
    weeks: int = 1
    terms: str = "graduated"  # of the policy: what may be done to whom
    poisoned: bool = False  # a raid like it falls into calibration
    stolen: str = ""  # the way of who stole credentials
    heavy: float = 1.0  # times what who asks most asks

    def drifts(self) -> list[tuple[str, int]]:
        """Return each drift with the week that it comes in, from the first after calibration."""
        if self.drift != ALL:
            return [(self.drift, 0)]
        return [(drift, self.weeks * turn // len(DRIFTS)) for turn, drift in enumerate(DRIFTS) if turn]


def cell(name: str) -> Cell:
    """Read a cell's name; raise ValueError that says what is wrong with it."""
    first, *rest = name.split("-")
    if first == "honest" and len(rest) in (3, 4):
        world, drift, weeks, *light = rest
        found = Cell(name, _known(world, WORLD_NAMES), drift=_known(drift, (*DRIFTS, ALL)), weeks=int(weeks))
        return replace(found, heavy=LIGHT) if light and _known(light[0], ("light",)) else found
    if first == "stolen" and len(rest) == 2:
        return Cell(name, _known(rest[0], WORLD_NAMES), stolen=_known(rest[1], WAYS))
    if len(rest) < 2 or not rest[1].isdigit():
        raise ValueError(
            f"{name!r} is no cell: WORLD-WAY-ACCOUNTS[-MORE], honest-WORLD-DRIFT-WEEKS[-light] or stolen-WORLD-WAY"
        )
    plan = Plan(_known(rest[0], WAYS), accounts=int(rest[1]), queries=PROMPTS if first == "chat" else 3000)
    found = Cell(name, _known(first, WORLD_NAMES), plan)
    for word in rest[2:]:
        found = _with(found, plan, word)
        plan = found.plan or plan
    return found


def _with(found: Cell, plan: Plan, word: str) -> Cell:
    if word in FORMS:
        return replace(found, form=word)
    if word in CAMOUFLAGE:
        return replace(found, plan=replace(plan, camouflage=CAMOUFLAGE[word]))
    if word == "slow":
        return replace(found, plan=replace(plan, hours=168.0), weeks=2)
    if word == "weak":
        return replace(found, plan=replace(plan, most_bits=18))
    if word == "proof":
        return replace(found, terms=word)
    if word == "poison":
        return replace(found, poisoned=True)
    if word == "renew":
        return replace(found, plan=replace(plan, renews=True))
    if word == "dormant":
        return replace(found, plan=replace(plan, dormant=True))
    _known(word, ("alternate",))
    return replace(found, plan=replace(plan, alternate=True))


def _known(word: str, words: tuple[str, ...]) -> str:
    if word not in words:
        raise ValueError(f"{word!r} is none of {', '.join(words)}")
    return word


FOREIGN = [f"{world}-{way}" for world in ("synth", "digits") for way in ("jbda", "random", "strange")]  # to the model
SPREAD = [f"{raid}-{n}" for raid in FOREIGN for n in (10, 100)]
THIN = [f"{raid}-1000" for raid in FOREIGN]
HIDDEN = [f"{raid}-100-half" for raid in FOREIGN]
OTHERS = [
    "synth-jbda-1",
    "synth-random-1",
    "synth-targeted-100",
    "synth-random-100-most",
    "synth-random-100-alternate",
    "synth-random-100-dormant",
    "synth-random-100-slow",
    "synth-random-100-renew",
    "synth-random-100-poison",
    "synth-jbda-100-poison",
    "synth-jbda-100-band",
    "synth-random-100-band",
    "cancer-random-100",
    "cancer-strange-100",
    "table-random-100",
    "table-strange-100",
    "table-jbda-100",
]
CHATS = [f"chat-{way}-{n}" for way in ("questions", "template", "code", "sentences") for n in (10, 100)]
CHATS += ["chat-questions-500", "chat-template-500", "chat-template-100-half", "chat-code-100-half", "chat-natural-100"]
HONEST = [f"honest-{world}-none-4" for world in WORLD_NAMES]
DRIFTING = [f"honest-{world}-{drift}-4" for world in ("synth", "digits", "chat") for drift in DRIFTS[1:]]
ORDINARY = ["synth-natural-10", "synth-natural-100", "synth-natural-1000", "synth-active-100", "digits-natural-100"]
ORDINARY += ["synth-natural-100-proof", "synth-natural-1000-proof"]
STOLEN = [f"stolen-chat-{way}" for way in ("questions", "template", "code", "sentences", "natural")]
YEAR = ["honest-synth-none-52", "honest-digits-none-52", "honest-chat-none-52", "honest-synth-all-52-light"]

GOALS = {
    "1 spread": SPREAD,
    "2 thin": THIN,
    "2 hidden": HIDDEN,
    "3 chat": CHATS,
    "4 honest": HONEST + DRIFTING,
    "4 year": YEAR,
    "5 ordinary": ORDINARY,
    "6 stolen": STOLEN,
    "others": OTHERS,
}
QUICK = ("synth-jbda-100", "synth-random-100", "digits-strange-100", "chat-template-100", "honest-synth-none-1")
