"""A supervised child process: whatever touches a page runs here, and a page can end the child but never the run.

The child is spawned by `sys.executable -c`, not by multiprocessing: spawning there imports the parent's `__main__`
again, which inside a Beam worker is Beam's own. It inherits the parent's import path as it stands (so PYTHONSAFEPATH
holds), a fixed hash seed (no page's text may hang on the order of a set), and limits of memory and CPU time. It ends
by itself when its parent dies. Replies travel by pipes of their own, so nothing that a library prints can disturb them.
"""

import json
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

import psutil

from curation.child_side import BUG, LENGTH_BYTES, OUT_OF_MEMORY, READY, RESULT, read_frame

T = TypeVar("T")
R = TypeVar("R")

CRASHED, TIMED_OUT, OUT_OF_MEMORY_REASON = "crashed_worker", "timed_out", "out_of_memory"
REASONS = (CRASHED, TIMED_OUT, OUT_OF_MEMORY_REASON)
"""Every reason that a `Died` can have."""

_START_SECONDS = 300.0
_START_ATTEMPTS = 3
_STDERR_KEPT = 65_536
_BOOT = (
    "import json, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "sys.path[:] = json.loads(sys.argv[5]); from curation.child_side import main; main(*map(int, sys.argv[1:5]))"
)


class ChildError(RuntimeError):
    """The function raised, or could not be built: a bug to mend, not a page to drop. One line.

    Attributes:
      words: what was raised and where in the code.
      where: on which item, empty where on none.
      details: the child's traceback, empty where it left none.
    """

    def __init__(self, words: str, where: str = "", details: str = "") -> None:
        super().__init__(f"{words}, {where}" if where else words)
        self.words, self.where, self.details = words, where, details


@dataclass(frozen=True, slots=True)
class Died:
    """An item that ended its child twice.

    `value` and `threshold` by reason: `crashed_worker` the signal or exit status, and 0; `timed_out` and
    `out_of_memory` the limit in seconds or bytes, twice (what was measured differs from run to run: see `detail`).
    """

    reason: str
    value: float
    threshold: float
    detail: str = ""


def _shortened(item: object) -> str:
    return repr(item)[:300]


@dataclass(slots=True)
class _Process:
    """A running child and our ends of its pipes."""

    popen: subprocess.Popen[bytes]
    requests: int
    replies: int
    alive: int
    ready: bool = False
    cpu_before: float = 0.0
    """CPU seconds it had used when its item was sent."""
    deadline: float = 0.0
    """When its item's wall time ends, by the monotonic clock."""
    poll: select.poll = field(default_factory=select.poll)
    """Tells whether there is a reply to read."""

    def __post_init__(self) -> None:
        self.poll.register(self.replies, select.POLLIN)

    def cpu_seconds(self) -> float:
        """CPU time of the child so far; 0 where it is gone, which its pipe tells better."""
        try:
            times = psutil.Process(self.popen.pid).cpu_times()
        except psutil.NoSuchProcess:
            return 0.0
        return float(times.user + times.system)

    def write(self, payload: bytes) -> None:
        """Writes one frame, until the deadline or until there is something to read: a reply to half an item."""
        view = memoryview(len(payload).to_bytes(LENGTH_BYTES, "big") + payload)
        poll = select.poll()
        poll.register(self.requests, select.POLLOUT)
        poll.register(self.replies, select.POLLIN)
        while view and time.monotonic() < self.deadline:
            events = dict(poll.poll(1000))
            if self.replies in events:
                return
            if self.requests in events:
                try:
                    view = view[os.write(self.requests, view) :]
                except BrokenPipeError:
                    return


class Child(Generic[T, R]):
    """Applies a function to items inside a child process, in order, one item at a time.

    Args:
      build: importable function that returns the function to apply; called once in each child.
      memory_bytes: how far the child's memory may grow beyond what it has after `build`.
      cpu_seconds: CPU time an item may take, measured on the child, so that a busy machine loses no page.
      wall_seconds: a far backstop for a child that waits for ever without using CPU time.
      describe: an item in words, for errors.

    Attributes:
      retries: how often a second attempt `recovered_after_<reason>` or was `given_up_after_<reason>`.
    """

    def __init__(
        self,
        build: Callable[[], Callable[[T], R]],
        *,
        memory_bytes: int,
        cpu_seconds: float,
        wall_seconds: float,
        describe: Callable[[T], str] = _shortened,
    ) -> None:
        self.retries: Counter[str] = Counter()
        self._setup = pickle.dumps((build, memory_bytes))
        self._memory_bytes = memory_bytes
        self._cpu_seconds = cpu_seconds
        self._wall_seconds = wall_seconds
        self._describe = describe
        self._process: _Process | None = None
        self._stderr = tempfile.TemporaryFile("a+b")  # noqa: SIM115 (lives as long as the object)

    def __enter__(self) -> Self:
        """Starts the child without waiting for it."""
        self._process = self._spawn()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        """Ends the child."""
        self._stop()
        self._stderr.close()

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        return self._process.popen.pid if self._process else None

    def map(self, items: Iterable[T]) -> Iterator[tuple[T, R | Died]]:
        """Yields each item with its result, in order. The next item is read while the child works on this one.

        Raises:
          ChildError: the function raised something other than MemoryError or RecursionError; or could not be built.
        """
        waiting: list[T] = []  # the item that the child works on
        try:
            for item in items:
                done = [(w, self._result(w)) for w in waiting]
                waiting = [item]
                self._send(item)
                yield from done
            done = [(w, self._result(w)) for w in waiting]
            waiting = []
            yield from done
        finally:
            if waiting:  # the caller left early: a child in the midst of an item is of no further use
                self._stop()

    def _result(self, item: T) -> R | Died:
        """The reply to the item just sent; after a death, to a second attempt in a fresh child."""
        first = self._receive(item)
        if not isinstance(first, Died):
            return first
        self._send(item)
        second = self._receive(item)
        outcome = "given_up" if isinstance(second, Died) else "recovered"
        self.retries[f"{outcome}_after_{first.reason}"] += 1
        return second

    def _send(self, item: T) -> None:
        """Hands the child an item; one that dies before it has read all of it is found dead by `_receive`."""
        process = self._ready()
        process.cpu_before = process.cpu_seconds()
        process.deadline = time.monotonic() + self._wall_seconds
        process.write(pickle.dumps(item, protocol=5))

    def _receive(self, item: T) -> R | Died:
        """Waits for the reply within the budgets. After a death no child is left."""
        process = self._process
        assert process is not None
        death = self._await_reply(process)
        frame = None if death else read_frame(process.replies)
        if death is None and frame is None:
            death = self._crash(process)
        if death is not None:
            self._stop()
            return death
        assert frame is not None
        kind, payload = pickle.loads(frame)  # noqa: S301 (written by our own child)
        if kind == RESULT:
            self._trim_stderr()
            return payload
        self._stop()
        if kind == BUG:
            words, details = payload
            raise ChildError(words, f"on {self._describe(item)}", details)
        if kind == OUT_OF_MEMORY:
            return Died(OUT_OF_MEMORY_REASON, float(self._memory_bytes), float(self._memory_bytes))
        return Died(CRASHED, 0.0, 0.0, f"RecursionError: {payload}")

    def _await_reply(self, process: _Process) -> Died | None:
        """Returns when there is something to read, or with the budget that was spent."""
        wait = min(self._cpu_seconds, self._wall_seconds)  # no earlier can a budget be spent
        while not process.poll.poll(max(10.0, wait * 1000)):
            used = process.cpu_seconds() - process.cpu_before
            left = process.deadline - time.monotonic()
            if used >= self._cpu_seconds:
                return Died(TIMED_OUT, self._cpu_seconds, self._cpu_seconds, f"{used:.1f} s of CPU time")
            if left <= 0:
                return Died(TIMED_OUT, self._wall_seconds, self._wall_seconds, f"{used:.1f} s of CPU time, then idle")
            wait = min(self._cpu_seconds - used, left)
        return None

    def _crash(self, process: _Process) -> Died:
        process.popen.wait()
        status = process.popen.returncode
        return Died(CRASHED, float(abs(status)), 0.0, f"{_ending(status)}: {self._last_words()}".removesuffix(": "))

    def _ready(self) -> _Process:
        """A child that has built its function, started if there is none."""
        detail = ""
        for _ in range(_START_ATTEMPTS):
            process = self._process = self._process or self._spawn()
            if process.ready:
                return process
            frame = read_frame(process.replies) if process.poll.poll(_START_SECONDS * 1000) else None
            if frame is None:
                process.popen.kill()
                detail = self._crash(process).detail
                self._stop()
                continue
            kind, payload = pickle.loads(frame)  # noqa: S301
            if kind != READY:
                self._stop()
                words, details = payload
                raise ChildError(f"the child process could not build its stages: {words}", details=details)
            process.ready = True
            return process
        raise ChildError(f"the child process ended {_START_ATTEMPTS} times before it was ready, lastly by {detail}")

    def _spawn(self) -> _Process:
        requests_in, requests = os.pipe()
        replies, replies_out = os.pipe()
        alive_in, alive = os.pipe()
        theirs = (requests_in, replies_out, alive_in)
        os.ftruncate(self._stderr.fileno(), 0)
        path = json.dumps([str(Path(entry).absolute()) for entry in sys.path])
        try:
            popen = subprocess.Popen(
                [sys.executable, "-P", "-c", _BOOT, *map(str, theirs), str(os.getpid()), path],
                stdin=subprocess.DEVNULL,
                stdout=self._stderr,
                stderr=self._stderr,
                pass_fds=theirs,
                env={**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        except OSError:
            for fd in (requests, replies, alive):
                os.close(fd)
            raise
        finally:
            for fd in theirs:
                os.close(fd)
        os.set_blocking(requests, False)
        process = _Process(popen, requests, replies, alive, deadline=time.monotonic() + _START_SECONDS)
        process.write(self._setup)
        return process

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.popen.kill()
        process.popen.wait()
        for fd in (process.requests, process.replies, process.alive):
            os.close(fd)

    def _last_words(self) -> str:
        """The last line that the child printed."""
        size = os.fstat(self._stderr.fileno()).st_size
        lines = os.pread(self._stderr.fileno(), 4096, max(0, size - 4096)).decode(errors="replace").split("\n")
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")

    def _trim_stderr(self) -> None:
        """Libraries log about pages; nobody reads it, and it must not fill the disk."""
        if os.fstat(self._stderr.fileno()).st_size > _STDERR_KEPT:
            os.ftruncate(self._stderr.fileno(), 0)


def _ending(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
