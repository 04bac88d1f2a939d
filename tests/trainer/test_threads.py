"""Threads that start when there is work and end when told, or when nobody has them any more."""

import gc
import threading
import time
from concurrent.futures import Future

import pytest

from trainer.threads import Threads


def named(name: str) -> int:
    """Living threads of that name."""
    return sum(thread.name == name for thread in threading.enumerate())


def gone(name: str) -> bool:
    """Whether they end within some seconds."""
    deadline = time.monotonic() + 10
    while named(name) and time.monotonic() < deadline:
        time.sleep(0.005)
    return not named(name)


def test_results_and_errors_are_the_futures() -> None:
    threads = Threads("t-results", 2)
    good, bad = threads.submit(divmod, 7, 2), threads.submit(divmod, 7, 0)
    assert good.result(10) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        bad.result(10)
    threads.rest(10)
    assert named("t-results") == 0


def test_no_more_threads_than_work_or_than_allowed() -> None:
    threads, go = Threads("t-most", 3), threading.Event()
    assert named("t-most") == 0
    futures = [threads.submit(go.wait, 10)]
    assert named("t-most") == 1
    futures += [threads.submit(go.wait, 10) for _ in range(5)]
    assert named("t-most") == 3
    go.set()
    assert [future.result(10) for future in futures] == [True] * 6
    threads.rest(10)


def test_what_was_submitted_is_done_before_they_end_and_they_start_again() -> None:
    threads, done = Threads("t-rest", 1), []
    for n in range(5):
        threads.submit(done.append, n)
    threads.rest(10)
    assert (done, named("t-rest")) == ([0, 1, 2, 3, 4], 0)
    assert threads.submit(len, done).result(10) == 5
    threads.rest(10)


def test_cancelled_work_is_not_done() -> None:
    threads, go, done = Threads("t-cancel", 1), threading.Event(), []
    threads.submit(go.wait, 10)
    later: Future[None] = threads.submit(done.append, 1)
    assert later.cancel()
    go.set()
    threads.rest(10)
    assert done == []


def test_rest_does_not_wait_for_ever() -> None:
    threads, go = Threads("t-silent", 1), threading.Event()
    threads.submit(go.wait, 60)
    began = time.monotonic()
    threads.rest(0.05)
    assert time.monotonic() - began < 30
    go.set()
    assert gone("t-silent")


def test_they_end_with_whoever_had_them() -> None:
    threads = Threads("t-dropped", 2)
    for future in [threads.submit(time.sleep, 0.01) for _ in range(4)]:
        future.result(10)
    del threads, future
    gc.collect()  # a future that has raised or is watched may be part of a circle
    assert gone("t-dropped")
