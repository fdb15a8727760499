"""What every request passes on its way in and out: who may ask, what is counted, and headers that keep browsers careful."""

from __future__ import annotations

import hashlib
import hmac
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vecsearch.errors import VecsearchError
from vecsearch.serving.embeddings import OPENAI, refusal
from vecsearch.serving.hits import dumps
from vecsearch.serving.problems import Gone, Problem, internal, of_library
from vecsearch.serving.service import Service

OPEN = frozenset({"/", "/page.css", "/page.js", "/favicon.ico", "/healthz", "/readyz"})
"""What asks for no key: the page itself holds nothing, and whoever watches over the service needs none."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""Names that a browser may know this machine by. Any other in a Host header is a foreign page's, whose name was bound to it."""
COOKIE = "vecsearch"
CAREFUL = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
POLICY = b"default-src 'none'; frame-ancestors 'none'"
"""Of answers that are no pages."""
GONE = 499
"""What is counted for a client that did not wait, as nginx does."""


@dataclass(frozen=True)
class Access:
    """Who may ask: those who know the key; without one those on this machine, or with `open` all."""

    key: str | None = None
    open: bool = False

    def check(self, scope: Scope) -> None:
        """Raise Problem (401, 403) for a request that may not be answered."""
        headers = Headers(scope=scope)
        if self.key is None:
            host = headers.get("host", "").lower()
            if not self.open and (host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host) not in LOOPBACK:
                hint = "ask by 127.0.0.1 or localhost; a proxy has to send that, or an API key has to be set"
                raise Problem(403, "foreign_host", f"the Host header names {host[:100]!r}, not this machine", hint)
        elif scope["path"] not in OPEN and not self._known(headers, scope["path"]):
            hint = "send it as Authorization: Bearer KEY, or as X-API-Key: KEY"
            raise Problem(401, "unauthorized", "the API key is missing or wrong", hint, headers={"www-authenticate": "Bearer"})

    def _known(self, headers: Headers, path: str) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            given = headers.get("x-api-key", "")
        if not given and path.endswith("/map"):
            # A frame can send no header; the cookie is worth nothing anywhere else.
            found = [part.strip().partition("=") for part in headers.get("cookie", "").split(";")]
            given = next((value for name, _, value in found if name == COOKIE), "")
            return _equal(given, self.token)
        return _equal(given.strip(), self.key)

    @property
    def token(self) -> str:
        """What the page's cookie holds: it proves that its browser has sent the key, and does not tell it."""
        return hmac.new((self.key or "").encode(), b"map", hashlib.sha256).hexdigest()


def _equal(given: str, known: str | None) -> bool:
    """Whether they are the same, in a time that tells nothing of where they differ."""
    return hmac.compare_digest(hashlib.sha256(given.encode()).digest(), hashlib.sha256((known or "").encode()).digest())


class Guard:
    """An ASGI application around another one, whose refusals it answers."""

    def __init__(
        self, app: ASGIApp, service: Service, access: Access, routes: Callable[[Scope], str], *, verbose: bool = False
    ) -> None:
        """`routes` names the route that a request took, of which there are few."""
        self._app, self._service, self._access, self._routes, self._verbose = app, service, access, routes, verbose

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began = scope["arrived"] = time.perf_counter()
        scope["app"] = self  # has the router raise what it refuses
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *self._headers(scope, message["headers"])]
            await send(message)

        try:
            try:
                self._access.check(scope)
                await self._app(scope, receive, sending)
            except (ClientDisconnect, Gone):
                status = GONE
            except Exception as error:
                if status:  # nothing else can be said any more
                    raise
                await _refused(scope, _problem(error))(scope, receive, sending)
        finally:
            self._count(scope, status, began)

    def _headers(self, scope: Scope, own: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        names = {name for name, _ in own}
        more = [*CAREFUL]
        if b"content-security-policy" not in names:
            more.append((b"content-security-policy", POLICY))
        if b"cache-control" not in names:
            more.append((b"cache-control", b"no-cache"))
        if not self._service.ready:
            more.append((b"connection", b"close"))
        if self._access.key is not None and scope["path"] == "/v1/indexes":
            cookie = f"{COOKIE}={self._access.token}; HttpOnly; SameSite=Strict; Path=/"
            more.append((b"set-cookie", cookie.encode()))
        return more

    def _count(self, scope: Scope, status: int, began: float) -> None:
        route, took = self._routes(scope), time.perf_counter() - began
        self._service.metrics.answered(route, status, took)
        if self._verbose:
            client = scope["client"][0] if scope.get("client") else "-"
            print(f"{client} {scope['method']} {scope['path']!r} {status} {1000 * took:.1f} ms", file=sys.stderr, flush=True)


def _problem(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
        return Problem(error.status_code, code, error.detail, "/openapi.json has what there is", headers=error.headers)
    found = of_library(error) if isinstance(error, VecsearchError) else internal()
    if found.status == 500:
        traceback.print_exception(error)
    return found


def _refused(scope: Scope, problem: Problem) -> Response:
    body = refusal(problem) if scope["path"].startswith(OPENAI) else problem.body
    return Response(dumps(body), problem.status, problem.headers, "application/json")
