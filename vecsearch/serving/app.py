"""The service as an ASGI application: its routes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive

from vecsearch.serving import openapi, schema
from vecsearch.serving.embeddings import embeddings, model, models, texts_of
from vecsearch.serving.guard import Access, Guard
from vecsearch.serving.hits import dumps
from vecsearch.serving.metrics import CONTENT_TYPE
from vecsearch.serving.problems import Gone, Problem
from vecsearch.serving.service import Service

T = TypeVar("T")
JSON = "application/json"
PAGE = {"page.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MAP_POLICY = "default-src 'none'; script-src 'self' '{0}'; style-src 'self' '{1}'; frame-ancestors 'self'"


def make_app(service: Service, access: Access, *, cors: Sequence[str] = (), verbose: bool = False) -> ASGIApp:
    """The application of a service: whoever has `access` is answered, from pages of the origins `cors` as well; with `verbose`
    each request is told on stderr."""
    endpoints = _Endpoints(service, access)
    routes = [
        Route("/v1/indexes/{name}/search", endpoints.search, methods=["GET", "POST"]),  # asked for most, so compared first
        Route("/v1/indexes", endpoints.indexes),
        Route("/v1/indexes/{name}", endpoints.index),
        Route("/v1/indexes/{name}/documents/{id:path}", endpoints.document),
        Route("/v1/indexes/{name}/map", endpoints.map),
        Route("/v1/embeddings", endpoints.embeddings, methods=["POST"]),
        Route("/v1/models", endpoints.models),
        Route("/v1/models/{name}", endpoints.model),
        Route("/healthz", endpoints.health),
        Route("/readyz", endpoints.readiness),
        Route("/metrics", endpoints.metrics),
        Route("/openapi.json", endpoints.openapi),
        Route("/favicon.ico", endpoints.nothing),
        *(Route(f"/{name.removesuffix('page.html')}", _file(name, kind)) for name, kind in PAGE.items()),
    ]
    paths = {route.endpoint: route.path for route in routes}
    router = Router(routes, redirect_slashes=False)
    app: ASGIApp = Guard(router, service, access, lambda scope: paths.get(scope.get("endpoint"), "other"), verbose=verbose)
    if cors:
        headers = ["authorization", "content-type", "x-api-key"]
        app = CORSMiddleware(app, allow_origins=list(cors), allow_methods=["GET", "POST"], allow_headers=headers)
    return app


class _Endpoints:
    """What is done at each address. Each is a function of a request; they raise Problem."""

    def __init__(self, service: Service, access: Access) -> None:
        self._service = service
        names = [shown.name for shown in service.library]
        self._openapi = dumps(openapi.document(names, key=access.key is not None))

    async def indexes(self, request: Request) -> Response:
        return _json(dumps({"indexes": [shown.summary for shown in self._service.library]}))

    async def index(self, request: Request) -> Response:
        shown = self._service.shown(request.path_params["name"])
        return _json(dumps(await self._service.details(shown)))

    async def search(self, request: Request) -> Response:
        shown = self._service.shown(request.path_params["name"])
        self._service.refuse_if_full()
        if request.method == "POST":
            asked = schema.read_json(schema.SearchRequest, await self._body(request))
        else:
            asked = schema.read_address(request.query_params.multi_items())
        found = self._service.search(shown, asked, request.scope["arrived"])
        return _json(await _unless_gone(request.receive, found))

    async def document(self, request: Request) -> Response:
        shown = self._service.shown(request.path_params["name"])
        return _json(dumps(await self._service.document(shown, request.path_params["id"])))

    async def map(self, request: Request) -> Response:
        page, packed = await self._service.map(self._service.shown(request.path_params["name"]))
        headers = {"content-security-policy": MAP_POLICY.format(page.script_hash, page.style_hash), "vary": "accept-encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(packed, headers=headers | {"content-encoding": "gzip"}, media_type="text/html")
        return Response(page.html, headers=headers, media_type="text/html")

    async def embeddings(self, request: Request) -> Response:
        self._service.refuse_if_full()
        asked = schema.read_json(schema.EmbeddingsRequest, await self._body(request))
        shown = self._service.shown(asked.model)
        texts = texts_of(asked, shown.index.dim)
        found = self._service.embed(shown, texts, request.scope["arrived"])
        return _json(embeddings(shown, asked, texts, await _unless_gone(request.receive, found)))

    async def models(self, request: Request) -> Response:
        return _json(models(self._service.library))

    async def model(self, request: Request) -> Response:
        return _json(dumps(model(self._service.shown(request.path_params["name"]))))

    async def health(self, request: Request) -> Response:
        return _json(b'{"status":"ok"}')

    async def readiness(self, request: Request) -> Response:
        ready = self._service.ready
        return _json(b'{"status":"ok"}' if ready else b'{"status":"ending"}', 200 if ready else 503)

    async def metrics(self, request: Request) -> Response:
        return Response(self._service.metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def openapi(self, request: Request) -> Response:
        return _json(self._openapi)

    async def nothing(self, request: Request) -> Response:
        return Response(status_code=204)

    async def _body(self, request: Request) -> bytes:
        """The body of a request. Raises Problem (413) as soon as it is too long."""
        most = self._service.limits.body_bytes
        parts, total = [], int(request.headers.get("content-length") or 0)
        if total <= most:
            total = 0
            async for part in request.stream():
                parts.append(part)
                if (total := total + len(part)) > most:
                    break
        if total > most:
            message = f"the body is longer than {most:,} bytes"
            raise Problem(413, "body_too_large", message, "send less at once; whoever runs the service sets --max-body")
        return b"".join(parts)


def _file(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that answers with a part of the page, which is read once."""
    content = (Path(__file__).parent / name).read_bytes()

    async def file(request: Request) -> Response:
        return Response(content, headers={"content-security-policy": PAGE_POLICY}, media_type=kind)

    return file


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type=JSON)


async def _unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns. Raises Gone as soon as the client has gone: what it asked for is dropped then."""
    task, gone = asyncio.current_task(), False

    def stop(watch: asyncio.Task[None]) -> None:
        nonlocal gone
        if gone := not watch.cancelled():
            task.cancel()

    watching = asyncio.ensure_future(_gone(receive))
    watching.add_done_callback(stop)
    try:
        return await work
    except asyncio.CancelledError:
        if gone:
            task.uncancel()
            raise Gone from None
        raise
    finally:
        watching.remove_done_callback(stop)
        watching.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
