"""An S3 server on this machine, moto's, whose requests a test can watch, refuse, answer late, or never answer.

Of a put with If-None-Match: * moto looks for the object first and puts it afterwards, and another thread may come between. S3
does both in one step (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html), so here such puts wait
for each other.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, Thread
from typing import Any

BUCKET = "shared"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "someone",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}
"""What a client needs beside AWS_ENDPOINT_URL."""

Hook = Callable[[int, str, str], str | None]
"""Called with a request's number (from 0), its method and its path. "403 Forbidden" answers it so, without its being done."""


class S3Server:
    """An empty bucket behind `endpoint`."""

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from moto.server import MotoRequestHandler
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.requests: list[tuple[str, str]] = []
        """Method and path of each, since `watch`."""
        self._careless = False
        self._before: Hook = lambda number, method, path: None
        self._after: Hook = lambda number, method, path: None
        self._app, self._counting, self._putting = DomainDispatcherApplication(create_backend_app), Lock(), Lock()
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=MotoRequestHandler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()

    def _answer(self, environ: dict[str, Any], start: Callable) -> Any:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        with self._counting:
            number = len(self.requests)
            self.requests.append((method, path))
        refusal = self._before(number, method, path)
        if refusal is None:
            if method == "PUT" and "HTTP_IF_NONE_MATCH" in environ:
                if self._careless:
                    del environ["HTTP_IF_NONE_MATCH"]
                with self._putting:
                    answer = list(self._app(environ, start))
            else:
                answer = self._app(environ, start)
            refusal = self._after(number, method, path)
        if refusal is None:
            return answer
        # Werkzeug lets a status be given once; a refusal afterwards comes in its place, before any of the body.
        start(refusal, [("Content-Type", "text/plain")], True)
        return [refusal.encode()]

    @contextmanager
    def watched(self, *, before: Hook | None = None, after: Hook | None = None, careless: bool = False) -> Iterator[None]:
        """While entered, count requests from 0; `before` is called before each is done, `after` before it is answered. A
        `careless` server does as if a put had no condition, as some do.
        """
        self.requests, nothing = [], lambda number, method, path: None
        self._before, self._after, self._careless = before or nothing, after or nothing, careless
        try:
            yield
        finally:
            self._before, self._after, self._careless = nothing, nothing, False

    def environment(self) -> dict[str, str]:
        """What a client has to have in its environment."""
        return {**ENVIRONMENT, "AWS_ENDPOINT_URL": self.endpoint}

    def make_bucket(self) -> None:
        """Make the bucket that tests use."""
        import boto3

        os.environ.update(self.environment())
        boto3.client("s3").create_bucket(Bucket=BUCKET)
