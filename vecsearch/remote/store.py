"""An object store behind a URL: what is put, read, listed and removed there; what goes wrong names the object by its URL."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

from vecsearch.errors import DamagedIndexError, ResourceError, UsageError, VecsearchError, writing
from vecsearch.files import sync
from vecsearch.forks import inherited
from vecsearch.store.layout import damaged, reading
from vecsearch.urls import EXAMPLES, SCHEMES, is_store_url

BLOCK_BYTES = 8 << 20
"""A larger file goes up in parts of so many bytes, and comes down in such."""
PARTS_AT_ONCE = 2
"""Parts of a file that go up at a time; as many blocks of it are in memory."""
MOST_PARTS = 9_000
"""S3 takes 10,000 parts of a file at the most."""
DEFAULTS = {"timeout": "10 minutes", "connect_timeout": "20 seconds"}
"""Without these a request has 30 seconds in all, too few for a part on a slow line."""
FROM_ENVIRONMENT = ("allow_http", "allow_invalid_certificates", "connect_timeout", "proxy_url", "timeout")
"""Options of the client that obstore reads from the environment only where it is given none at all."""
LOCAL = "file://"


@dataclass(frozen=True)
class Stored:
    """An object as a listing shows it: its size in bytes, and when it was put there by the store's clock."""

    size: int
    modified: datetime


class _Runtime:
    """Whether this process has begun to use obstore, whose threads a forked child would wait for, for ever."""

    def __init__(self) -> None:
        self.used = self.lost = False
        inherited(self)

    def in_child(self) -> None:
        self.lost = self.used

    def use(self) -> None:
        if self.lost:
            raise UsageError(
                "this process was forked from one that had used an object store: open the index by its URL in a process that "
                "was started by multiprocessing's spawn or forkserver"
            )
        self.used = True


_runtime = _Runtime()


def beside(call: Callable[..., Any], *arguments: Any, **options: Any) -> Future[Any]:
    """Call something in a thread of its own, which no end of the process waits for: obstore's calls do not heed Ctrl-C, and a
    server that does not answer would have the user wait for minutes."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call(*arguments, **options))
        except BaseException as error:  # whoever waits for the future gets it
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


class ObjectStore:
    """The objects below a URL such as s3://bucket/prefix, by their names relative to it. It may be used by several threads.

    `read_part` and `upload` are to be called beside the main thread.
    """

    def __init__(self, url: str, *, create: bool = False) -> None:
        """`create` makes the folder of a file:// URL.

        Raises: UsageError: no such URL, or obstore is missing. ResourceError: there is no such folder, or no credentials.
        """
        self.url = checked_url(url)
        try:
            import obstore
            from obstore.store import LocalStore, from_url
        except ImportError:
            raise UsageError("object stores need another package: pip install 'vecsearch[cloud]'") from None
        _runtime.use()
        self._obstore = obstore
        self._folder = Path(self.url.removeprefix(LOCAL)) if self.url.startswith(LOCAL) else None
        if self._folder and not create and not self._folder.is_dir():
            raise ResourceError(
                f"{self.url}: there is no folder {self._folder}; vecsearch push makes it, unless it has to be mounted"
            )
        with self._asking("open", ""):
            if self._folder is None:
                self._store: Any = from_url(self.url, client_options=_client_options(self.url))
            else:
                self._store = LocalStore(self._folder, mkdir=create)

    def where(self, name: str) -> str:
        """The URL of an object."""
        return f"{self.url}/{name}" if name else self.url

    def read(self, name: str) -> bytes | None:
        """The whole of an object; None where there is none. Raises ResourceError."""
        with self._asking("read", name):
            try:
                return bytes(beside(lambda: self._store.get(name).bytes()).result())
            except FileNotFoundError:
                return None

    def read_part(self, name: str, start: int, length: int) -> Any:
        """So many bytes of an object, as a buffer; fewer where it ends before. Raises DamagedIndexError where it is not there,
        or ends before `start`, and ResourceError."""
        with self._asking("read", name):
            try:
                return self._store.get_range(name, start=start, length=length)
            except FileNotFoundError:
                raise damaged_object(self.where(name), "is missing") from None
            except self._obstore.exceptions.BaseError:
                # Each store says in its own words that there are no such bytes.
                if (size := self._store.head(name)["size"]) <= start:
                    raise damaged_object(self.where(name), f"ends after {size:,} bytes") from None
                raise

    def objects(self, below: str = "") -> dict[str, Stored]:
        """All objects, or those below a name that ends with a slash. Raises ResourceError."""
        with self._asking("list", below):
            try:
                listed = beside(lambda: self._store.list(below or None).collect()).result()
            except FileNotFoundError as error:
                raise ResourceError(f"cannot list {self.where(below)}: there is no such place ({_reason(error)})") from None
        return {entry["path"]: Stored(entry["size"], entry["last_modified"]) for entry in listed}

    def put(self, name: str, data: bytes) -> None:
        """Put an object, in the place of one of that name if there is one. Raises ResourceError."""
        self._put(name, data, "overwrite")

    def put_if_absent(self, name: str, data: bytes) -> bool:
        """Put an object unless there is one of that name, in one step: one of several succeeds. Raises ResourceError."""
        try:
            self._put(name, data, "create")
        except self._obstore.exceptions.AlreadyExistsError:
            return False
        return True

    def _put(self, name: str, data: bytes, mode: str) -> None:
        with self._asking("write", name, but=(self._obstore.exceptions.AlreadyExistsError,)):
            beside(self._store.put, name, data, mode=mode, use_multipart=False).result()
        self._sync(name)

    def upload(self, name: str, path: Path, size: int, sha256: str, *, told: Callable[[int], None]) -> None:
        """Put a file, whose bytes are hashed as they go: what is not what it should be never becomes an object.

        `told` is called with the bytes that have been read, piece by piece. Raises DamagedIndexError, ResourceError.
        """
        block = max(BLOCK_BYTES, -(-size // MOST_PARTS))
        with self._asking("write", name):
            if size <= block:
                self._store.put(name, b"".join(_blocks(path, block, sha256, told)), use_multipart=False)
            else:
                blocks = _blocks(path, block, sha256, told)
                self._store.put(name, blocks, use_multipart=True, chunk_size=block, max_concurrency=PARTS_AT_ONCE)
        self._sync(name)

    def _sync(self, name: str) -> None:
        """A folder's objects are put by renaming them; that they reach the disk before they are named is up to us."""
        if self._folder is not None:
            with writing(self.where(name)):
                for path in (self._folder / name, (self._folder / name).parent):
                    sync(path)

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects; those that are not there any more do no harm. Raises ResourceError."""
        if self._folder is None and names:
            with self._asking("remove", names[0]):
                beside(self._store.delete, list(names)).result()
            return
        for name in names:
            with self._asking("remove", name):
                (self._folder / name).unlink(missing_ok=True)

    def leftovers(self) -> dict[str, Stored]:
        """What writers that were killed have left in a folder, where it is never listed. Other stores keep the parts of an
        unfinished upload out of sight, until a rule of the bucket removes them."""
        found = {}
        for path in self._folder.rglob("*#*") if self._folder is not None else ():
            with suppress(FileNotFoundError):  # a writer has just given it its name
                stat = path.stat()
                name = path.relative_to(self._folder).as_posix()
                found[name] = Stored(stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))
        return found

    @contextmanager
    def _asking(self, what: str, name: str, *, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Turn obstore's exceptions into ours."""
        errors = self._obstore.exceptions
        try:
            yield
        except (VecsearchError, *but):
            raise
        except (errors.PermissionDeniedError, errors.UnauthenticatedError) as error:
            raise ResourceError(
                f"cannot {what} {self.where(name)}: the store refuses these credentials ({_reason(error)}); set others in the "
                "environment, or ask for the right"
            ) from None
        except (errors.BaseError, OSError, ValueError) as error:
            raise ResourceError(
                f"cannot {what} {self.where(name)}: {_reason(error)}; see that the address, the network and the credentials in "
                "the environment are right, and do it again"
            ) from None


def checked_url(url: str) -> str:
    """The URL of an object store as it is kept: without a slash at its end. Raises UsageError for what is none."""
    if "://" not in url or not is_store_url(url):
        raise UsageError(f"{url!r} is not the URL of an object store; give one such as {EXAMPLES}")
    scheme, _, rest = url.partition("://")
    host, _, prefix = rest.rstrip("/").partition("/")
    parts = [*prefix.split("/")] if prefix else []
    if (not host and scheme != "file") or (scheme == "file" and (host or not parts)):
        raise UsageError(f"{url!r} names no place; give a URL such as {EXAMPLES}")
    if wrong := [
        part for part in parts if part in ("", ".", "..") or not part.isprintable() or set(part) & set('?#%\\*"<>|[]{}^`~')
    ]:
        raise UsageError(
            f"{url!r} has the part {wrong[0]!r}; an index's place is called by letters, digits, spaces and . _ - + = , @"
        )
    return f"{scheme}://{'/'.join((host, *parts))}"


def damaged_object(where: str, what: str) -> DamagedIndexError:
    """The error for an object that is not what was put there."""
    return DamagedIndexError(f"{where} {what}; push the index again from a folder that is whole, or pull an older generation")


def _client_options(url: str) -> dict[str, str]:
    """Options of the HTTP client: ours, and over them those of the environment, such as AWS_ALLOW_HTTP."""
    scheme = SCHEMES[url.partition("://")[0]]
    named = {option: os.environ.get(f"{scheme}_{option.upper()}") for option in FROM_ENVIRONMENT}
    return DEFAULTS | {option: value for option, value in named.items() if value}


def _blocks(path: Path, size: int, sha256: str, told: Callable[[int], None]) -> Iterator[bytes]:
    digest = hashlib.sha256()
    with reading(path), path.open("rb") as file:
        while block := file.read(size):
            digest.update(block)
            told(len(block))
            yield block
    if digest.hexdigest() != sha256:
        raise damaged(path, f"has sha256 {digest.hexdigest()}, not {sha256}")


def _reason(error: BaseException) -> str:
    """What an exception of obstore says, without its own innards."""
    said = str(error).partition("\n\nDebug source")[0]
    said = " ".join(said.split())
    return said if len(said) <= 300 else f"{said[:299]}…"
