"""Work ahead: how many results lie ready."""

import threading
import time
from collections.abc import Callable, Generator
from functools import partial

from trainer.loader.prefetch import Job, Waits, ahead


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_depth_counts_what_lies_ready() -> None:
    """Also what was made before its turn, and not the one that was taken."""
    gates = [threading.Event() for _ in range(6)]
    made: list[int] = []

    def make(number: int) -> int:
        gates[number].wait(10)
        made.append(number)
        return number

    def jobs() -> Generator[Job[int]]:
        for number in range(6):
            yield Job(1, partial(make, number))

    waits = Waits()
    results = ahead(jobs(), 6, 100, waits)
    found = []
    for opened, depth in (([0], 0), ([1, 3, 4], 2), ([2], 2), ([], 1), ([5], 1), ([], 0)):
        for number in opened:
            gates[number].set()
        expected = len(made) + len(opened)
        if opened != [0]:  # the first draws, so nothing is made before it is asked for
            _until(lambda expected=expected: len(made) == expected)
            time.sleep(0.05)
        found.append((next(results), waits.depth, depth))
    assert [number for number, _, _ in found] == list(range(6))
    assert [depth for _, depth, _ in found] == [depth for _, _, depth in found]
    assert list(results) == []
