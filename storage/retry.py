"""Patience with remote stores: what is worth another try, how long to wait, and how to go on in mid-file.

Waits grow exponentially with full jitter (M. Brooker, "Exponential Backoff and Jitter", AWS 2015): the n-th wait is
uniform in [0, min(cap, base * 2^n)], so that workers which failed together do not come back together. A `Retry-After`
of the server is a lower bound. Common Crawl answers 403 and 503 where it throttles, so both count as "later".

A server to which no connection ever came about is rather misspelt or not running than busy: it gets fewer tries.
From the first second on, waits are told as warnings of this module's logger: "waiting 4.0 s: … (try 3 of 5)".
"""

import errno
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from storage.errors import StatusError, StorageError, UnreachedError
from storage.stores import server

T = TypeVar("T")
_HEARD: set[str] = set()
"""Servers that have answered this process, if only with an error."""

LOG = logging.getLogger(__name__)
TOLD_S = 1.0
"""A wait is told if work will have stood still for so long when it ends: nobody notices less."""

STATUSES = frozenset({206, 403, 408, 429, 500, 502, 503, 504})
"""HTTP answers that may be another one later; 206 is an error where it holds another range than was asked for, or none
of its bytes. 404 and 410 are final at once."""

# s3fs turns SlowDown, ServiceUnavailable, InternalError and codes it does not know into these
_ERRNOS = frozenset({errno.EBUSY, errno.EREMOTEIO, errno.EIO, errno.ETIMEDOUT, errno.ENETUNREACH, errno.EHOSTUNREACH})


def failures() -> tuple[type[Exception], ...]:
    """Everything that the clients underneath raise for a request that went wrong, worth another try or not."""
    from storage import clients

    return OSError, *clients.ERRORS


def transient(error: BaseException) -> bool:
    """Whether the same request may succeed later."""
    from storage import clients

    if isinstance(error, StatusError):
        return error.status in STATUSES
    if isinstance(error, UnreachedError):
        return True
    if isinstance(error, (StorageError, *clients.FINAL)):
        return False
    if isinstance(error, clients.NETWORK):
        return True
    return isinstance(error, OSError) and error.errno in _ERRNOS


def may_pass(error: BaseException | None) -> bool:
    """Whether it, or what it was raised from, is transient: patience that was used up here may do another time."""
    while error is not None:
        if transient(error):
            return True
        error = error.__cause__
    return False


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How often and how long to try. Bounded by attempts and by time, whichever comes first."""

    attempts: int = 10
    first_attempts: int = 5
    """Where no connection came about, and never did in this process. With the other defaults 7.5 s on average."""
    base_s: float = 1.0
    cap_s: float = 60.0
    total_s: float = 600.0
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random
    """Uniform in [0, 1)."""
    clock: Callable[[], float] = time.monotonic

    def tries(self, what: str, path: str) -> "Tries":
        """A fresh count of failures of `what`, such as "reading 'https://…' at byte 5", at the server of `path`."""
        return Tries(self, what, server(path))

    def call(self, doing: str, path: str, action: Callable[[], T]) -> T:
        """Returns `action()`, called again after each transient failure.

        Args:
            doing: What is tried, to be read before the path: "asking for".
            path: What it is done to.
            action: The try.

        Raises:
            StorageError: Attempts or time are used up; chained from the last failure.
            Exception: Whatever `action` raised that is final.
        """
        tries = self.tries(f"{doing} {path!r}", path)
        while True:
            try:
                made = action()
            except failures() as error:
                tries.failed(error)
            else:
                tries.heard()
                return made


class Tries:
    """Counts the failures of one piece of work and waits between them."""

    def __init__(self, backoff: Backoff, what: str, server: str) -> None:
        self._backoff = backoff
        self._what = what
        self._server = server
        self._failures = 0
        self._start = backoff.clock()

    def heard(self) -> None:
        """The server has answered."""
        _HEARD.add(self._server)

    def failed(self, error: BaseException) -> None:
        """Waits before the next try.

        Raises:
            BaseException: `error` itself where it is final.
            StorageError: Attempts or time are used up.
        """
        from storage import clients

        unreached = isinstance(error, clients.UNREACHED)
        if not unreached:
            self.heard()
        if not transient(error):
            raise error
        backoff = self._backoff
        self._failures += 1
        spent = backoff.clock() - self._start
        wait = backoff.jitter() * min(backoff.cap_s, backoff.base_s * 2.0 ** (self._failures - 1))
        if isinstance(error, StatusError) and error.retry_after_s is not None:
            wait = max(wait, error.retry_after_s)
        stranger = unreached and self._server not in _HEARD
        attempts = min(backoff.attempts, backoff.first_attempts) if stranger else backoff.attempts
        if self._failures >= attempts or spent + wait > backoff.total_s:
            raise StorageError(
                f"{self._what} failed {self._failures} times in {spent:.0f} s, the last time: {_told(error)}; "
                f"{_advice(error, stranger)}"
            ) from error
        if spent + wait >= TOLD_S:
            tries = (self._failures + 1, attempts)
            LOG.warning("waiting %.1f s: %s (try %d of %d)", wait, self._in_short(error), *tries)
        backoff.sleep(wait)

    def _in_short(self, error: BaseException) -> str:
        if isinstance(error, StatusError):
            return f"{self._server} answers with HTTP {error.status}"
        return str(error) if isinstance(error, UnreachedError) else f"{self._what}: {_told(error)}"


def _told(error: BaseException) -> str:
    return str(error) if isinstance(error, StorageError) else f"{type(error).__name__}: {error}"


def _advice(error: BaseException, stranger: bool) -> str:
    if stranger:
        return "check the address, and that its server runs; then run the same command again"
    if isinstance(error, StatusError) and error.status == 403:
        return "the server throttles or does not allow it: run the same command later, or with fewer workers"
    return "run the same command again later; nothing committed is lost"
