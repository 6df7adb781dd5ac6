"""YAML as CloudFormation reads it: values and intrinsic functions.

Rule: nothing of the policy is a reference: what CloudFormation would expand (`${`) is escaped, and what it would expand
      and cannot be escaped (`{{resolve:`) is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from vallum.exporters.export import ExportError
from vallum.exporters.yaml_text import quote, strip, write_scalar, write_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

DYNAMIC = re.compile(r"\{\{\s*resolve\s*:", re.IGNORECASE)


class Ref(NamedTuple):
    """`!Ref`: a parameter's value, or what a resource is called."""

    name: str


class Sub(NamedTuple):
    """`!Sub`: a text of ours with `${references}`; texts of the policy go through `literal` first."""

    text: str


class GetAtt(NamedTuple):
    """`!GetAtt`: an attribute of a resource."""

    name: str
    attribute: str


class If(NamedTuple):
    """`!If`: one of two values, by a condition."""

    condition: str
    then: Any
    otherwise: Any


class Function(NamedTuple):
    """Another function, by its short name: `Not`, `Equals`."""

    name: str
    arguments: list[Any]


class Resolved(NamedTuple):
    """`!Sub` of a text that CloudFormation shall resolve: the only way to a secret."""

    text: str


NOTHING = Ref("AWS::NoValue")
LONG_NAMES = {"GetAtt": "Fn::GetAtt", "If": "Fn::If", "Sub": "Fn::Sub", "Not": "Fn::Not", "Equals": "Fn::Equals"}


def literal(text: str) -> str:
    """Return `text` so that `!Sub` leaves it as it is."""
    return text.replace("${", "${!")


def plain(document: Any) -> Any:
    """Return a document as readers of JSON templates know it, without comments."""
    return strip(document, _long)


def _long(value: Any) -> Any:
    """Return a function in its long form."""
    if isinstance(value, Ref):
        return {"Ref": value.name}
    if isinstance(value, Sub | Resolved):
        return {"Fn::Sub": value.text}
    if isinstance(value, GetAtt):
        return {"Fn::GetAtt": [value.name, value.attribute]}
    if isinstance(value, If):
        return {"Fn::If": [value.condition, plain(value.then), plain(value.otherwise)]}
    if isinstance(value, Function):
        return {LONG_NAMES[value.name]: [plain(item) for item in value.arguments]}
    return value


def write(document: Mapping[str, Any], head: str = "") -> str:
    """Write a document, its members in their order.  Raises ExportError for a text that cannot be kept a text."""
    return write_yaml(document, head, scalar)


def scalar(value: Any) -> str:
    """Write a scalar, or a function in its short form."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Ref):
        return f"!Ref {value.name}"
    if isinstance(value, GetAtt):
        return f"!GetAtt {value.name}.{value.attribute}"
    if isinstance(value, Sub):
        return f"!Sub {_text(value.text)}"
    if isinstance(value, Resolved):
        return f"!Sub {quote(value.text)}"
    if isinstance(value, If):
        return f"!If [{', '.join(map(scalar, value))}]"
    if isinstance(value, Function):
        return f"!{value.name} [{', '.join(map(scalar, value.arguments))}]"
    return write_scalar(value)


def _text(text: str) -> str:
    if DYNAMIC.search(text):
        raise ExportError(f"{text[:60]!r} would be resolved by CloudFormation: take '{{{{resolve:' out of the policy")
    return write_scalar(text)
