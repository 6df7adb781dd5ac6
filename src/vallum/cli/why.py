"""`vallum why`: the full record of one exchange."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from vallum.cli.controls import amount
from vallum.cli.terminal import FAILED, complain, out, policy_option, read_config
from vallum.config.places import records_folder
from vallum.config.quotas import build_quota
from vallum.stores.records import find_record

if TYPE_CHECKING:
    from pathlib import Path

    from vallum.config.model import Config

# Members that are told together, in this order; all others follow as they are recorded.
TOLD_TOGETHER = frozenset(
    (
        "request_id at client method path route mode policy subject tenant credential decision status"
        " upstream_status received_bytes sent_bytes total_us upstream_us head_us body_us slot_us reason control detail"
        " rule pointer told"
    ).split()
)
TITLES = {"quotas": "quotas left"}
PER_QUOTA = ("quotas", "in_force")  # members of a record with a figure for each quota
FAILURE = "upstream_failure"
PATIENCE = 6  # a record is written within a beat of its exchange's end


@click.command(short_help="Explain one exchange, by its request id.")
@click.argument("request_id")
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@click.pass_context
def why(ctx: click.Context, request_id: str, policy: Path | None, as_json: bool) -> None:
    """Explain one exchange: what was decided, by which control, with the detail the caller was not given.

    REQUEST_ID is the X-Request-Id of the answer, and the request_id of every refusal.

    \b
    Example:  vallum why 01912f5e-7c3a-7d55-9a3e-3f0c5a1b2c3d
    """
    config, _ = read_config(policy)
    folder = records_folder(config)
    if folder is None:
        complain("records go to standard output (records.path is '-'): look for the request id in the gateway's log")
        ctx.exit(FAILED)
    record = None
    for attempt in range(PATIENCE):
        record = find_record(folder, request_id)
        if record is not None:
            break
        if attempt + 1 < PATIENCE:
            time.sleep(0.1)
    if record is None:
        complain(f"no record of {request_id} in {folder}")
        complain(
            "Is this the policy the gateway runs with (--policy)?  Old records are deleted: see records.max_files"
            " and records.keep_days."
        )
        ctx.exit(FAILED)
    if as_json:
        click.echo(json.dumps(record))
    else:
        explain(record, _in_money(config))


def explain(record: dict[str, Any], in_money: frozenset[str] = frozenset()) -> None:
    """Print a record for a person.  The quotas that are `in_money` are recorded in millionths."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, words in _story(record).items():
        if words:
            table.add_row(name, escape(words))
    for name, value in record.items():
        if value not in (None, [], {}) and name not in TOLD_TOGETHER and name != FAILURE:
            table.add_row(TITLES.get(name, name.removesuffix("_us")), _text(name, value, in_money))
    out.print(_sentence(record), style="bold")
    out.print(table)
    if FAILURE in record:
        _show_failure(record[FAILURE])


def _story(record: dict[str, Any]) -> dict[str, str]:
    """Say who asked what, why it ended so, and how long it took, from the members that every record has."""
    tenant, credential = record.get("tenant"), record.get("credential")
    who = [
        record.get("subject") or "nobody that is known",
        tenant and f"of {tenant}",
        credential and f"by {credential}",
    ]
    place = [f"route {record['route']}" if record.get("route") else "no route"]
    place += ["in shadow"] if record.get("mode") == "shadow" else []
    asked = [f"{record.get('method')} {record.get('path')}", *place, f"{record.get('received_bytes', 0)} bytes"]
    upstream = record.get("upstream_status")
    answered = "did not answer" if record.get("upstream_us") else "was not asked"
    return {
        "why": record.get("detail", ""),
        "told": _told(record),
        "who": f"{' '.join(filter(None, who))}, from {record['client']}" if "client" in record else "",
        "asked": ", ".join(asked) if "method" in record else "",
        "upstream": (f"said {upstream}" if upstream else answered) if "upstream_status" in record else "",
        "took": _took(record),
        "at": _text("at", record["at"]) if "at" in record else "",
        "policy": record.get("policy") or "",
        "request_id": record.get("request_id", ""),
    }


def _told(record: dict[str, Any]) -> str:
    """Say what the caller was told besides the code."""
    if "reason" not in record:
        return ""
    if "retry_after_s" in record:
        return f"to come back in {record['retry_after_s']} s"
    said = [
        f"{entry['pointer'] or 'the whole'}: {entry.get('rule', entry.get('value'))}"
        for entry in record.get("told", [])
    ]
    return "\n".join(said) or "nothing but the code"


def _took(record: dict[str, Any]) -> str:
    """Say how long it took in all, and of that what was not nothing."""
    if "total_us" not in record:
        return ""
    parts = {"head": "head", "body": "quotas and checks", "upstream": "upstream", "slot": "held to its slot"}
    spans = {words: record.get(f"{name}_us", 0) / 1000 for name, words in parts.items()}
    split = ", ".join(f"{words} {span:.2f}" for words, span in spans.items() if span)
    return f"{record['total_us'] / 1000:.2f} ms" + (f": {split}" if split else "")


def _show_failure(failure: dict[str, Any]) -> None:
    """Print what the upstream said when it failed: status, fields, and the beginning of the body, as they were kept."""
    guise = ", in the guise of an answer" if failure["inside"] else ""
    out.print(f"\nThe upstream said {failure['status']}{guise}:", style="bold")
    for name, value in failure["headers"].items():
        out.print(escape(f"  {printable(name)}: {printable(value)}"), highlight=False)
    if "body" in failure:
        lines = [printable(line) for line in _unfold(failure["body"]).splitlines()]
        out.print(escape("\n".join(["", *(f"  {line}" for line in lines)])), highlight=False, soft_wrap=True)


def _unfold(body: str) -> str:
    """Return JSON as a person reads it, a traceback in it line by line; any other text as it is."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return body
    return json.dumps(document, indent=2, ensure_ascii=False).replace("\\n", "\n    ")


def printable(text: str) -> str:
    """Return `text` without what would steer a terminal."""
    return "".join([sign if sign.isprintable() else "\ufffd" for sign in text.expandtabs(4)])


def _in_money(config: Config) -> frozenset[str]:
    """Return the names of the quotas that count money."""
    entries = (entry for route in config.routes for entry in route.quotas)
    return frozenset(build_quota(e).name for e in entries if not isinstance(e, str) and e.unit == "money")


def _text(name: str, value: Any, in_money: frozenset[str] = frozenset()) -> str:
    if name == "at":
        value = datetime.fromtimestamp(value, UTC).isoformat(timespec="milliseconds")
    elif name.endswith("_us"):
        value = f"{value / 1000:.2f} ms"
    elif name == "spent":
        value = "\n".join(f"{quota}: {_account(account, quota in in_money)}" for quota, account in value.items())
    elif name in PER_QUOTA:
        value = ", ".join(f"{quota} {amount(units, quota in in_money)}" for quota, units in value.items())
    elif name == "web_acl":
        value = _matched(value)
    elif name == "extraction":
        value = _suspicion(value)
    elif isinstance(value, dict):
        value = ", ".join(f"{key} {item}" for key, item in value.items() if item is not None)
    elif isinstance(value, list):
        value = "\n".join(_text("", item) for item in value)
    return escape(str(value))


def _matched(told: dict[str, Any]) -> str:
    """Say which rules of a web ACL a request has matched, and the labels that they put on it."""
    lines = [f"{told['name']}{' (shadow)' if told['mode'] == 'shadow' else ''}"]
    lines += [f"{entry['rule']}, {entry['action']}: {entry['detail']}" for entry in told["rules"]]
    return "\n".join(lines + ([f"labels: {', '.join(told['labels'])}"] if "labels" in told else []))


def _suspicion(told: dict[str, Any]) -> str:
    """Say how far the caller is suspected of copying the model, why, what is done, and what would end it."""
    done = {
        "coarsen": "scores at level {}",
        "answers_a_day": "{} answers a day for the whole cluster",
        "work_bits": "work of {} bits for each answer",
    }
    steps = [words.format(told[key]) for key, words in done.items() if key in told]
    if told["grade"] == "refused":
        steps = ["no answers"]
    mood = "would be done" if told["respond"] == "observe" else "done"
    lines = [
        told["grade"] + (f", in cluster {told['cluster']}" if "cluster" in told else ""),
        told["evidence"],
        f"{mood}: {'; '.join(steps) or 'nothing'}",
    ]
    if "until" in told:
        ends = "the pardon ends" if told.get("pardoned") else "a grade lower, if no more sweeps name it,"
        lines.append(f"{ends} {datetime.fromtimestamp(told['until'], UTC):%Y-%m-%dT%H:%MZ}")
    if "account" in told and not told.get("pardoned"):
        lines.append(f'let it go on: vallum extraction pardon {told["account"]} --for 7d --because "..."')
    return "\n".join(lines)


def _account(account: dict[str, Any], money: bool) -> str:
    settled = "not" if account["settled"] is None else amount(account["settled"], money)
    return f"{amount(account['reserved'], money)} reserved, {settled} settled"


def _sentence(record: dict[str, Any]) -> str:
    status = record["status"]
    if record["decision"] == "cancelled":
        return "The caller left before the answer was whole."
    if "reason" in record:
        if status is not None and status < 400:
            return f"Answered {status}, then broken off: {record['reason']} by {record['control']}."
        return f"Refused with {status} {record['reason']} by {record['control']}."
    cut = f", and cut short by the quota {record['cut_by']}" if "cut_by" in record else ""
    return f"Let through, answered {status}{cut}."
