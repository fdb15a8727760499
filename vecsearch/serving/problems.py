"""What is wrong with a request, as it is answered: a status, and {"error": {"code", "message", "hint"}}."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vecsearch.errors import DataError, LostError, UsageError, VecsearchError

RETRY_AFTER = {"retry-after": "1"}


class Problem(Exception):
    """Ends a request with a status. `code` is for programs and stays what it is; `message` and `hint` are for people."""

    def __init__(
        self, status: int, code: str, message: str, hint: str = "", *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.hint = status, code, message, hint
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}


class Gone(Exception):
    """The client has not waited for its answer."""


def invalid(message: str, hint: str = "") -> Problem:
    """A request that is understood and makes no sense."""
    return Problem(422, "invalid_request", message, hint)


def busy(queue: int) -> Problem:
    """More is asked than can be answered in time."""
    said = f"the service has {queue:,} queries to answer already"
    return Problem(503, "overloaded", said, "try again in a second", headers=RETRY_AFTER)


def too_late(seconds: float) -> Problem:
    """What was not answered by its deadline."""
    hint = "ask for less at once, or try again when the service has less to do"
    return Problem(504, "deadline_exceeded", f"there was no answer within {seconds:g} s", hint)


def of_library(error: VecsearchError) -> Problem:
    """What the library says of a request. Only what its sender can mend is shown: the rest may name files of the server."""
    if isinstance(error, UsageError | DataError):
        return invalid(str(error))
    if isinstance(error, LostError):
        said = str(error).partition(": ")[0]
        return Problem(503, "out_of_reach", said, "try again in a moment", headers=RETRY_AFTER)
    return internal()


def internal() -> Problem:
    """A fault of the service, or of an index that it cannot read."""
    return Problem(500, "internal_error", "the service met a problem that it did not expect", "its log says more")
