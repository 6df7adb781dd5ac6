"""The usual hand-made stack, as tutorials put it together: Flask, Flask-Limiter, jsonschema, bleach."""

from __future__ import annotations

import logging
from typing import Any

import bleach
from flask import Flask, jsonify, request
from flask_limiter import Limiter
from jsonschema import ValidationError, validate

API_KEYS = {f"demo-key-{number:02}": f"customer {number}" for number in range(16)}
SCHEMA = {
    "type": "object",
    "properties": {
        "input_text": {"type": "string", "maxLength": 5000},
        "temperature": {"type": "number", "minimum": 0, "maximum": 2},
    },
    "required": ["input_text"],
}


def build() -> Flask:
    """Build the app."""
    app = Flask(__name__)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    limiter = Limiter(
        lambda: request.headers.get("X-API-Key", "nobody"), app=app, storage_uri="memory://", headers_enabled=True
    )

    @app.post("/api/v1/predict")
    @limiter.limit("30 per 3 seconds")
    def predict() -> Any:
        key = request.headers.get("X-API-Key")
        if not key:
            return jsonify(error="API key missing"), 401
        if key not in API_KEYS:
            return jsonify(error=f"invalid API key {key}"), 403
        data = request.get_json(force=True)
        try:
            validate(data, SCHEMA)
        except ValidationError as error:
            return jsonify(error=str(error)), 400
        text = bleach.clean(data["input_text"])
        scores = {"delivery": 0.8412903, "refund": 0.1587097} if "parcel" in text else {"refund": 0.9127463}
        label = max(scores, key=lambda name: scores[name])
        return jsonify(prediction=label, confidence=scores[label], probabilities=scores, model_version="text-7")

    return app
