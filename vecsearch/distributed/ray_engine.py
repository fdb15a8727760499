"""Ray as the engine: workers are actors on the machines of a cluster. The only place that imports ray."""

from __future__ import annotations

import logging
import os
import platform
import socket
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from vecsearch import checks
from vecsearch.engine import Engine, Worker
from vecsearch.errors import LostError, ResourceError, UsageError

LOCAL, AUTO = "local", "auto"
"""In place of an address: a cluster of this machine alone, which ends with the engine; the one that this machine is part of."""
CONNECT_S = 10.0
"""Seconds in which a machine has to answer."""
_SETTINGS = {
    # Nothing is told to anybody outside of the cluster.
    "RAY_USAGE_STATS_ENABLED": "0",
    # Workers without a GPU see what the machine has, as every other process does; Ray warns where this is not chosen.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_SAME = ("vecsearch", "numpy", "torch")
"""Packages that have to have the same version on all machines, for the same vectors."""


class RayEngine(Engine):
    """Actors of a Ray cluster: of the one at an address such as "ray-head:6379", of that which this machine is in ("auto"), or
    of one of this machine alone ("local"), which ends with the engine."""

    def __init__(self, address: str, workers: int | None = None) -> None:
        """A cluster of "local" has room for so many `workers`, by default one for each core.

        Raises UsageError for another address, and where Ray is not installed; ResourceError where no cluster answers.
        """
        address = checks.text("address", address)
        if workers is not None:
            workers = checks.count("workers", workers, least=1)
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError:
            raise UsageError("Ray needs another package: pip install 'vecsearch[ray]'") from None
        _reach(address)
        own = {"num_cpus": workers, "include_dashboard": False}
        started = {"address": address, "log_to_driver": False, "configure_logging": False}
        self._ray, self._workers = ray, list[_Actor]()
        self._ours = not ray.is_initialized()  # else the program that this is part of has connected already
        logging.getLogger("ray").setLevel(logging.ERROR)  # its advice on a cluster is for whoever started that
        try:
            if self._ours:
                ray.init(**started, **(own if address == LOCAL else {}))
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise _no_cluster(address, error) from error

    def nodes(self) -> dict[str, int]:
        alive = [node for node in self._ray.nodes() if node["Alive"]]
        return {node["NodeID"]: int(node["Resources"].get("CPU", 0)) for node in alive}

    def free(self) -> int:
        return int(self._ray.available_resources().get("CPU", 0))

    def worker(
        self, make: Callable[..., Any], *arguments: Any, node: str | None = None, threads: int = 1, at_once: int = 1
    ) -> Worker:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # One that ends is not started again by Ray: it would have to make its value again, and whoever asked for that is told.
        options: dict[str, Any] = {"num_cpus": threads, "max_restarts": 0, "max_task_retries": 0, "max_concurrency": at_once}
        if node is not None:
            if node not in self.nodes():
                raise LostError(f"the machine {node} is not in the cluster any more")
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=False)
        self._workers.append(_Actor(self._ray, options, make, arguments))
        return self._workers[-1]

    def close(self) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers = []
        if self._ours:
            self._ray.shutdown()


class _Actor(Worker):
    def __init__(self, ray: Any, options: dict[str, Any], make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._ray = ray
        self._actor = ray.remote(**options)(_holder()).remote()
        # In one call, so that nothing is asked of an actor whose machine has another vecsearch, or none.
        self.ready = self._asked("make", _versions(), ray.cloudpickle.dumps((make, arguments)))

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        # As one string of bytes: Ray takes a quarter of a millisecond to look at several arguments.
        return self._asked("call", self._ray.cloudpickle.dumps((function, arguments)))

    def _asked(self, method: str, *arguments: Any) -> Future[Any]:
        told: Future[Any] = Future()
        told.set_running_or_notify_cancel()
        try:
            reference = getattr(self._actor, method).remote(*arguments)
        except Exception as error:  # the actor is known to be dead already
            told.set_exception(self._translated(error))
            return told
        reference.future().add_done_callback(lambda done: self._tell(done, told))
        return told

    def _tell(self, done: Future[Any], told: Future[Any]) -> None:
        error = done.exception()
        if error is not None:
            told.set_exception(self._translated(error))
            return
        value, refusal = done.result()
        if refusal:
            told.set_exception(UsageError(refusal))
        else:
            told.set_result(value)

    def _translated(self, error: BaseException) -> BaseException:
        gone = self._ray.exceptions
        lost = (gone.RayActorError, gone.WorkerCrashedError, gone.NodeDiedError, gone.ObjectLostError, gone.OutOfMemoryError)
        if isinstance(error, (*lost, gone.LocalRayletDiedError, gone.ActorUnschedulableError)):
            said = (str(error).splitlines() or [""])[0]
            return LostError(f"a worker was lost, alone or with its machine ({said:.200})")
        return getattr(error, "cause", None) or error

    def stop(self) -> None:
        with suppress(Exception):
            self._ray.kill(self._actor)


def _reach(address: str) -> None:
    """Raise UsageError for what is no address of a cluster, and ResourceError where nobody listens at a host and port: Ray
    would try for a minute, and then end this process."""
    if address in (LOCAL, AUTO):
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not (port.isascii() and port.isdecimal()):
        raise UsageError(
            f"{address!r} is no address of a Ray cluster; give HOST:PORT, such as ray-head:6379, {AUTO} or {LOCAL}"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> ResourceError:
    said = (str(error).splitlines() or [""])[0]
    return ResourceError(f"no Ray cluster answers at {address!r} ({said:.300}); start one with: ray start --head")


def _versions() -> dict[str, str]:
    """What has to be the same on all machines."""
    found = {"Python": platform.python_version()}
    for name in _SAME:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _holder() -> type:
    """The class of the actors. It is made here so that Ray sends its code: a machine without vecsearch can say so then."""

    class Holder:
        def __init__(self) -> None:
            from threading import Event

            self.held, self.failed, self.made = None, None, Event()

        def make(self, versions: dict[str, str], packed: bytes) -> tuple[None, str]:
            import pickle
            import platform
            from importlib.metadata import PackageNotFoundError, version

            for name, wanted in versions.items():
                try:
                    found = platform.python_version() if name == "Python" else version(name)
                except PackageNotFoundError:
                    found = None
                if found != wanted:
                    has = f"{name} {found}" if found else f"no {name}"
                    return None, (
                        f"the machine {platform.node()} of the cluster has {has}, and the one that builds has {wanted}; "
                        "install the same on all of them"
                    )
            try:
                function, arguments = pickle.loads(packed)
                self.held = function(*arguments)
            except Exception as error:
                self.failed = error
                raise
            finally:
                self.made.set()
            return None, ""

        def call(self, packed: bytes) -> tuple[object, str]:
            import pickle

            self.made.wait()  # where several calls run at a time
            if self.failed is not None:
                raise self.failed
            function, arguments = pickle.loads(packed)
            return function(self.held, *arguments), ""

    return Holder
