"""HTTP/1.1 with bounds that uvicorn's own protocol lacks: a request arrives in time, and its head ends."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from vecsearch.serving.hits import dumps
from vecsearch.serving.limits import HEAD_BYTES
from vecsearch.serving.problems import Problem


class BoundedProtocol(HttpToolsProtocol):
    """A connection that is closed when a request takes longer than `seconds` to arrive, or its head more than HEAD_BYTES.

    A subclass has `seconds`. Between two requests uvicorn's own limit counts.
    """

    seconds = 10.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._timer: asyncio.TimerHandle | None = None
        self._head_bytes: int | None = 0
        super().connection_made(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._timer is None:
            self._begin()
        super().data_received(data)
        if self._head_bytes is not None and self.parser is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(431, Problem(431, "head_too_large", f"the headers are longer than {HEAD_BYTES:,} bytes"))

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_bytes = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._arrived()
        self._head_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, Problem(400, "invalid_http", "this is no HTTP request"))

    def _begin(self) -> None:
        self._timer = self.loop.call_later(self.seconds, self._late)

    def _arrived(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        message = f"the request did not arrive within {self.seconds:g} s"
        self._refuse(408, Problem(408, "request_timeout", message))

    def _refuse(self, status: int, problem: Problem) -> None:
        """Answer, unless an answer has begun, and close."""
        if self.transport.is_closing():
            return
        in_head = self._head_bytes is not None  # then the cycle is that of the request before
        done = self.cycle is None or self.cycle.response_complete
        if done if in_head else not self.cycle.response_started:
            body = dumps(problem.body)
            head = f"HTTP/1.1 {status} \r\nconnection: close\r\ncontent-type: application/json\r\n"
            self.transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()


def bounded(seconds: float) -> type[Any]:
    """The protocol with this time for a request to arrive."""
    return type("BoundedProtocol", (BoundedProtocol,), {"seconds": seconds})
