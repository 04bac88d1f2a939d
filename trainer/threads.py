"""Threads that start when there is work, end when told, and never hold up the interpreter's own end."""

import queue
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeAlias, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Jobs: TypeAlias = "queue.SimpleQueue[Callable[[], None] | None]"
"""None ends the thread that takes it."""


class Threads:
    """Up to `most` daemon threads, which end with it. `ThreadPoolExecutor`'s are joined at exit, however long a store
    keeps silent."""

    def __init__(self, name: str, most: int) -> None:
        self._name, self._most = name, most
        self._jobs: Jobs = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._open = 0
        weakref.finalize(self, _end, self._jobs, self._threads)

    def submit(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Has `call` made, first come first served. Its result, or whatever it raises, is the future's."""
        future: Future[T] = Future()

        def job() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    result = call(*args, **kwargs)
                except BaseException as error:  # noqa: BLE001 (whoever waits for it gets it, whatever it is)
                    future.set_exception(error)
                else:
                    future.set_result(result)
            with self._lock:
                self._open -= 1

        with self._lock:
            self._open += 1
            self._jobs.put(job)
            if len(self._threads) < min(self._most, self._open):
                thread = threading.Thread(target=_work, args=(self._jobs,), name=self._name, daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def rest(self, wait_s: float = 0.0) -> None:
        """Ends the threads behind the calls that were submitted; a later one starts new ones.

        Args:
            wait_s: How long to wait for them at most, in seconds. A thread whose store is silent ends later, by itself.
        """
        with self._lock:
            ending = _end(self._jobs, self._threads)
        until = time.monotonic() + wait_s
        for thread in ending:
            thread.join(max(0.0, until - time.monotonic()))


def _end(jobs: Jobs, threads: list[threading.Thread]) -> list[threading.Thread]:
    """Tells threads to end, and forgets them."""
    ending = threads.copy()
    threads.clear()
    for _ in ending:
        jobs.put(None)
    return ending


def _work(jobs: Jobs) -> None:
    while (job := jobs.get()) is not None:
        job()
        del job  # else the last call's result would live on in a waiting thread
