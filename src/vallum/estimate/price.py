"""How long a thief needs, with how many accounts, and what it costs: plain arithmetic on quotas and measured tables.

Rule: what is not known is an interval or a sentence, never one number.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.resources import files
from math import ceil, inf
from typing import TYPE_CHECKING, Any

from vallum.core.cost import MILLION
from vallum.core.policy import Mode
from vallum.core.quota import Per, Strategy
from vallum.estimate.form import form_of, kind_of
from vallum.presets import PRESETS

if TYPE_CHECKING:
    from vallum.config.model import Config, RouteConfig
    from vallum.core.policy import Policy, Route
    from vallum.core.quota import Quota

DAY_S = 86_400.0
WITHIN_A_DAY_S = DAY_S - 1.0
FOREVER_S = 1e11
CROWDS = (1, 10, 100)
NOT_MODELLED = (
    "Not modelled: what a thief knows already, inputs that are hard to come by, accounts noticed by other means,"
    " throttling, prices of the market."
)
BATCHES = ("rows", "prompts", "inputs")  # bounds that say how many inputs a request may hold
OF_MANY = frozenset({Per.ROUTE, Per.GLOBAL})


@dataclass(frozen=True, slots=True)
class Thief:
    """What is assumed of whoever copies, and of the model."""

    account_cost: float = 1.0  # money for one account
    account_minutes: float = 5.0  # of somebody's time, for one account
    inputs: int = 64  # numbers of one input
    classes: int = 10
    parameters: int | None = None  # in the place of inputs and classes
    tokens: int = 1000  # of one question and its answer
    width: int = 4096  # of a language model's last layer


@dataclass(frozen=True, slots=True)
class Goal:
    """One thing to have, and what it takes; None: not to be had this way, `note` says why."""

    name: str
    queries: tuple[int, int] | None
    note: str = ""
    watched: bool = False  # the extraction watch is in the way
    accounts_in_a_day: tuple[int, int] | None = None
    days: tuple[tuple[float, float], ...] = ()  # with each of CROWDS
    money: tuple[float, float] | None = None  # with the accounts of one day


@dataclass(frozen=True, slots=True)
class Estimated:
    """What is said of one route."""

    route: str
    preset: str
    kind: str
    leaves: str
    form: str
    batch: int  # answers of one request, at most
    account_a_day: float | None  # answers of one account; None: no quota bounds them
    bound_by: str
    route_a_day: float | None
    watch: bool
    goals: tuple[Goal, ...]
    notes: tuple[str, ...]


def read_costs() -> dict[str, Any]:
    """Read the measured tables."""
    text = files("vallum.estimate").joinpath("costs.json").read_text("utf-8")
    costs: dict[str, Any] = json.loads(text)
    return costs


def estimate(config: Config, policy: Policy, thief: Thief) -> list[Estimated]:
    """Estimate every route of a policy that sells a model's answers."""
    compiled = {route.name: route for route in policy.routes}
    costs = read_costs()
    return [
        _estimate(route, compiled[route.name], thief, costs)
        for route in config.routes
        if kind_of(route.preset) != "none" and set(route.match.methods) & {"POST", "PUT", "PATCH"}
    ]


def _estimate(config: RouteConfig, route: Route, thief: Thief, costs: dict[str, Any]) -> Estimated:
    kind = kind_of(config.preset)
    form = form_of(config, route.outlet) if kind == "classes" else kind
    batch = _batch(config)
    notes: list[str] = []
    limits = [limit for limit in route.limits if limit.mode is Mode.ENFORCE and route.mode is Mode.ENFORCE]
    if len(limits) < len(route.limits):
        notes.append("Quotas in shadow bound nothing.")
    quotas = [limit.quota for limit in limits]
    each = [_Cap(quota, _share(quota, route, thief, batch)) for quota in quotas if quota.per not in OF_MANY]
    all_of_them = [_Cap(quota, _share(quota, route, thief, batch)) for quota in quotas if quota.per in OF_MANY]
    unknown = [cap.quota.name for cap in (*each, *all_of_them) if not cap.share and cap.quota.unit != "concurrent"]
    if unknown:
        notes.append(f"What these quotas count is not estimated: {', '.join(unknown)}.")
    if config.preset.startswith(("kserve.infer", "tf_serving.")):
        notes.append(f"A request is taken to hold {batch} inputs: the format bounds their numbers, not them.")
    if any(cap.quota.per is Per.IP for cap in each):
        notes.append("Each account is taken to have an address of its own.")
    reach = _Reach([cap for cap in each if cap.share], [cap for cap in all_of_them if cap.share])
    watch, price = _is_watched(config), answer_price(route, thief, batch)
    goals = [
        _price(goal, reach, thief, price, costs["watch"] if goal.watched else None)
        for goal in _goals(config, form, thief, costs, watch=watch)
    ]
    daily = reach.admitted(WITHIN_A_DAY_S, 1)
    return Estimated(
        config.name,
        config.preset,
        kind,
        _words(kind, form, config, costs),
        form,
        batch,
        None if daily == inf else daily,
        reach.tightest(),
        None if reach.shared(WITHIN_A_DAY_S) == inf else reach.shared(WITHIN_A_DAY_S),
        watch,
        tuple(goals),
        tuple(notes),
    )


# --- quotas -----------------------------------------------------------------------------------------------------------


class _Cap:
    """A quota, and how many answers one unit of it buys; 0: unknown."""

    def __init__(self, quota: Quota, share: float) -> None:
        self.quota = quota
        self.share = share

    def admitted(self, seconds: float) -> float:
        quota = self.quota
        window_s = quota.window_us / 1e6
        units: float = quota.limit
        if quota.strategy is Strategy.SMOOTH:
            units = quota.most_at_once(quota.limit) + quota.limit * seconds / window_s
        else:
            units = quota.limit * (seconds // window_s + 1) + quota.credit
        return units * self.share


class _Reach:
    """How many answers can be had in a time."""

    def __init__(self, each: list[_Cap], all_of_them: list[_Cap]) -> None:
        self._each = each
        self._all = all_of_them

    def shared(self, seconds: float) -> float:
        return min([cap.admitted(seconds) for cap in self._all], default=inf)

    def admitted(self, seconds: float, accounts: int) -> float:
        """Return the answers of so many accounts in so many seconds, from a standing start."""
        own = min([cap.admitted(seconds) for cap in self._each], default=inf)
        return min(own * accounts, self.shared(seconds))

    def seconds(self, queries: float, accounts: int) -> float:
        """Return the seconds in which so many accounts have so many answers."""
        if self.admitted(0.0, accounts) >= queries:
            return 0.0
        low, high = 0.0, FOREVER_S
        if self.admitted(high, accounts) < queries:
            return inf
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (low, middle) if self.admitted(middle, accounts) >= queries else (middle, high)
        return high

    def tightest(self) -> str:
        """Name the quota that bounds an account over a day."""
        caps = self._each or self._all
        if not caps:
            return "nothing"
        return min(caps, key=lambda cap: cap.admitted(WITHIN_A_DAY_S)).quota.name


def _share(quota: Quota, route: Route, thief: Thief, batch: int) -> float:
    """Return how many answers one unit buys; 0 where that is not known."""
    if quota.unit == "requests":
        return batch / route.tariff.requests
    if quota.unit == "tokens":
        return 1 / thief.tokens
    if quota.unit == "money":
        price = answer_price(route, thief, batch)
        return 1 / (price * MILLION) if price else 0.0
    return 0.0


def answer_price(route: Route, thief: Thief, batch: int) -> float:
    """Return what one answer costs by the policy's price."""
    price = route.tariff.price
    tokens = thief.tokens * max(price.per_million_input, price.per_million_output) / MILLION
    return (price.per_call / batch + tokens) / MILLION


def _batch(config: RouteConfig) -> int:
    bounds = PRESETS[config.preset].request.bounds
    if kind_of(config.preset) == "text":
        return 1  # a list of prompts counts as so many
    for name in BATCHES:
        if name in bounds and not config.preset.startswith(("kserve.", "tf_serving.")):
            return max(1, config.request.bounds.get(name, bounds[name].default))
    if config.preset.startswith(("kserve.infer", "tf_serving.")):
        return 256
    return 1


def _is_watched(config: RouteConfig) -> bool:
    settings = getattr(config, "extraction", None)
    respond = getattr(settings, "respond", "observe")
    return bool(getattr(settings, "watch", settings is not None)) and str(respond) != "observe" and settings is not None


# --- goals ------------------------------------------------------------------------------------------------------------


def _words(kind: str, form: str, config: RouteConfig, costs: dict[str, Any]) -> str:
    if kind == "classes":
        return str(costs["forms"][form]["words"])
    if kind == "vector":
        exact = config.response.precision
        return "a vector" if exact is None else "a vector, made coarser"
    return "text and log-probabilities" if "logprobs" in config.response.disclose else "text"


def _goals(config: RouteConfig, form: str, thief: Thief, costs: dict[str, Any], *, watch: bool) -> list[Goal]:
    kind = kind_of(config.preset)
    if kind == "text":
        return [_text_goal(costs), *([_with_watch(costs)] if watch else []), _width_goal(config, thief, costs)]
    if kind == "vector":
        low, high = costs["vector"]["queries"]
        return [Goal("encoder like it", (low, high), "an assumption")]
    table = costs["forms"][form]
    nearly, well = table["student"]
    hard = costs["hard_student"]["queries"]
    goals = [
        _exact_goal(table["exact"], thief),
        Goal("agrees in 90 %", (nearly, max(hard, nearly)), "from an easy model to a hard one, which takes more still"),
        Goal("agrees in 95 %", (well, max(hard, well)), "from an easy model to a hard one, which takes more still"),
    ]
    if watch:
        goals.append(Goal("95 %, unlike honest", (well, max(hard, well)), "", watched=True))
    return goals


def _exact_goal(exact: list[Any] | None, thief: Thief) -> Goal:
    name = "linear model, exactly"
    if exact is None:
        return Goal(name, None, "what leaves is no equation")
    each, of_all = exact
    unknowns = thief.parameters or (thief.inputs + 1) * (thief.classes - 1)
    equations = thief.classes - 1 if of_all else 1
    queries = ceil(each * unknowns / max(equations, 1))
    return Goal(name, (queries, queries), f"{unknowns:,} unknowns")


def _text_goal(costs: dict[str, Any]) -> Goal:
    low, high = costs["text"]["queries"]
    return Goal("student of its texts", (low, high), "from its manner to what it can do")


def _with_watch(costs: dict[str, Any]) -> Goal:
    low, high = costs["text"]["queries"]
    return Goal("student, unlike honest", (low, high), "", watched=True)


def _width_goal(config: RouteConfig, thief: Thief, costs: dict[str, Any]) -> Goal:
    table, bounds = costs["width"], config.request.bounds
    known = PRESETS[config.preset].request.bounds
    name = "width of last layer"
    if "nudge" in known and bounds.get("nudge", known["nudge"].default) > 10:
        queries = ceil(table["choice"] * (thief.width / table["of"]) ** 2)
        return Goal(name, (queries, queries), "biases are as good as free: request.bounds.nudge")
    if {"echo", "logprobs"} <= set(config.response.disclose):
        queries = ceil((thief.width + 1) ** 2 / 1000)
        return Goal(name, (queries, queries), "echo scores any text; a thousand tokens a prompt")
    return Goal(name, None, f"not found in {table['held']:,} queries of a model 64 wide")


def _price(goal: Goal, reach: _Reach, thief: Thief, price: float, watch: dict[str, Any] | None) -> Goal:
    """Put accounts, days and money to a goal."""
    if goal.queries is None:
        return goal
    accounts = []
    days = [tuple([_days(reach, queries, crowd, watch) for queries in goal.queries]) for crowd in CROWDS]
    for queries in goal.queries:
        own, shared = reach.admitted(WITHIN_A_DAY_S, 1), reach.shared(WITHIN_A_DAY_S)
        possible = shared >= queries and watch is None
        accounts.append(ceil(queries / own) if possible and own != inf else 1 if possible else 0)
    money = [
        count * thief.account_cost + queries * price for count, queries in zip(accounts, goal.queries, strict=True)
    ]
    known = all(accounts)
    changed = asdict(goal) | {
        "days": tuple(days),
        "accounts_in_a_day": tuple(accounts) if known else None,
        "money": tuple(money) if known else None,
    }
    return Goal(**changed)


def _days(reach: _Reach, queries: int, accounts: int, watch: dict[str, Any] | None) -> float:
    if watch is None:
        return reach.seconds(queries, accounts) / DAY_S
    before = int(watch["before"])
    free, rest = min(queries, before), max(0, queries - before)
    return reach.seconds(free, accounts) / DAY_S + rest / float(watch["a_day"])


def assumed(thief: Thief, costs: dict[str, Any]) -> list[str]:
    """Say what the figures rest on."""
    model = (
        f"{thief.parameters:,} unknowns" if thief.parameters else f"{thief.inputs} inputs and {thief.classes} classes"
    )
    forms = costs["forms"]["all"]["source"].partition(";")[0]
    said = (
        f"A linear model has {model}; a question and its answer {thief.tokens:,} tokens; a last layer",
        f"is {thief.width:,} wide.  An account costs {thief.account_cost:g} and {thief.account_minutes:g} minutes.",
    )
    return [
        " ".join(said),
        "A thief asks as fast as the quotas let, fills every batch, and never has to wait for the model.",
        f"An easy model: {forms}, a text classifier of six classes, asked about texts of the right kind.",
        f"A hard one: {costs['hard_student']['source']}.",
        f"Text: {costs['text']['source']}.",
        f"The watch: {costs['watch']['source']}.",
        NOT_MODELLED,
    ]
