"""Blocks of remote arrays: several requests in flight, each block checked as it comes, the last used kept in memory."""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.segments import BLOCK_BYTES
from storage.errors import MissingError
from storage.paths import read_range
from trainer.errors import IntegrityError
from trainer.segments.blocks import Checked
from trainer.threads import Threads

Block = NDArray[np.uint8]
_RUN = 16
"""Neighbouring blocks that one request brings at most: 4 MiB."""


class BlockCache:
    """Shared by any number of arrays and threads; give one to all folders of a run, so that its size is the run's.

    Args:
        max_bytes: What it keeps; what callers still hold comes on top.
        threads: Requests in flight at most.
    """

    def __init__(self, max_bytes: int = 256 * 2**20, threads: int = 16) -> None:
        self.max_bytes, self.threads = max_bytes, threads
        self._start()

    def __reduce__(self) -> tuple[Any, ...]:
        return BlockCache, (self.max_bytes, self.threads)

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], Block] = OrderedDict()
        self._bytes = 0
        self._coming: dict[tuple[str, int], Future[dict[int, Block]]] = {}
        self._fetchers = Threads("segment blocks", self.threads)

    def blocks(self, array: Checked, wanted: list[int]) -> dict[int, Block]:
        """The wanted blocks (ascending) of an array, fetched where they are not here.

        Raises:
            IntegrityError: A block is not what was sealed, or the file ends before it, or is missing.
            StorageError: The store refuses, or patience is used up.
        """
        if self._pid != os.getpid():
            self._start()  # threads and requests of the parent did not come along
        found: dict[int, Block] = {}
        coming: dict[int, Future[dict[int, Block]]] = {}
        with self._lock:
            for block in wanted:
                key = (array.path, block)
                if (kept := self._kept.get(key)) is not None:
                    self._kept.move_to_end(key)
                    found[block] = kept
                elif (future := self._coming.get(key)) is not None:
                    coming[block] = future
            for run in _runs([block for block in wanted if block not in found and block not in coming]):
                future = self._fetchers.submit(self._brought, array, run)
                self._coming |= {(array.path, block): future for block in run}
                coming |= dict.fromkeys(run, future)
        for block, future in coming.items():
            found[block] = future.result()[block]
        return found

    @property
    def held_bytes(self) -> int:
        """What it keeps just now."""
        return self._bytes

    def rest(self, wait_s: float = 0.0) -> None:
        """Ends the threads once they have done what was asked of them; the next request starts new ones."""
        self._fetchers.rest(wait_s)

    def _brought(self, array: Checked, run: list[int]) -> dict[int, Block]:
        """Fetches neighbouring blocks and keeps them."""
        fetched: dict[int, Block] = {}
        try:
            fetched = _fetch(array, run)
        finally:
            with self._lock:
                for block in run:
                    self._coming.pop((array.path, block), None)
                for block, data in fetched.items():
                    self._kept[array.path, block] = data
                    self._bytes += len(data)
                while self._bytes > self.max_bytes:
                    self._bytes -= len(self._kept.popitem(last=False)[1])
        return fetched


def _fetch(array: Checked, run: list[int]) -> dict[int, Block]:
    start, stop = run[0] * BLOCK_BYTES, array.span(run[-1])[1]
    try:
        data = memoryview(read_range(array.path, start, stop - start))
    except MissingError as error:
        raise IntegrityError(
            f"{array.path!r}, which its manifest names, is missing; restore it from a copy, or tokenize again"
        ) from error
    if len(data) < stop - start:
        raise IntegrityError(
            f"{array.path!r} ends at byte {start + len(data):,}, its manifest says {array.size:,}; "
            "restore it from a copy, or remove it and tokenize again"
        )
    found = {}
    for block in run:
        first, last = array.span(block)
        part = data[first - start : last - start]
        array.check(block, part)
        found[block] = np.frombuffer(part, np.uint8).copy()  # a view would keep the whole answer alive
    return found


def _runs(blocks: list[int]) -> Iterator[list[int]]:
    """Neighbours together, at most `_RUN` of them."""
    run: list[int] = []
    for block in blocks:
        if run and (block != run[-1] + 1 or len(run) == _RUN):
            yield run
            run = []
        run.append(block)
    if run:
        yield run
