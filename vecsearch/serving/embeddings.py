"""Embeddings in OpenAI's shape: its clients, and what is built on them, can be pointed at a service."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import orjson

from vecsearch.serving.hits import dumps
from vecsearch.serving.jobs import tokens
from vecsearch.serving.limits import INPUT_CHARACTERS, INPUTS
from vecsearch.serving.problems import Problem, invalid
from vecsearch.serving.schema import EmbeddingsRequest
from vecsearch.serving.shown import Library, Shown

OPENAI = ("/v1/embeddings", "/v1/models")
"""What these addresses begin with is OpenAI's."""


def texts_of(asked: EmbeddingsRequest, dim: int) -> list[str]:
    """The texts to encode. Raises Problem (400) for tokens, (422) for what is neither, or too much."""
    given = [asked.input] if isinstance(asked.input, str) else asked.input
    if not 0 < len(given) <= INPUTS:
        raise invalid(f"input holds {len(given):,} texts; give 1 to {INPUTS:,}", "chunk_size sets it in LangChain")
    for place, text in enumerate(given):
        if isinstance(text, int | list):
            hint = "send texts; in LangChain with check_embedding_ctx_length=False"
            raise Problem(400, "tokens_not_supported", f"input.{place} is no text but tokens, of another model", hint)
        if not isinstance(text, str):
            raise invalid(f"input.{place} is no text")
        if len(text) > INPUT_CHARACTERS:
            raise invalid(f"input.{place} has {len(text):,} characters; give at most {INPUT_CHARACTERS:,}", "split it")
    if asked.dimensions not in (None, dim):
        raise invalid(f"dimensions is {asked.dimensions}; the vectors of this model have {dim}")
    return given


def embeddings(shown: Shown, asked: EmbeddingsRequest, texts: list[str], vectors: np.ndarray) -> bytes:
    """The answer to a request, from the vectors (n, dim) float32 of its texts."""
    base = asked.encoding_format == "base64"
    rows = np.ascontiguousarray(vectors, "<f4")
    data = [
        {"object": "embedding", "index": place, "embedding": base64.b64encode(row.tobytes()).decode() if base else row}
        for place, row in enumerate(rows)
    ]
    count = sum(map(tokens, texts))
    usage = {"prompt_tokens": count, "total_tokens": count}
    answer = {"object": "list", "data": data, "model": shown.name, "usage": usage}
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def model(shown: Shown) -> dict[str, Any]:
    """An index as OpenAI describes a model."""
    return {"id": shown.name, "object": "model", "created": shown.created, "owned_by": "vecsearch"}


def models(library: Library) -> bytes:
    """The indexes that carry an encoder, as OpenAI lists models."""
    return dumps({"object": "list", "data": [model(shown) for shown in library if "meaning" in shown.modes]})


def refusal(problem: Problem) -> dict[str, Any]:
    """A problem as OpenAI's clients read it: what ours has, with a type."""
    kind = "invalid_request_error" if problem.status < 500 else "server_error"
    return {"error": problem.body["error"] | {"type": kind, "param": None}}
