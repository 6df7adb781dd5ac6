"""The same policy in every framework, under a real server: what comes in, who it is, and what goes out."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import django
import flask
import httpx
import litestar
import openai
import pytest
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, JsonResponse
from django.urls import path as django_path
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Mount, Route

from vallum.core.principal import Principal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from vallum.middleware import Vallum

    Serve = Callable[..., AbstractContextManager[str]]

ATTACK = {"input_text": "1' UNION SELECT password FROM users --"}


def told(who: Principal, saw: Any) -> dict[str, Any]:
    return {"prediction": "spam", "who": who.subject, "saw": saw, "logits": [1, 2]}


# --- one model in six frameworks


async def starlette_predict(request: Any) -> JSONResponse:
    assert request.scope["vallum"] == request.state.vallum
    assert "authorization" not in request.headers
    return JSONResponse(told(request.state.vallum, (await request.json())["input_text"]))


def starlette_app() -> Any:
    return Starlette(routes=[Route("/predict", starlette_predict, methods=["POST"])])


async def pass_on(request: Any, call_next: Any) -> Any:
    return await call_next(request)


def starlette_under_tasks() -> Any:
    routes = [Route("/predict", starlette_predict, methods=["POST"])]
    return Starlette(routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=pass_on)])


def fastapi_app() -> Any:
    app = FastAPI()

    @app.post("/predict")
    def predict(body: dict[str, str], request: Request) -> dict[str, Any]:  # in a thread of a pool
        return told(request.state.vallum, body["input_text"])

    return app


def litestar_app() -> Any:
    @litestar.post("/predict", status_code=200)
    async def predict(request: litestar.Request[Any, Any, Any]) -> dict[str, Any]:
        scope: Any = request.scope
        return told(scope["vallum"], (await request.json())["input_text"])

    return litestar.Litestar([predict])


def django_predict(request: HttpRequest) -> JsonResponse:
    who = request.scope["vallum"] if hasattr(request, "scope") else request.META["vallum.principal"]
    return JsonResponse(told(who, json.loads(request.body)["input_text"]))


class Urls:
    urlpatterns = (django_path("predict", django_predict),)


def django_ready() -> None:
    if not settings.configured:
        settings.configure(ROOT_URLCONF=Urls, ALLOWED_HOSTS=["*"], SECRET_KEY="tests", LOGGING_CONFIG=None)
        django.setup()


def django_asgi() -> Any:
    django_ready()
    return ASGIHandler()


def django_wsgi() -> Any:
    django_ready()
    return WSGIHandler()


def flask_app() -> Any:
    app = flask.Flask("model")

    @app.post("/predict")
    def predict() -> Any:
        environ = flask.request.environ
        assert environ["REMOTE_USER"] == "alice"
        assert "HTTP_AUTHORIZATION" not in environ
        return told(environ["vallum.principal"], flask.request.get_json()["input_text"])

    return app


ASGI = [starlette_app, starlette_under_tasks, fastapi_app, litestar_app, django_asgi]
WSGI = [flask_app, django_wsgi]


def hold(url: str, key: str) -> None:
    """Hold an address against the policy."""
    client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"})
    with client:
        honest = client.post("/predict", json={"input_text": "a <b>good</b> day"})
        assert honest.json() == {"prediction": "spam", "who": "alice", "saw": "a good day"}
        assert honest.headers["ratelimit"].startswith('"minute";r=4')
        assert client.post("/predict", json=ATTACK).status_code == 403
        assert client.post("/predict", content=b"{", headers={"Content-Type": "application/json"}).status_code == 400
        assert client.post("/nowhere", json={}).json()["code"] == "not_found"
        assert client.post("/predict%2e", json={}).status_code == 404
        stranger = client.post("/predict", json={}, headers={"Authorization": "", "Remote-User": "alice"})
        assert (stranger.status_code, stranger.headers["www-authenticate"][:6]) == (401, "Bearer")
        failed = client.post("/predict", json={"other": "1"})
        assert failed.status_code == 502
        assert b"KeyError" not in failed.content
        seen = [client.post("/predict", json={"input_text": "x"}).status_code for _ in range(3)]
        assert seen == [200, 200, 429]


@pytest.mark.parametrize("make", ASGI)
def test_an_asgi_app_is_behind_the_policy(make: Any, vallum: Vallum, key: str, serve_asgi: Serve) -> None:
    with serve_asgi(vallum.asgi(make())) as url:
        hold(url, key)


@pytest.mark.parametrize("make", WSGI)
def test_a_wsgi_app_is_behind_the_policy(make: Any, vallum: Vallum, key: str, serve_wsgi: Serve) -> None:
    with serve_wsgi(vallum.wsgi(make())) as url:
        hold(url, key)


def test_an_app_that_is_mounted_is_judged_by_its_own_paths(vallum: Vallum, key: str, serve_asgi: Serve) -> None:
    outer = Starlette(routes=[Mount("/models/v1", vallum.asgi(starlette_app()))])
    with serve_asgi(outer) as url:
        hold(f"{url}/models/v1", key)


def test_an_app_under_a_root_path_is_judged_by_its_own_paths(vallum: Vallum, key: str, serve_asgi: Serve) -> None:
    with serve_asgi(vallum.asgi(fastapi_app()), root_path="/api") as url:
        hold(url, key)


# --- streams, as the OpenAI SDK reads them


def delta(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


def test_a_stream_reaches_the_openai_sdk_as_it_is_made(vallum: Vallum, key: str, serve_asgi: Serve) -> None:
    heard = threading.Event()
    app = FastAPI()

    @app.post("/v1/chat/completions")
    def chat() -> StreamingResponse:
        def stream() -> Iterator[bytes]:
            yield delta("Hel")
            yield delta("lo" if heard.wait(10) else "!")  # only after the client has read what came before
            yield b"data: [DONE]\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    with serve_asgi(vallum.asgi(app)) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        texts = []
        stream = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True)
        for chunk in stream:
            texts.append(chunk.choices[0].delta.content)
            heard.set()
        client.close()
    assert texts == ["Hel", "lo"]


def test_a_stream_leaves_a_wsgi_app_as_it_is_made(vallum: Vallum, serve_wsgi: Serve) -> None:
    heard = threading.Event()
    app = flask.Flask("model")

    @app.get("/raw/stream")
    def stream() -> Any:
        here = threading.get_ident()

        def pieces() -> Iterator[bytes]:
            yield b"one"
            yield b"two" if heard.wait(10) and threading.get_ident() == here else b"late"

        return pieces()

    with serve_wsgi(vallum.wsgi(app)) as url, httpx.stream("GET", f"{url}/raw/stream") as answer:
        got = []
        for piece in answer.iter_raw():
            got.append(piece)
            heard.set()
    assert b"".join(got) == b"onetwo"
    assert len(got) > 1


# --- single endpoints


def test_one_view_of_flask_is_protected(vallum: Vallum, key: str, serve_wsgi: Serve) -> None:
    app = flask.Flask("model")
    app.secret_key = "tests"

    @app.post("/predict")
    @vallum.protect("predict")
    def predict() -> Any:
        flask.session["seen"] = True
        flask.after_this_request(lambda answer: answer)
        body = flask.request.get_json()
        if "input_text" not in body:
            flask.abort(500)
        return told(flask.request.environ["vallum.principal"], body["input_text"])

    @app.post("/free")
    def free() -> Any:
        return flask.request.get_data()

    with serve_wsgi(app) as url:
        assert httpx.post(f"{url}/free", content=b"as it was").content == b"as it was"
        client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"})
        with client:
            honest = client.post("/predict", json={"input_text": "a <b>good</b> day"})
            assert honest.json() == {"prediction": "spam", "who": "alice", "saw": "a good day"}
            assert "session" in honest.cookies
            assert client.post("/predict", json=ATTACK).status_code == 403
            assert client.post("/predict", json={"other": "1"}).status_code == 502
            assert httpx.post(f"{url}/predict", json={}).status_code == 401


@pytest.mark.parametrize("included", [False, True])
def test_a_router_of_fastapi_is_protected(included: bool, vallum: Vallum, key: str, serve_asgi: Serve) -> None:
    app = FastAPI()
    router = APIRouter(route_class=vallum.route_class("predict")) if included else app.router
    router.route_class = vallum.route_class("predict")

    @router.post("/predict")
    async def predict(body: dict[str, str], request: Request) -> dict[str, Any]:
        return told(request.state.vallum, body["input_text"])

    if included:
        app.include_router(router)

    @app.middleware("http")
    async def outer(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    with serve_asgi(app) as url, httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client:
        honest = client.post("/predict", json={"input_text": "a <b>good</b> day"})
        assert honest.json() == {"prediction": "spam", "who": "alice", "saw": "a good day"}
        assert client.post("/predict", json=ATTACK).status_code == 403
        assert httpx.post(f"{url}/predict", json={}).status_code == 401


def test_a_dependency_of_fastapi_lets_in_whom_the_route_lets_in(vallum: Vallum, key: str, serve_asgi: Serve) -> None:
    app = FastAPI()
    caller = Depends(vallum.caller("plain"))

    @app.post("/plain")
    async def plain(body: dict[str, str], who: Principal = caller) -> dict[str, str]:
        if "gone" in body:
            raise HTTPException(410)
        return {"who": who.subject}

    with serve_asgi(app) as url, httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client:
        assert client.post("/plain", json={"a": "b"}).json() == {"who": "alice"}
        assert client.post("/plain", json={"gone": "b"}).status_code == 410
        over = client.post("/plain", json={})
        assert (over.status_code, over.json()["detail"]["code"]) == (429, "quota_exceeded")
        assert int(over.headers["retry-after"]) > 0
        assert httpx.post(f"{url}/plain", json={}).status_code == 401


def test_what_cannot_be_done_is_said_at_the_start(vallum: Vallum) -> None:
    with pytest.raises(ValueError, match=r"'predict' has response, request.sanitize.*route_class"):
        vallum.caller("predict")
    with pytest.raises(ValueError, match="no route 'preduct'; it has predict, chat, plain, raw"):
        vallum.protect("preduct")
    with pytest.raises(ValueError, match="no route"):
        vallum.route_class("x")
