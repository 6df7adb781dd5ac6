"""`vallum tune`: what the prompt-injection check would refuse of an operator's own honest traffic."""

from __future__ import annotations

import json
import re
import time
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import click
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from vallum.checks.prompt_injection import PromptInjection, PromptInjectionConfig, Sensitivity
from vallum.cli.learn import LINE_MAX_BYTES, read_line
from vallum.cli.terminal import FAILED, complain, err, out
from vallum.cli.tuning import Sample, group, interval, propose, write_threshold
from vallum.cli.why import printable
from vallum.config.compile import load_policy
from vallum.config.source import parse_source, read_source
from vallum.core.content import Content, ContentError
from vallum.drafts.traffic import NO_BODY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vallum.cli.tuning import Proposal
    from vallum.config.model import Config
    from vallum.config.source import Place
    from vallum.core.policy import Policy, Route

SHARE = re.compile(r"(\d{1,2}(?:\.\d{1,6})?|\.\d{1,6}) ?%")
SHOWN_CHARS = 100


class Share(click.ParamType[float]):
    """A share in per cent: 0.1%."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return a share of 1."""
        match = SHARE.fullmatch(str(value))
        if match is None or not 0 < float(match[1]) < 50:
            return self.fail(f"{value!r}: write a share over 0 and under 50%, such as 0.1%", param, ctx)
        return float(match[1]) / 100


class Tuned(NamedTuple):
    """The check that is tuned: its route, its settings, and its place in the policy file."""

    route: Route
    check: PromptInjection
    place: Place


class Told(NamedTuple):
    """What was read: the samples, and how much was not one."""

    samples: list[Sample]
    texts: dict[int, str]  # the beginning of each sample's worst place, kept only where examples are to be shown
    repeated: int
    elsewhere: int
    bad: int


@click.command(short_help="Calibrate the prompt-injection check on honest traffic.")
@click.argument("policy", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("benign", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--route", metavar="NAME", help="The route whose check is tuned; needed where several have one.")
@click.option("--text", "is_text", is_flag=True, help="BENIGN holds one prompt a line, not requests.")
@click.option("--refuse", "wanted", type=Share(), default="0.1%", show_default=True, help="Share that may be refused.")
@click.option(
    "--examples", default=0, show_default=True, metavar="N", help="Show N of what would be refused, with text."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the policy with the threshold."
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def tune(
    ctx: click.Context,
    policy: Path,
    benign: Path,
    route: str | None,
    is_text: bool,
    wanted: float,
    examples: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Calibrate POLICY's prompt-injection check on BENIGN: requests that are known to be honest.

    BENIGN holds requests in JSON, one a line, as `vallum learn` reads them; or, with --text, one prompt a line.  Only
    what differs is counted.  No text is printed unless --examples asks for it.

    \b
    Example:  vallum tune vallum.yaml honest.jsonl --refuse 0.1%
              vallum tune vallum.yaml prompts.txt --text --examples 5 -o tuned.yaml
    """
    source = read_source(policy)
    config, compiled = load_policy(source, time.time())
    tuned = _choose(config, compiled, route)
    told = _judge(benign, tuned, compiled, is_text, examples)
    if not told.samples:
        complain(f"{benign} holds no request for the route {tuned.route.name}")
        ctx.exit(FAILED)
    proposal = propose([sample.probability for sample in told.samples], wanted, _lowest(tuned.check))
    if as_json:
        click.echo(json.dumps(_facts(tuned, told, proposal, wanted)))
    else:
        _show(tuned, told, proposal, wanted)
    if output is not None:
        text = write_threshold(source.text.decode(), source, tuned.place, proposal.threshold)
        load_policy(parse_source(output, text.encode()), time.time())
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise click.BadParameter(f"{output} cannot be written: {error.strerror}", param_hint="-o") from error
        err.print(f"{output}: threshold {proposal.threshold:g} on the route {escape(tuned.route.name)}.", style="bold")


def _choose(config: Config, policy: Policy, name: str | None) -> Tuned:
    """Return the check to tune: the one of the route named, or the only one."""
    routes = {route.name: route for route in policy.routes}
    known = {
        route.name: Tuned(routes[route.name], _compiled(routes[route.name], check), ("routes", number, "checks", index))
        for number, route in enumerate(config.routes)
        for index, check in enumerate(route.checks)
        if isinstance(check, PromptInjectionConfig)
    }
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name in known:
        return known[name]
    which = ", ".join(known) or "none"
    raise click.UsageError(f"name a route with a check of type prompt_injection: --route NAME (there is: {which})")


def _compiled(route: Route, config: PromptInjectionConfig) -> PromptInjection:
    """Return the check that a config was compiled to: it may have files of its own."""
    checks = [guard.check for guard in route.intake.checks if isinstance(guard.check, PromptInjection)]
    return next(check for check in checks if check.config == config)


def _judge(benign: Path, tuned: Tuned, policy: Policy, is_text: bool, examples: int) -> Told:
    samples: list[Sample] = []
    texts: dict[int, str] = {}
    seen: set[int] = set()
    repeated = elsewhere = bad = 0
    with benign.open("rb") as lines, Progress(console=err, transient=True) as progress:
        task = progress.add_task("judging", total=benign.stat().st_size)
        for number, line in enumerate(iter(lambda: lines.readline(LINE_MAX_BYTES), b""), 1):
            progress.advance(task, len(line))
            try:
                content = _prompt(line) if is_text else _request(line, tuned.route, policy)
            except (ValueError, ContentError):
                bad += bool(line.strip())
                continue
            if content is None:
                elsewhere += 1
            elif not content.text.strip() or hash(content.text) in seen:
                repeated += bool(content.text.strip())
            else:
                seen.add(hash(content.text))
                sample = _sample(number, content, tuned.check)
                samples.append(sample)
                if len(texts) < examples and sample.refused_at:
                    texts[number] = _beginning(content, sample.where)
    return Told(samples, texts, repeated, elsewhere, bad)


def _prompt(line: bytes) -> Content:
    return Content(line.decode().strip())


def _request(line: bytes, route: Route, policy: Policy) -> Content | None:
    """Return what a recorded request says; None if it is for another route.  Raise ValueError if it is none."""
    request = read_line(line)
    if request is None:
        raise ValueError("no request")
    found = policy.find_route(request.method, request.path)
    if found is None or found.name != route.name:
        return None
    body = None if request.body is NO_BODY else request.body
    return Content(body, request.query, route.intake.max_depth, route.intake.passages)


def _sample(number: int, content: Content, check: PromptInjection) -> Sample:
    """Judge one request by the worst that is said in it."""
    standing, worst = max(check.judge_whole(content), key=lambda heard: heard[1].logit)
    at = frozenset(name for name in get_args(Sensitivity) if worst.logit >= check.thresholds(standing).of(name))
    where = check.locate(content, standing) if at else ""
    layer = f"patterns ({worst.evidence.names})" if worst.evidence.names else "model"
    return Sample(number, worst.probability, at, standing, where, layer)


def _beginning(content: Content, where: str) -> str:
    """Return the beginning of the string at a pointer; of all strings where there is none."""
    item = content.document
    for token in where.split("/")[1:]:
        if isinstance(item, dict):
            item = item.get(token.replace("~1", "/").replace("~0", "~"))
        elif isinstance(item, list) and token.isdigit():
            item = item[int(token)]
    return printable(item if isinstance(item, str) else content.text)[:SHOWN_CHARS]


def _lowest(check: PromptInjection) -> float:
    """Return the probability at which the strictest sensitivity begins: nobody has measured what lies below."""
    return 1 / (1 + exp(-check.thresholds("user").strict))


def _facts(tuned: Tuned, told: Told, proposal: Proposal, wanted: float) -> dict[str, Any]:
    count = len(told.samples)
    return {
        "route": tuned.route.name,
        "requests": count,
        "repeated": told.repeated,
        "elsewhere": told.elsewhere,
        "unreadable": told.bad,
        "sensitivities": {
            name: {
                "refused": len(refused),
                "share": len(refused) / count,
                "interval": interval(len(refused), count),
                "by": [{"where": where, "layer": layer, "count": some} for where, layer, some in group(refused)],
            }
            for name, refused in _by_sensitivity(told.samples)
        },
        "proposal": {
            "threshold": proposal.threshold,
            "refused": proposal.refused,
            "wanted": wanted,
            "at_most": proposal.upper,
            "holds": proposal.holds(wanted),
            "requests_needed": proposal.needed,
        },
        "examples": [{"line": number, "text": text} for number, text in told.texts.items()],
    }


def _by_sensitivity(samples: list[Sample]) -> Iterator[tuple[str, list[Sample]]]:
    for name in get_args(Sensitivity):
        yield name, [sample for sample in samples if name in sample.refused_at]


def _show(tuned: Tuned, told: Told, proposal: Proposal, wanted: float) -> None:
    count = len(told.samples)
    left_out = [f"{told.repeated:,} repeated", f"{told.elsewhere:,} for other routes", f"{told.bad:,} unreadable"]
    out.print(f"{tuned.route.name}: {count:,} different requests ({', '.join(left_out)})", style="bold")
    table = Table("would refuse", "requests", "share", "95 % interval", box=None, padding=(0, 2, 0, 0))
    for name, refused in _by_sensitivity(told.samples):
        low, high = interval(len(refused), count)
        table.add_row(name, f"{len(refused):,}", f"{len(refused) / count:.2%}", f"{low:.2%} to {high:.2%}")
    out.print(table)
    for where, layer, some in group([sample for sample in told.samples if sample.refused_at]):
        out.print(f"  {some:,} at {where or 'the whole'}: {layer}", markup=False, soft_wrap=True)
    for number, text in told.texts.items():
        out.print(f"  line {number}: {text}", markup=False, soft_wrap=True)
    _show_proposal(proposal, wanted, count)


def _show_proposal(proposal: Proposal, wanted: float, count: int) -> None:
    share = f"{100 * wanted:g} %"
    out.print(f"To refuse at most {share}:", style="bold")
    out.print(f"  - {{type: prompt_injection, threshold: {proposal.threshold:g}}}", markup=False)
    out.print(
        f"  refuses {proposal.refused:,} of these {count:,}, and no more than {proposal.upper:.2%} of others like them."
    )
    if not proposal.holds(wanted):
        few = f"These are too few to show {share}: bring {proposal.needed:,} or more, or begin in shadow."
        out.print(f"  {few}", style="yellow")
