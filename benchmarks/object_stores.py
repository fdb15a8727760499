"""What pushing an index to an object store and reading it from there takes, beside obstore alone with the same files.

    python benchmarks/object_stores.py INDEX [URL]

URL is an empty place in a store; without it there are two, a folder and an S3 server of this machine: moto's, which is written
in Python, and reads all of an object for each part of it that is asked for, so that it says more of itself than of S3. Each
figure is the best of three, in megabytes a second. obstore alone puts and gets the same files, or gets the same parts, and
neither hashes nor syncs them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.request import Request, urlopen

from report import report

from vecsearch import Index, pull, push
from vecsearch.remote import cache
from vecsearch.remote.fetch import CONNECTIONS
from vecsearch.remote.push import FILES_AT_ONCE
from vecsearch.remote.store import BLOCK_BYTES, ObjectStore
from vecsearch.store.snapshot import read_manifest

TIMES = 3
SERVER = """
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
server._thread.join()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="what pushing an index and reading it from an object store takes")
    parser.add_argument("index", type=Path)
    parser.add_argument("url", nargs="?", help="an empty place in a store; without it a folder and a server of this machine")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = f"{name}/cache"
        if options.url:
            rows = measured(options.index, options.url, Path(name, "one"))
        else:
            rows = measured(options.index, f"file://{name}/store", Path(name, "one"))
            server, url = started()
            try:
                rows += measured(options.index, url, Path(name, "two"))
            finally:
                server.kill()
    report("object_stores", rows)


def started() -> tuple[subprocess.Popen[str], str]:
    """A server with an empty bucket, and a URL in it."""
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout
    endpoint = f"http://127.0.0.1:{server.stdout.readline().strip()}"
    os.environ |= {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret"}
    urlopen(Request(f"{endpoint}/benchmark", method="PUT")).close()
    return server, "s3://benchmark/films"


def measured(folder: Path, url: str, scratch: Path) -> list[dict[str, Any]]:
    scratch.mkdir()
    manifest = read_manifest(folder)
    paths = [folder / path for path in manifest.files]
    size = sum(entry["bytes"] for entry in manifest.files.values())
    facts = {"store": url.partition(":")[0], "mb": size / 1e6, "files": len(paths)}
    places = iter(range(1000))

    def rate(work: Callable[[], object], prepare: Callable[[], object] = lambda: None) -> float:
        return size / 1e6 / min(seconds(work, prepare) for _ in range(TIMES))

    def each(work: Callable[[ObjectStore, Path], object], store: ObjectStore) -> None:
        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            list(pool.map(lambda path: work(store, path), paths))

    (folder / "REMOTES").unlink(missing_ok=True)
    plain = ObjectStore(f"{url}-plain", create=True)
    row = {
        "push": rate(lambda: push(folder, f"{url}-{next(places)}")),
        "obstore_put": rate(lambda: each(put, plain)),
        "pull": rate(lambda: pull(f"{url}-0", scratch / f"pulled-{next(places)}")),
        "obstore_get": rate(lambda: each(lambda store, path: get(store, path, scratch), plain)),
        "obstore_parts": rate(lambda: parts(plain, paths)),
        "open_cold": rate(lambda: Index.open(f"{url}-0").close(), cache.empty),
        "open_warm": rate(lambda: Index.open(f"{url}-0").close()),
        "open_unchecked": rate(lambda: Index.open(f"{url}-0", check=False).close()),
        "open_folder": rate(lambda: Index.open(folder).close()),
    }
    cache.empty()
    return [facts | row]


def seconds(work: Callable[[], object], prepare: Callable[[], object]) -> float:
    prepare()
    began = perf_counter()
    work()
    return perf_counter() - began


def put(store: ObjectStore, path: Path) -> None:
    store._store.put(path.name, path)


def get(store: ObjectStore, path: Path, scratch: Path) -> None:
    with (scratch / path.name).open("wb") as file:
        for block in store._store.get(path.name).stream():
            file.write(block)


def parts(store: ObjectStore, paths: list[Path]) -> None:
    """The same parts that a pull asks for, as many at a time, written nowhere."""
    asked = [(path.name, start) for path in paths for start in range(0, path.stat().st_size, BLOCK_BYTES)]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for _ in pool.map(lambda part: store._store.get_range(part[0], start=part[1], length=BLOCK_BYTES), asked):
            pass


if __name__ == "__main__":
    main()
