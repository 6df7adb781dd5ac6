"""A predictor in FastAPI, as people write them: `uvicorn app:app --port 9000`.  Its document became fastapi.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import FastAPI, Path
from pydantic import BaseModel, Field

app = FastAPI(title="House prices", generate_unique_id_function=lambda route: route.name)


class House(BaseModel):
    """What the model was trained on."""

    area_m2: Annotated[float, Field(gt=0, le=2000)]
    rooms: Annotated[int, Field(ge=1, le=50)]
    kind: Literal["flat", "house", "farm"]
    note: Annotated[str, Field(max_length=500)] = ""


class Price(BaseModel):
    """What it says."""

    price: float


@app.post("/predict")
async def predict(house: House) -> Price:
    """Price one house."""
    return Price(price=1000 * house.area_m2)


@app.post("/predict/batch")
async def predict_batch(houses: Annotated[list[House], Field(min_length=1, max_length=100)]) -> list[Price]:
    """Price up to a hundred."""
    return [Price(price=1000 * house.area_m2) for house in houses]


@app.get("/regions/{region}")
async def region(region: Annotated[int, Path(ge=1, le=99)]) -> dict[str, float]:
    """Tell the mean price of a region."""
    return {"mean": 1000.0 * region}
