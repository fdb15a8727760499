"""What Prometheus is told of a service."""

from __future__ import annotations

from functools import cache

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Upper ends of the classes that times are counted in."""
SIZES = (1, 2, 4, 8, 16, 32, 64)
"""The same for the queries of a batch."""


class Metrics:
    """The counters of one service, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        on = {"namespace": "vecsearch", "registry": registry}
        self.requests = Counter("requests", "Requests answered.", ["route", "status"], **on)
        self.seconds = Histogram("request_seconds", "From a request's head to its answer.", ["route"], buckets=SECONDS, **on)
        self.waiting = Gauge("queue_queries", "Queries that were accepted and not answered yet.", **on)
        self.batches = Histogram("batch_queries", "Queries answered together.", buckets=SIZES, **on)
        self.batch_seconds = Histogram("batch_seconds", "What a batch took.", buckets=SECONDS, **on)
        self.alone = Counter("batch_retries", "Batches that failed, whose items were tried one by one.", **on)
        self.dropped = Counter("dropped_queries", "Queries dropped unanswered.", ["reason"], **on)
        self.generation = Gauge("index_generation", "The generation that is shown.", ["index"], **on)
        self.documents = Gauge("index_documents", "Documents of that generation.", ["index"], **on)
        self.reloads = Counter("reloads", "Generations shown since the start.", ["index"], **on)
        self.reload_failures = Counter("reload_failures", "New generations that could not be opened.", ["index"], **on)
        self.reload_failing = Gauge("reload_failing", "1 while the newest generation cannot be opened.", ["index"], **on)
        for reason in ("late", "gone", "overload"):
            self.dropped.labels(reason)
        self._of = cache(lambda route, status: (self.requests.labels(route, status), self.seconds.labels(route)))

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        count, times = self._of(route, status)  # to look for them by their labels takes longer than to count
        count.inc()
        times.observe(seconds)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)
