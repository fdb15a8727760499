"""The OpenAPI document of a service, made of the tables that its requests are read by."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from vecsearch.serving import answers, schema

_REF = "#/components/schemas/{model}"
_MODELS: tuple[type[BaseModel], ...] = (
    schema.SearchRequest,
    schema.EmbeddingsRequest,
    answers.Refusal,
    answers.Indexes,
    answers.Details,
    answers.Found,
    answers.Document,
    answers.Embeddings,
    answers.Model,
    answers.Models,
    answers.State,
)
_SAID = {
    400: "What was sent is no request.",
    401: "The API key is missing or wrong.",
    403: "The Host header names another machine.",
    404: "There is none of that name.",
    409: "Another generation is shown than the one that was asked for.",
    413: "The body is larger than --max-body.",
    422: "The request makes no sense; the message says why.",
    500: "A fault of the service.",
    503: "Too much is asked at once, or the service is ending: try again after Retry-After seconds.",
    504: "There was no answer in time.",
}
_ALWAYS = (401, 403, 500)
_ASKING = (400, 404, 413, 422, 503, 504)


def document(names: Sequence[str], *, key: bool) -> dict[str, Any]:
    """The document of a service of the indexes of these names, OpenAPI 3.1; with `key` it asks for one."""
    _, schemas = models_json_schema([(model, "validation") for model in _MODELS], ref_template=_REF)
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "vecsearch",
            "version": version("vecsearch"),
            "description": "Search by meaning and by words. Everything is read-only.",
        },
        "paths": _paths(names),
        "components": {"schemas": schemas["$defs"]},
    }
    if key:
        found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"key": []}]
    return found


def _paths(names: Sequence[str]) -> dict[str, Any]:
    name = {"name": "name", "in": "path", "required": True, "description": "Of an index.", "schema": {"enum": list(names)}}
    id = {"name": "id", "in": "path", "required": True, "description": "Of a document.", "schema": {"type": "string"}}
    page = {"text/html": {"schema": {"type": "string"}}}
    metrics = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "/v1/indexes": {"get": _operation("The indexes.", answers.Indexes)},
        "/v1/indexes/{name}": {
            "get": _operation("An index, with its fields and clusters.", answers.Details, 404, 503, parameters=[name])
        },
        "/v1/indexes/{name}/search": {
            "get": _operation("Search, as an address has it.", answers.Found, *_ASKING, 409, parameters=[name, *_in_address()]),
            "post": _operation("Search.", answers.Found, *_ASKING, 409, parameters=[name], body=schema.SearchRequest),
        },
        "/v1/indexes/{name}/documents/{id}": {
            "get": _operation("A document.", answers.Document, 404, 503, parameters=[name, id])
        },
        "/v1/indexes/{name}/map": {
            "get": _operation("The documents on a plane, as a page.", page, 404, 422, 503, parameters=[name])
        },
        "/v1/embeddings": {
            "post": _operation(
                "Vectors of texts, as OpenAI has them.", answers.Embeddings, *_ASKING, body=schema.EmbeddingsRequest
            )
        },
        "/v1/models": {"get": _operation("Indexes with an encoder, as OpenAI lists models.", answers.Models)},
        "/v1/models/{name}": {"get": _operation("One of them.", answers.Model, 404, parameters=[name])},
        "/healthz": {"get": _operation("Whether the process answers.", answers.State)},
        "/readyz": {"get": _operation("Whether new requests are wanted.", answers.State, 503)},
        "/metrics": {"get": _operation("What Prometheus reads.", metrics)},
        "/openapi.json": {"get": _operation("This document.", {"application/json": {"schema": {"type": "object"}}})},
    }


def _operation(
    summary: str,
    answer: type[BaseModel] | dict[str, Any],
    *refusals: int,
    parameters: Sequence[dict[str, Any]] = (),
    body: type[BaseModel] | None = None,
) -> dict[str, Any]:
    responses = {"200": {"description": "Done.", "content": _content(answer)}}
    for status in sorted({*refusals, *_ALWAYS}):
        responses[str(status)] = {"description": _SAID[status], "content": _content(answers.Refusal)}
    found: dict[str, Any] = {"summary": summary, "responses": responses}
    if parameters:
        found["parameters"] = list(parameters)
    if body:
        found["requestBody"] = {"required": True, "content": _content(body)}
    return found


def _content(answer: type[BaseModel] | dict[str, Any]) -> dict[str, Any]:
    if isinstance(answer, dict):
        return answer
    return {"application/json": {"schema": {"$ref": _REF.format(model=answer.__name__)}}}


def _in_address() -> list[dict[str, Any]]:
    """The parameters of a search in an address; several names stand with commas between them."""
    properties = schema.SearchRequest.model_json_schema()["properties"]
    found = []
    for name in schema.IN_ADDRESS:
        its = {key: value for key, value in properties[name].items() if key not in ("description", "default", "title", "anyOf")}
        for kind in properties[name].get("anyOf", ()):
            if kind != {"type": "null"}:
                its |= kind
        found.append({"name": name, "in": "query", "description": properties[name]["description"], "schema": its})
        if its.get("type") == "array":
            found[-1] |= {"style": "form", "explode": False}
    return found
