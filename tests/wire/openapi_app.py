"""A FastAPI upstream as people write them, which notes every request that reaches it and what it made of it.

A request with the field `x-judge` is answered and not noted: it asks what this upstream makes of it alone.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal

from fastapi import Body, FastAPI, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"
    BLUE = "blue"


class Box(Strict):
    kind: Literal["box"]
    width: Annotated[float, Field(gt=0, le=1000)]
    height: Annotated[float, Field(gt=0, le=1000)]


class Circle(Strict):
    kind: Literal["circle"]
    radius: Annotated[float, Field(gt=0, le=1000)]


class Feature(Strict):
    name: Annotated[str, Field(min_length=1, max_length=32, pattern="^[a-z][a-z0-9_]*$")]
    values: Annotated[list[float], Field(min_length=1, max_length=8)]
    colour: Colour | None = None


class Predict(Strict):
    features: Annotated[list[Feature], Field(min_length=1, max_length=4)]
    shape: Annotated[Box | Circle, Field(discriminator="kind")]
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    tags: dict[Annotated[str, Field(max_length=16)], Annotated[str, Field(max_length=64)]] = {}


class Node(Strict):
    label: Annotated[str, Field(max_length=20)]
    children: Annotated[list[Node], Field(max_length=3)] = []


class Turn(Strict):
    role: Literal["system", "user", "assistant"]
    content: (
        Annotated[str, Field(max_length=2000)]
        | Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=4)]
    )


class Chat(Strict):
    messages: Annotated[list[Turn], Field(min_length=1, max_length=10)]
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    stop: list[Annotated[str, Field(max_length=8)]] | Annotated[str, Field(max_length=8)] | None = None


app = FastAPI(title="A model")
reached: list[tuple[int, str, str]] = []


@app.middleware("http")
async def note(request: Request, call_next: Any) -> Any:
    answer = await call_next(request)
    if "x-judge" not in request.headers:
        reached.append((answer.status_code, request.method, str(request.url)))
    return answer


@app.post("/predict")
async def predict(body: Predict) -> dict[str, str]:
    return {"label": "x"}


@app.post("/chat")
async def chat(body: Chat) -> dict[str, str]:
    return {"answer": "x"}


@app.put("/trees/{tree}")
async def put_tree(tree: Annotated[int, Path(ge=1, le=10_000)], body: Node, dry: bool = False) -> dict[str, int]:
    return {"tree": tree}


@app.get("/models/{name}/items")
async def list_items(
    name: Literal["small", "large"],
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
    ratio: Annotated[float | None, Query(ge=0, le=1)] = None,
    colour: Annotated[list[Colour], Query(max_length=3)] = [],  # noqa: B006  FastAPI copies it
    since: date | None = None,
    word: Annotated[str | None, Query(min_length=2, max_length=10, pattern="^[a-z]+$")] = None,
) -> list[str]:
    return []


@app.delete("/models/{name}")
async def delete_model(name: Annotated[str, Path(pattern="^[a-z0-9-]{1,32}$")], force: bool) -> dict[str, str]:
    return {"deleted": name}


@app.post("/batch")
async def batch(
    rows: Annotated[list[Annotated[list[int], Field(min_length=3, max_length=3)]], Body(min_length=1, max_length=20)],
) -> dict[str, int]:
    return {"rows": len(rows)}


@app.patch("/settings")
async def settings(
    level: Annotated[int, Body(ge=0, le=5)], note: Annotated[str | None, Body(max_length=50)] = None
) -> dict[str, int]:
    return {"level": level}
