"""What runs inside a supervised child process: see `curation.child`, its parent. Imports little, to start fast."""

import fcntl
import functools
import os
import pickle
import resource
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

READY, RESULT, OUT_OF_MEMORY, TOO_DEEP, BUG = "ready", "result", "out_of_memory", "too_deep", "bug"
"""Kinds of reply; each is a pair (kind, payload)."""

LENGTH_BYTES = 8
"""A frame is its length, big endian, then that many bytes of pickle."""

MOST_WORDS = 500
"""Characters of an exception's message that are told."""

_OUT_OF_MEMORY_REPLY = pickle.dumps((OUT_OF_MEMORY, None))  # made while there still is memory
_POLL_SECONDS = 0.5
_OOM_SCORE = "800"


class StageFailedError(Exception):
    """A stage raised: a bug to mend. One line; the cause is what it raised."""


@contextmanager
def blamed(name: str, stage: object) -> Iterator[None]:
    """Names the stage that what is raised within comes from, and the line of its package where.

    Raises:
      StageFailedError: something was raised. What the page is to blame for (memory, recursion) passes as it is.
    """
    try:
        yield
    except (MemoryError, RecursionError):
        raise
    except Exception as error:
        package = type(stage).__module__.partition(".")[0]
        raise StageFailedError(f"the stage {name!r} failed: {in_a_line(error, package)}") from error


def in_a_line(error: BaseException, package: str = "") -> str:
    """An exception's type, message and place: its innermost line in a package, or where it was raised."""
    words = " ".join(str(error).split())
    words = words if len(words) <= MOST_WORDS else f"{words[:MOST_WORDS]}…"
    frames = [
        (frame.f_globals.get("__name__", ""), frame, line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    theirs = [found for found in frames if found[0].partition(".")[0] == package] or frames
    place = f" ({theirs[-1][1].f_code.co_filename}:{theirs[-1][2]})" if theirs else ""
    return f"{type(error).__name__}: {words}".removesuffix(": ") + place


def main(requests: int, replies: int, alive: int, parent: int) -> None:
    """Serves until the parent closes its end or dies. What the function raises goes to the parent as text.

    Args:
      requests: descriptor to read frames from: first (build, memory_bytes), then one item each.
      replies: descriptor that answers one reply a frame.
      alive: read end of a pipe that the parent holds open and never writes to.
      parent: its process id.
    """
    _end_with_parent(parent, alive)
    _be_first_to_go()
    sys.excepthook = functools.partial(_report, replies)
    frame = read_frame(requests)
    if frame is None:
        return
    build, memory_bytes = pickle.loads(frame)  # noqa: S301 (only ever the parent's own)
    function = build()
    limit_memory(memory_bytes)
    write_frame(replies, pickle.dumps((READY, None)))
    while _serve_one(function, requests, replies):
        pass


def _serve_one(function: Callable[[Any], Any], requests: int, replies: int) -> bool:
    """Answers one item; False at the end of items."""
    try:
        frame = read_frame(requests)
        if frame is None:
            return False
        reply = pickle.dumps((RESULT, function(pickle.loads(frame))), protocol=5)  # noqa: S301
    except MemoryError:
        reply = _OUT_OF_MEMORY_REPLY
    except RecursionError as error:
        reply = pickle.dumps((TOO_DEEP, str(error)))
    write_frame(replies, reply)
    return True


def _report(replies: int, kind: type[BaseException], value: BaseException, tb: TracebackType | None) -> None:
    """The interpreter's last act on an exception nobody caught: a bug, with which the parent fails the run."""
    words = str(value) if isinstance(value, StageFailedError) else in_a_line(value)
    write_frame(replies, pickle.dumps((BUG, (words, "".join(traceback.format_exception(kind, value, tb))))))


def read_frame(fd: int) -> bytearray | None:
    """One frame's bytes, or None where the other end closed before or within it."""
    head = _read_exactly(fd, LENGTH_BYTES)
    return None if head is None else _read_exactly(fd, int.from_bytes(head, "big"))


def _read_exactly(fd: int, size: int) -> bytearray | None:
    buffer = bytearray(size)
    view = memoryview(buffer)
    done = 0
    while done < size:
        got = os.readv(fd, [view[done : done + 1_048_576]])
        if got == 0:
            return None
        done += got
    return buffer


def write_frame(fd: int, payload: bytes) -> None:
    """Writes one frame whole; the descriptor blocks."""
    view = memoryview(len(payload).to_bytes(LENGTH_BYTES, "big") + payload)
    while view:
        view = view[os.write(fd, view) :]


def limit_memory(memory_bytes: int) -> None:
    """Lets the process's private writable memory grow by so many bytes beyond what it has now, where the system can.

    RLIMIT_DATA, not RLIMIT_AS: libraries reserve address space by the gigabyte that they never touch.
    """
    if not sys.platform.startswith("linux"):
        return
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 (pathlib costs start-up time here)
        data_pages = int(file.read().split()[5])
    now = data_pages * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = now + memory_bytes if hard == resource.RLIM_INFINITY else min(now + memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _end_with_parent(parent: int, alive: int) -> None:
    """Two ways, since each has a hole.

    The kernel sends SIGKILL when the parent's end of `alive` closes, even while a C library holds the interpreter's
    lock; a process forked off the parent may hold that end open, though. A thread that asks for the parent's id
    notices that, but needs the lock. (Linux's parent-death signal is no third one: it fires at the end of the thread
    that spawned us, and Beam's worker threads come and go.)
    """
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(alive, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(alive, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(alive, fcntl.F_SETFL, fcntl.fcntl(alive, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(alive, 0)
    if os.getppid() != parent or poll.poll(0):  # it died before we asked to be told
        os._exit(1)
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="parent-watch").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(1)


def _be_first_to_go() -> None:
    """Asks a kernel out of memory to end this process rather than its parent; a crash leaves no core file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(_OOM_SCORE)
    except OSError:
        return  # not Linux, or not allowed: a courtesy only
