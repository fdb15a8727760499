"""A service on a port: listening, and ending without losing an answer."""

from __future__ import annotations

import logging
import socket
import time
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from vecsearch.errors import ResourceError
from vecsearch.serving.protocol import bounded
from vecsearch.serving.service import Service

IDLE = 75
"""Seconds that a connection may be idle: longer than proxies keep theirs, so that it is they who close it."""
QUIET = 1.0
"""Seconds that idle connections are left for a last request, once the service is told to end: a request that is on its way
would be lost if they were closed at once. It gets its answer, with the word that the connection closes."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 is one that is free. Raises ResourceError where it may not."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        raise ResourceError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port, or 0 for one that is free"
        ) from None
    return listening


class Server(uvicorn.Server):
    """Ends on SIGTERM and SIGINT, with exit code 0: no longer ready, it answers what has arrived, then what comes on
    connections that are open, and no more."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        # What clients do is counted in the metrics; a log of it would only help them fill a disk.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        config = uvicorn.Config(
            app,
            http=bounded(service.limits.sending),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self._service = service
        self._told: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; told a second time, end at once."""
        if self._told is not None:
            self.should_exit = self.force_exit = True
        self._service.ready = False
        self._told = self._told or time.monotonic()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether it is over."""
        if self._told is not None:
            waited = time.monotonic() - self._told
            busy = any(each.cycle is not None and not each.cycle.response_complete for each in self.server_state.connections)
            left = busy or (self.server_state.connections and waited < QUIET)
            self.should_exit = self.should_exit or not left or waited > self._service.limits.ending
        return await super().on_tick(counter)
