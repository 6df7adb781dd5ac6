"""Which route takes a request: one table, in the policy's order, over the path as it is read by everybody.

nginx chooses a location by its path alone, and not by the order of a file.  So a table chooses the route, and each
route has a location of its own that nobody can ask for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.exporters.nginx.text import block, comment, expression
from vallum.exporters.paths import excluded_expression, literal, path_expression

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vallum.core.policy import Route

# What makes a path one that two servers could read in two ways (core/target.py), each with its reason.
ODD = (
    ("empty segments", "~^[^?]*//"),
    ("dot segments, with parameters too", r"~*^[^?]*/(?:(?:\.|%2e){1,2}(?:[/?]|$)|(?:\.|%2e){0,2}(?:;|%3b))"),
    ("control signs; slash, backslash, percent, question mark and hash, encoded", "~*^[^?]*%(?:[01]|2[35f]|3f|5c|7f)"),
    ("signs that a path does not have", "~^[^?]*[^A-Za-z0-9/%?:@!$&'()*+,;=._~-]"),
    ("percent signs that encode nothing", "~*^[^?]*%(?![0-9a-f]{2})"),
    ("bytes that are no UTF-8", "~*^[^?]*(?:%(?:c[01]|f[5-9a-f])|%[c-f][0-9a-f](?!%[89ab])|(?<!%[89a-f].)%[89ab])"),
)


def route_map(routes: Sequence[Route], names: Mapping[str, str]) -> list[str]:
    """Return the tables."""
    table = [f"{expression(_line(route))} route/{names[route.name]};" for route in routes if route.responder is None]
    odd = [line for why, form in ODD for line in (*comment(why), f"{expression(form)} 0;")]
    own = [f'{expression(_line(route))} "";' for route in routes if route.responder is not None]
    return [
        *comment("A path that two servers could read in two ways has no route."),
        *block("map $request_uri $vallum_plain", ["default 1;", *odd]),
        "",
        *comment("The first line that matches takes a request; what is not named does not exist."),
        *block('map "$vallum_plain $request_method $uri" $vallum_route', ['default "";', *own, *table]),
    ]


def _line(route: Route) -> str:
    methods = "|".join(sorted(route.methods))
    excluded = "|".join(excluded_expression(pattern) for pattern in route.exclude)
    but = f"(?!(?:{excluded})$)" if excluded else ""
    return f"~^1 (?:{methods}) {but}{path_expression(route.pattern)}$"


def query_expression(names: frozenset[str]) -> str:
    """Return what matches a query of such parameters, or none."""
    if not names:
        return "^$"
    name = f"(?:{'|'.join(literal(one) for one in sorted(names))})(?:=[^&]*)?"
    return f"^(?:{name}(?:&{name})*)?$"
