"""Where each format is served, as its public reference says: what `vallum init` and the defaults name.

A preset that is not here belongs to no API of that name: its path is the owner's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PATHS: Mapping[str, str] = {
    "anthropic.count_tokens": "/v1/messages/count_tokens",
    "anthropic.messages": "/v1/messages",
    "kserve.generate": "/v2/models/*/generate",
    "kserve.infer": "/v2/models/*/infer",
    "kserve.infer_json": "/v2/models/*/infer",
    "ollama.chat": "/api/chat",
    "ollama.embed": "/api/embed",
    "ollama.embeddings": "/api/embeddings",
    "ollama.generate": "/api/generate",
    "ollama.tags": "/api/tags",
    "openai.audio.speech": "/v1/audio/speech",
    "openai.audio.transcriptions": "/v1/audio/transcriptions",
    "openai.audio.translations": "/v1/audio/translations",
    "openai.chat": "/v1/chat/completions",
    "openai.completions": "/v1/completions",
    "openai.embeddings": "/v1/embeddings",
    "openai.images": "/v1/images/generations",
    "openai.images.edits": "/v1/images/edits",
    "openai.images.variations": "/v1/images/variations",
    "openai.models": "/v1/models",
    "openai.responses": "/v1/responses",
    "tf_serving.classify": "/v1/models/MODEL:classify",
    "tf_serving.predict": "/v1/models/MODEL:predict",
    "tf_serving.regress": "/v1/models/MODEL:regress",
    "tgi.generate": "/generate",
    "tgi.generate_stream": "/generate_stream",
    "torchserve.predict": "/predictions/*",
    "vllm.chat": "/v1/chat/completions",
    "vllm.classify": "/classify",
    "vllm.completions": "/v1/completions",
    "vllm.detokenize": "/detokenize",
    "vllm.embeddings": "/v1/embeddings",
    "vllm.pooling": "/pooling",
    "vllm.rerank": "/rerank",
    "vllm.score": "/score",
    "vllm.tokenize": "/tokenize",
}
READ = frozenset({"ollama.tags", "openai.models"})  # with GET; all others take a POST


def method(preset: str) -> str:
    """Return the method that a format is asked with."""
    return "GET" if preset in READ else "POST"
