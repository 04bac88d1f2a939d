"""Work done ahead of whoever wants its results: by threads, in order, bounded by bytes."""

import contextlib
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from trainer.threads import Threads

T = TypeVar("T")
END_S = 2.0
"""How long the end waits for threads; one that reads from a silent store ends later, by itself."""


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """A result to be made."""

    bytes: int
    """Of the result."""
    make: Callable[[], T]


@dataclass(slots=True)
class Waits:
    """How long results were waited for."""

    seconds: "array[float]" = field(default_factory=lambda: array("d"))
    """Of each, in order."""
    depth: int = 0
    """Finished results that lay ready when the last one was taken, itself not counted."""

    def p99_s(self) -> float:
        """99 % of the waits were shorter."""
        return float(np.quantile(self.seconds, 0.99)) if self.seconds else 0.0

    def max_s(self) -> float:
        """The longest."""
        return max(self.seconds, default=0.0)

    def total_s(self) -> float:
        """All."""
        return sum(self.seconds)


def ahead(jobs: Generator[Job[T]], threads: int, max_bytes: int, waits: Waits) -> Iterator[T]:
    """Yields the jobs' results in their order, whatever the number of threads.

    Jobs are drawn in a thread of their own as long as what is ready or in work takes at most `max_bytes`; at least one
    is always ahead. What drawing or making one raises is raised in its place. Closed, or dropped, it ends its threads.
    """
    line = _Line(jobs, threads, max_bytes)
    try:
        line.start()
        while True:
            started = time.perf_counter()
            future = line.take()
            if future is None:
                return
            result = future.result()
            waits.seconds.append(time.perf_counter() - started)
            waits.depth = line.ready()
            yield result
            del result, future  # the next wait may be long
    finally:
        line.end()


class _Line(Generic[T]):
    """Results in order: some made, some in work."""

    def __init__(self, jobs: Generator[Job[T]], threads: int, max_bytes: int) -> None:
        self._jobs, self._max_bytes = jobs, max_bytes
        self._pool, self._drawer = Threads("loader", threads), Threads("loader: draw", 1)
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, Future[T] | None]] = deque()
        self._bytes = 0
        self._made = self._taken = 0
        self._ended = False

    def start(self) -> None:
        """Begins to draw jobs."""
        self._drawing = self._drawer.submit(self._draw)

    def take(self) -> "Future[T] | None":
        """The next result, made or not; None behind the last.

        Raises:
            Exception: What drawing it raised.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting)
            size, future = self._waiting.popleft()
            self._bytes -= size
            self._taken += future is not None
            self._changed.notify_all()
        if future is None:
            self._drawing.result()
        return future

    def ready(self) -> int:
        """Results that are made, once the one that was taken last is; counted, as of small steps thousands wait."""
        with self._changed:
            return self._made - self._taken

    def end(self) -> None:
        """Ends the threads."""
        with self._changed:
            self._ended = True
            for _, future in self._waiting:
                if future is not None:
                    future.cancel()
            self._changed.notify_all()
        self._drawer.rest(END_S)
        self._pool.rest(END_S)

    def _draw(self) -> None:
        try:
            with contextlib.closing(self._jobs) as jobs:
                for job in jobs:
                    if not self._put(job):
                        return
        finally:
            with self._changed:
                self._waiting.append((0, None))
                self._changed.notify_all()

    def _put(self, job: Job[T]) -> bool:
        """Has a job made as soon as there is room for its result; False behind the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or not self._bytes or self._bytes + job.bytes <= self._max_bytes)
            if self._ended:
                return False
            self._bytes += job.bytes
            self._waiting.append((job.bytes, self._pool.submit(self._make, job)))
            self._changed.notify_all()
            return True

    def _make(self, job: Job[T]) -> T:
        try:
            return job.make()
        finally:
            with self._changed:
                self._made += 1
