"""Patience with remote stores: what is worth another try, how long to wait, and how to go on in mid-file.

Waits grow exponentially with full jitter (M. Brooker, "Exponential Backoff and Jitter", AWS 2015): the n-th wait is
uniform in [0, min(cap, base * 2^n)], so that workers which failed together do not come back together. A `Retry-After`
of the server is a lower bound. Common Crawl answers 403 and 503 where it throttles, so both count as "later".
"""

import errno
import http.client
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import aiohttp
import botocore.exceptions
import requests
import urllib3

from storage.errors import StatusError, StorageError

T = TypeVar("T")

STATUSES = frozenset({403, 408, 429, 500, 502, 503, 504})
"""HTTP answers that may be another one later. 404 and 410 are final at once."""

FAILURES = (
    OSError,
    http.client.HTTPException,
    urllib3.exceptions.HTTPError,
    aiohttp.ClientError,
    botocore.exceptions.BotoCoreError,
)
"""Everything that the clients underneath raise for a request that went wrong, worth another try or not."""

_NETWORK = (
    TimeoutError,
    ConnectionError,
    requests.ConnectionError,
    requests.Timeout,
    http.client.IncompleteRead,
    urllib3.exceptions.ProtocolError,
    urllib3.exceptions.TimeoutError,
    aiohttp.ClientError,
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,
)
_FINAL = (requests.exceptions.SSLError, FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError)
# s3fs turns SlowDown, ServiceUnavailable, InternalError and codes it does not know into these
_ERRNOS = frozenset({errno.EBUSY, errno.EREMOTEIO, errno.EIO, errno.ETIMEDOUT, errno.ENETUNREACH, errno.EHOSTUNREACH})


def transient(error: BaseException) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, StatusError):
        return error.status in STATUSES
    if isinstance(error, (StorageError, *_FINAL)):
        return False
    if isinstance(error, _NETWORK):
        return True
    return isinstance(error, OSError) and error.errno in _ERRNOS


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How often and how long to try. Bounded by attempts and by time, whichever comes first."""

    attempts: int = 10
    base_s: float = 1.0
    cap_s: float = 60.0
    total_s: float = 600.0
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random
    """Uniform in [0, 1)."""
    clock: Callable[[], float] = time.monotonic

    def tries(self, what: str) -> "Tries":
        """A fresh count of failures of `what`, such as "reading 'https://…'"."""
        return Tries(self, what)

    def call(self, what: str, action: Callable[[], T]) -> T:
        """Returns `action()`, called again after each transient failure.

        Raises:
            StorageError: Attempts or time are used up; chained from the last failure.
            Exception: Whatever `action` raised that is final.
        """
        tries = self.tries(what)
        while True:
            try:
                return action()
            except FAILURES as error:
                tries.failed(error)


class Tries:
    """Counts the failures of one piece of work and waits between them."""

    def __init__(self, backoff: Backoff, what: str) -> None:
        self._backoff = backoff
        self._what = what
        self._failures = 0
        self._start = backoff.clock()

    def failed(self, error: BaseException) -> None:
        """Waits before the next try.

        Raises:
            BaseException: `error` itself where it is final.
            StorageError: Attempts or time are used up.
        """
        if not transient(error):
            raise error
        backoff = self._backoff
        self._failures += 1
        spent = backoff.clock() - self._start
        wait = backoff.jitter() * min(backoff.cap_s, backoff.base_s * 2.0 ** (self._failures - 1))
        if isinstance(error, StatusError) and error.retry_after_s is not None:
            wait = max(wait, error.retry_after_s)
        if self._failures >= backoff.attempts or spent + wait > backoff.total_s:
            raise StorageError(
                f"{self._what} failed {self._failures} times in {spent:.0f} s, the last time with {_told(error)}; "
                f"{_advice(error)}"
            ) from error
        backoff.sleep(wait)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _advice(error: BaseException) -> str:
    if isinstance(error, StatusError) and error.status == 403:
        return "the server throttles or does not allow it: run the same command later, or with fewer workers"
    return "run the same command again later; nothing committed is lost"
