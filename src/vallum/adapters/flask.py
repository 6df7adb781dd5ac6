"""One view of a Flask app behind one route of the policy: all of its controls, on the request and on the answer.

The view runs where Flask runs it.  `flask.request` is then the request that the policy lets through, and stays that for
whatever Flask does after the view.  What runs before it (`before_request`) sees the request as it came; where that
reads the body, there is none left to judge, and the request is refused.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from flask import Response, current_app, request
from flask.globals import request_ctx

from vallum.adapters.wsgi.visit import Visit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vallum.adapters.wsgi.visit import Desk, Environ, StartResponse


def protect_view(view: Callable[..., Any], desk: Desk) -> Callable[..., Any]:
    """Return `view` behind the house at `desk`."""

    @wraps(view)
    def protected(**parts: Any) -> Any:
        def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            vetted = current_app.request_class(environ)
            vetted.url_rule, vetted.view_args = request.url_rule, request.view_args
            request_ctx.request = vetted
            answer: Iterable[bytes] = _answer(view, parts)(environ, start_response)
            return answer

        told: list[Any] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            told.extend((status, headers))
            return told.append

        pieces = Visit(app, request.environ, start_response, desk).serve()
        return Response(pieces, status=told[0], headers=told[1], direct_passthrough=True)

    return protected


def _answer(view: Callable[..., Any], parts: dict[str, Any]) -> Any:
    """Run the view as Flask does: what it aborts with is an answer, too."""
    try:
        said = current_app.ensure_sync(view)(**parts)
    except Exception as error:  # noqa: BLE001  Flask knows what becomes of it, or raises it again
        said = current_app.handle_user_exception(error)
    return current_app.make_response(said)
